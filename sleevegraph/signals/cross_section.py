"""What the example signals share: the last days of every symbol as rows, and ranks across symbols."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from sleevegraph.panel import Floats, build_panel
from sleevegraph.signals.contract import SCHEMA

MIN_KNOWN = 0.9
"""Share of a window's days that a symbol must have a value of."""

MAX_DAYS = 3650
"""Of a window: ten years."""


def require_days(least: int, **given: int) -> None:
    """Raise ValueError, naming the parameter, for what is no whole number from `least` to `MAX_DAYS`.

    In a window of no days nobody differs, and scores of zero would be cash for ever.
    """
    for name, days in given.items():
        if isinstance(days, bool) or not isinstance(days, int) or not least <= days <= MAX_DAYS:
            raise ValueError(f"{name}: expected a whole number of days from {least} to {MAX_DAYS}, found {days!r}")


def last_days(bars: pl.LazyFrame, at: date, days: int) -> tuple[list[str], Floats, Floats]:
    """Symbols (N), and of the `days` days before `at` their returns and quote volumes (N, days), NaN where missing.

    A return needs a bar on its day and on the day before: across a gap there is none.
    """
    first = np.datetime64(at, "D") - days - 1
    known = bars.filter(pl.col("date") < at, pl.col("date") >= pl.lit(first.astype(date))).collect()
    if known.is_empty():
        return [], np.empty((0, days)), np.empty((0, days))
    panel = build_panel(known)
    returns = np.full((len(panel.symbols), days + 1), np.nan)
    volumes = np.full_like(returns, np.nan)
    columns = (panel.dates - first).astype(np.intp)
    # A reduction along a contiguous row gives the same bits whatever symbols stand beside it.
    returns[:, columns], volumes[:, columns] = panel.returns.T, panel.quote_volume.T
    return list(panel.symbols), np.ascontiguousarray(returns[:, 1:]), np.ascontiguousarray(volumes[:, 1:])


def enough(values: Floats) -> NDArray[np.bool_]:
    """Which rows (N,) of `values` (N, days) have a finite value on at least `MIN_KNOWN` of the days."""
    there: NDArray[np.bool_] = np.isfinite(values).sum(axis=1) >= MIN_KNOWN * values.shape[1]
    return there


def centred_ranks(symbols: list[str], values: Floats) -> pl.DataFrame:
    """[symbol, score]: ranks of the finite values, linear in [-1, 1], the largest value 1; equal ones share theirs."""
    known = np.flatnonzero(np.isfinite(values))
    ranks = rankdata(values[known])
    scores = 2.0 * (ranks - 1.0) / max(len(known) - 1, 1) - 1.0 if len(known) > 1 else np.zeros(len(known))
    return pl.DataFrame({"symbol": [symbols[i] for i in known], "score": scores}, schema=SCHEMA)
