"""Liquidity: whose price moves least for the money that is traded."""

from datetime import date

import numpy as np
import polars as pl

from sleevegraph.signals.cross_section import centred_ranks, enough, last_days, require_days


def signal(bars: pl.LazyFrame, at: date, *, days: int = 30) -> pl.DataFrame:
    """Centred ranks of minus Amihud's illiquidity: the mean of |return| / quote volume of the `days` days before `at`.

    Days without a return or without volume count as none, and nine tenths of the days need both.

    References
    ----------
    Amihud, Y. (2002), Illiquidity and stock returns: cross-section and time-series effects, Journal of Financial Markets
    5(1).
    """
    require_days(1, days=days)
    symbols, returns, volumes = last_days(bars, at, days)
    traded = np.isfinite(returns) & (volumes > 0)
    impact = np.where(traded, np.abs(returns) / np.where(traded, volumes, 1.0), np.nan)
    count = traded.sum(axis=1)
    illiquidity = np.where(traded, impact, 0.0).sum(axis=1) / np.maximum(count, 1)
    return centred_ranks(symbols, np.where(enough(impact), -illiquidity, np.nan))
