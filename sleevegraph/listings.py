"""One ticker, several instruments: reuse and redenomination across a trading gap begin a new listing.

What happened before is another instrument's history, or this one's in other units: its prices mean nothing beside
today's, so neither days of record nor moving averages reach across.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.panel import Floats
from sleevegraph.ratings import technical_ratings


def listing_starts(close: Floats, max_return: float) -> NDArray[np.intp]:
    """Row (S,) of the first bar of each symbol's present listing; `close` is (T, S) by calendar day, NaN = no bar.

    A gap begins a new listing when the close after it is more than `max_return` above the close before it, or that
    far below it (a factor of 1 + max_return either way).
    """
    T, S = close.shape
    there = np.isfinite(close)
    row = np.where(there, np.arange(T)[:, None], -1)
    last_seen = np.maximum.accumulate(row, axis=0)
    before = np.vstack([np.full((1, S), -1, dtype=last_seen.dtype), last_seen[:-1]])
    resumed = there & (before >= 0) & (before < np.arange(T)[:, None] - 1)
    starts: NDArray[np.intp] = there.argmax(axis=0)
    for t, s in np.argwhere(resumed):  # gaps are few, and later rows win
        if _another_unit(close[t, s] / close[before[t, s], s], max_return):
            starts[s] = t
    return starts


def rate_listings(bars: pl.DataFrame, max_return: float) -> pl.DataFrame:
    """`technical_ratings` of every listing for itself; [symbol, date] stays unique and no listing sees another.

    Parameters
    ----------
    bars
        Bars with [symbol, date, open, high, low, close, volume], sorted by symbol and date.
    max_return
        As for `listing_starts`.
    """
    gap = pl.col("date").diff().over("symbol") > pl.duration(days=1)
    ratio = pl.col("close") / pl.col("close").shift().over("symbol")
    limit = 1.0 + max_return
    renewed = (gap & ((ratio > limit) | (ratio < 1.0 / limit))).fill_null(value=False)
    listing = renewed.cum_sum().over("symbol").cast(pl.String)
    numbered = bars.with_columns(pl.concat_str("symbol", listing, separator=_SEPARATOR).alias("symbol"))
    symbol = pl.col("symbol").str.split_exact(_SEPARATOR, 1).struct.field("field_0")
    return technical_ratings(numbered).with_columns(symbol.alias("symbol")).sort("symbol", "date")


_SEPARATOR = "\x1f"
"""In no symbol: the unit separator."""


def _another_unit(ratio: float, max_return: float) -> bool:
    limit = 1.0 + max_return
    return not 1.0 / limit <= ratio <= limit
