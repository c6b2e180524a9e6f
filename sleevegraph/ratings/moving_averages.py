"""The fifteen moving-average votes."""

import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.ratings.ballot import Candles, Votes, ballot
from sleevegraph.ratings.windows import above, below, ema, known, ratio, sma, window_sum, wma

LENGTHS = (10, 20, 30, 50, 100, 200)
ICHIMOKU_BARS = 52

NAMES = (
    *(f"v_sma{bars}" for bars in LENGTHS),
    *(f"v_ema{bars}" for bars in LENGTHS),
    "v_hma9",
    "v_vwma20",
    "v_ichimoku",
)


def hull9(close: Floats) -> Floats:
    """Hull moving average: wma(2·wma(c, 4) - wma(c, 9), 3)."""
    return wma(2.0 * wma(close, 4) - wma(close, 9), 3)


def vwma20(close: Floats, volume: Floats) -> Floats:
    """Mean close weighted by volume."""
    return ratio(window_sum(close * volume, 20), window_sum(volume, 20))


def ichimoku_vote(close: Floats) -> Votes:
    """0 from the bar where all three spans are known: the scanner counts it and never takes a side."""
    nobody = np.zeros(close.shape, dtype=np.bool_)
    counted = nobody.copy()
    counted[ICHIMOKU_BARS - 1 :] = True
    return ballot(nobody, nobody, counted)


def moving_average_votes(candles: Candles) -> tuple[Votes, ...]:
    """One matrix of votes per name in NAMES, in that order."""
    close = candles.close
    averages = (
        *(sma(close, bars) for bars in LENGTHS),
        *(ema(close, bars) for bars in LENGTHS),
        hull9(close),
        vwma20(close, candles.volume),
    )
    votes = tuple(ballot(below(average, close), above(average, close), known(average)) for average in averages)
    return (*votes, ichimoku_vote(close))
