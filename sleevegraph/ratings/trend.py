"""Directional movement: +DI, -DI and the average directional index (Wilder 14/14)."""

import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.ratings.windows import TOLERANCE, above, hold_last, lag, ratio, wilder

BARS = 14


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """The largest of high - low, |high - close[1]| and |low - close[1]|; unknown on the first bar."""
    before = lag(close)
    return np.maximum(np.maximum(high - low, np.abs(high - before)), np.abs(low - before))


def directional_index(high: Floats, low: Floats, close: Floats) -> tuple[Floats, Floats, Floats]:
    """ADX, +DI and -DI, each (bars, symbols).

    Movement is 0 on the first bar, where true range is unknown: movement is seeded one bar earlier.
    """
    up, down = high - lag(high), lag(low) - low
    plus = np.where(above(up, down) & above(up, 0.0), up, 0.0)
    minus = np.where(above(down, up) & above(down, 0.0), down, 0.0)
    return _directional_index(plus, minus, true_range(high, low, close))


def close_only_adx(streams: Floats) -> Floats:
    """The last ADX of return streams, from closes alone.

    Up movement is max(s, 0), down movement max(-s, 0), true range |s|. Missing rows are left out of
    each column. Every row is a change, so all three are seeded with the same first 14 rows.

    Parameters
    ----------
    streams
        Returns, shape (T, N), missing = NaN.

    Returns
    -------
    ADX in [0, 100], shape (N,); NaN with fewer than 27 returns or none that moves.
    """
    missing = np.isnan(streams)
    order = np.argsort(missing, axis=0, kind="stable")
    moves = np.take_along_axis(streams, order, axis=0)
    adx, _, _ = _directional_index(np.maximum(moves, 0.0), np.maximum(-moves, 0.0), np.abs(moves))
    returns = (~missing).sum(axis=0)
    columns = np.flatnonzero(returns)
    last = np.full(streams.shape[1], np.nan)
    last[columns] = adx[returns[columns] - 1, columns]
    return last


def _directional_index(plus: Floats, minus: Floats, spread: Floats) -> tuple[Floats, Floats, Floats]:
    average = wilder(spread, BARS)
    di_plus = hold_last(ratio(100.0 * wilder(plus, BARS), average))
    di_minus = hold_last(ratio(100.0 * wilder(minus, BARS), average))
    both = di_plus + di_minus
    index = np.abs(di_plus - di_minus) / np.where(both <= TOLERANCE, 1.0, both)
    return 100.0 * wilder(index, BARS), di_plus, di_minus
