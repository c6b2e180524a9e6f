"""The technical ratings of every bar of a market."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.panel import Floats
from sleevegraph.ratings import moving_averages, oscillators
from sleevegraph.ratings.ballot import UNKNOWN, Candles, Votes
from sleevegraph.ratings.layout import blocks, traded_bars
from sleevegraph.ratings.moving_averages import moving_average_votes
from sleevegraph.ratings.oscillators import oscillator_votes

VOTES = (*moving_averages.NAMES, *oscillators.NAMES)
"""The vote columns: fifteen moving averages, then eleven oscillators."""


def technical_ratings(bars: pl.DataFrame) -> pl.DataFrame:
    """Rate every traded bar as the TradingView scanner does.

    A bar's rating depends on this symbol's bars up to it and on nothing else in the frame, to the bit.

    Parameters
    ----------
    bars
        symbol, date, open, high, low, close, volume: closed bars in any order, the full listing
        history. A bar without volume (0, NaN or null) is dropped before anything is computed.

    Returns
    -------
    One row per traded bar, sorted by symbol and date: symbol, date, recommend_all, recommend_ma and
    recommend_other in [-1, 1], and the VOTES (Int8: -1, 0, +1); unknown = null.

    Raises
    ------
    BarsError
        A missing column, a duplicate (symbol, date), or a value that is no price or volume.

    References
    ----------
    The rules of TradingView's scanner since 2024-12-26, which differ from its chart library (`TechnicalRating` v3).
    """
    traded = traded_bars(bars)
    votes = _votes(traded)
    split = len(moving_averages.NAMES)
    averages, others = _mean_vote(votes[:split]), _mean_vote(votes[split:])
    both = (averages + others) / 2.0
    recommend_all = np.where(np.isnan(averages), others, np.where(np.isnan(others), averages, both))
    ratings = {"recommend_all": recommend_all, "recommend_ma": averages, "recommend_other": others}
    return traded.select("symbol", "date").with_columns(
        *(pl.Series(name, values, nan_to_null=True) for name, values in ratings.items()),
        *(pl.Series(name, row).replace(int(UNKNOWN), None) for name, row in zip(VOTES, votes, strict=True)),
    )


def _votes(traded: pl.DataFrame) -> NDArray[np.int8]:
    """Votes of shape (votes, rows of the frame)."""
    columns = {name: traded[name].to_numpy() for name in ("high", "low", "close", "volume")}
    votes = np.empty((len(VOTES), traded.height), dtype=np.int8)
    for block in blocks(traded["symbol"]):
        candles = Candles(**{name: block.lay(values) for name, values in columns.items()})
        for vote, matrix in zip(votes, (*moving_average_votes(candles), *oscillator_votes(candles)), strict=True):
            vote[block.rows] = block.pick(matrix)
    return votes


def _mean_vote(votes: Votes) -> Floats:
    """The mean of the counted votes of each row; NaN where none is."""
    counted = votes != UNKNOWN
    total = np.where(counted, votes, 0).sum(axis=0, dtype=np.int64)
    count = counted.sum(axis=0)
    mean = np.full(votes.shape[1], np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
