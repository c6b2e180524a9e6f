"""Spans without a bar between two bars of one symbol."""

from datetime import timedelta
from typing import Final

import polars as pl

MICROSECOND: Final = timedelta(microseconds=1)


def gaps(times: pl.DataFrame, step: timedelta) -> pl.DataFrame:
    """Every gap of every symbol.

    Parameters
    ----------
    times
        [symbol, open_time] of the bars, in any order.
    step
        From one bar to the next.

    Returns
    -------
    pl.DataFrame
        [symbol, from, to, missing], sorted by symbol and from: the first and the last bar that is not there, and how
        many are not.
    """
    before = pl.col("open_time").shift(1).over("symbol")
    ordered = times.select("symbol", "open_time").sort("symbol", "open_time").with_columns(before=before)
    missing = (pl.col("open_time") - pl.col("before")).dt.total_microseconds() // (step // MICROSECOND) - 1
    return (
        ordered.with_columns(missing=missing)
        .filter(pl.col("missing") > 0)
        .select("symbol", (pl.col("before") + step).alias("from"), (pl.col("open_time") - step).alias("to"), "missing")
    )
