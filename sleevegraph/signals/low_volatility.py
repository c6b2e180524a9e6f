"""Low volatility: quiet names earn more for their risk than loud ones."""

from datetime import date

import numpy as np
import polars as pl

from sleevegraph.signals.cross_section import centred_ranks, enough, last_days, require_days


def signal(bars: pl.LazyFrame, at: date, *, days: int = 60) -> pl.DataFrame:
    """Centred ranks of minus the standard deviation of the daily returns of the `days` days before `at`.

    Returns across gaps count as none, and nine tenths of the days need one.

    References
    ----------
    Ang, A., Hodrick, R., Xing, Y. and Zhang, X. (2006), The cross-section of volatility and expected returns, Journal of
    Finance 61(1); Blitz, D. and van Vliet, P. (2007), The volatility effect, Journal of Portfolio Management 34(1).
    """
    require_days(2, days=days)
    symbols, returns, _ = last_days(bars, at, days)
    there = np.isfinite(returns)
    count = there.sum(axis=1)
    mean = np.where(there, returns, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = np.where(there, returns - mean[:, None], 0.0) ** 2
    deviation = np.sqrt(squares.sum(axis=1) / np.maximum(count - 1, 1))
    return centred_ranks(symbols, np.where(enough(returns) & (count > 1), -deviation, np.nan))
