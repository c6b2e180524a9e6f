"""What the indicators see and how they vote."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleevegraph.panel import Floats
from sleevegraph.ratings.windows import Mask

Votes = NDArray[np.int8]

UNKNOWN = np.int8(-128)
"""Stands for a vote that is not counted until the frame is built, where it becomes null."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Traded bars, each matrix of shape (bars, symbols); row i is a symbol's i-th bar, NaN after its last."""

    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def ballot(buy: Mask, sell: Mask, counted: Mask) -> Votes:
    """+1 where buy, -1 where sell, else 0; UNKNOWN where the item is not counted."""
    vote = np.subtract(buy, sell, dtype=np.int8)
    vote[~counted] = UNKNOWN
    return vote
