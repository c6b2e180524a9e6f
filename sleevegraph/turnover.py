"""A limit on how much of a sleeve may change hands at one rebalance."""

from dataclasses import dataclass

import numpy as np

from sleevegraph.panel import Floats

BISECTIONS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Limited:
    """Weights (N,) within a turnover limit, and how far they went."""

    weights: Floats
    step: float
    """Share of the way from the previous weights to the target; 1 when the limit does not bind."""
    turnover: float
    """Sum of |weight - previous weight|, sales of assets that are no longer held included."""


def limit_turnover(target: Floats, start: Floats, previous: Floats, left: float, limit: float) -> Limited:
    """Go from the previous weights towards the target as far as the limit allows.

    Every point on the way is long-only, adds to one and respects all caps, since its ends do.

    Parameters
    ----------
    target
        Permitted weights (N,): they add to 1 within the caps.
    start
        The permitted weights nearest to the previous ones.
    previous
        Previous weights (N,) of the same assets; 0 for a new one.
    left
        Weight of previous assets that may not be held any more: selling it cannot be avoided.
    limit
        Largest turnover. Where even `start` exceeds it, that is the answer.
    """
    direction = target - start

    def turnover(step: float) -> float:
        return float(np.abs(start + step * direction - previous).sum()) + left

    if turnover(1.0) <= limit:
        return Limited(target, 1.0, turnover(1.0))
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if turnover(middle) <= limit else (low, middle)
    return Limited(start + low * direction, low, turnover(low))
