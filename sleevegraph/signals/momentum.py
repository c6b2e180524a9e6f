"""Cross-sectional momentum: who rose most goes on rising."""

from datetime import date

import numpy as np
import polars as pl

from sleevegraph.signals.cross_section import centred_ranks, enough, last_days, require_days


def signal(bars: pl.LazyFrame, at: date, *, days: int = 90, skip: int = 7) -> pl.DataFrame:
    """Centred ranks of the compound return over `days` days that end `skip` days before `at`.

    Returns across gaps count as none, and nine tenths of the days need one. The last days are left out because of
    their reversal.

    References
    ----------
    Jegadeesh, N. and Titman, S. (1993), Returns to buying winners and selling losers, Journal of Finance 48(1): three
    months, a week skipped. In crypto: Liu, Y., Tsyvinski, A. and Wu, X. (2022), Common risk factors in cryptocurrency,
    Journal of Finance 77(2).
    """
    require_days(1, days=days)
    require_days(0, skip=skip)
    symbols, returns, _ = last_days(bars, at, days + skip)
    formed = np.ascontiguousarray(returns[:, :days])
    compound = np.where(np.isfinite(formed), 1.0 + formed, 1.0).prod(axis=1) - 1.0
    return centred_ranks(symbols, np.where(enough(formed), compound, np.nan))
