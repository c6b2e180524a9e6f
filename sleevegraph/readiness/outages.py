"""When the exchange stood still: most symbols miss the same bars."""

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.readiness.gaps import MICROSECOND, gaps

MAX_OUTAGE: Final = timedelta(days=3)
"""A symbol without a bar for longer is not expected in between; bridges a weekend. The longest recorded is 34 hours."""

MIN_SYMBOLS: Final = 2
"""That one symbol alone misses a bar says nothing about the exchange."""

Counts = NDArray[np.int64]


def outages(times: pl.DataFrame, step: timedelta) -> pl.DataFrame:
    """Spans in which more than half of the symbols that trade around them have no bar.

    Parameters
    ----------
    times
        [symbol, open_time] of the bars, in any order.
    step
        From one bar to the next.

    Returns
    -------
    pl.DataFrame
        [from, to, missing_steps, symbols_missing, symbols_expected], ascending: first and last open time of the span,
        how many steps it has, and at its worst step how many symbols have no bar and how many were expected. Expected
        is who has a bar, or misses no more than MAX_OUTAGE between two.
    """
    return spans(standstills(times, step), step)


def standstills(times: pl.DataFrame, step: timedelta) -> pl.DataFrame:
    """The same step by step: [open_time, missing, expected], ascending."""
    short = gaps(times, step).filter(pl.col("missing") * step <= MAX_OUTAGE)
    if not short.height:
        kinds = {"open_time": times.schema["open_time"], "missing": pl.Int64(), "expected": pl.Int64()}
        return pl.DataFrame(schema=kinds)
    start = times["open_time"].min()
    present = _steps(times.select("symbol", "open_time").unique()["open_time"], start, step)
    size = 1 + int(present.max())
    edges = np.bincount(_steps(short["from"], start, step), minlength=size + 1)
    edges = edges - np.bincount(_steps(short["to"], start, step) + 1, minlength=size + 1)
    missing = np.cumsum(edges)[:size]
    expected = missing + np.bincount(present, minlength=size)
    at = np.flatnonzero((2 * missing > expected) & (missing >= MIN_SYMBOLS))
    moments = (pl.Series(at, dtype=pl.Int64) * (step // MICROSECOND)).cast(pl.Duration("us")) + start
    return pl.DataFrame({"open_time": moments, "missing": missing[at], "expected": expected[at]}).cast(
        {"open_time": times.schema["open_time"]}
    )


def spans(steps: pl.DataFrame, step: timedelta) -> pl.DataFrame:
    """Neighbouring steps of `standstills` as one row of `outages`."""
    worst = pl.col("missing").arg_max()
    return (
        steps.with_columns(span=(pl.col("open_time").diff() > step).fill_null(value=False).cum_sum())
        .group_by("span", maintain_order=True)
        .agg(
            pl.col("open_time").first().alias("from"),
            pl.col("open_time").last().alias("to"),
            pl.len().cast(pl.Int64).alias("missing_steps"),
            pl.col("missing").get(worst).alias("symbols_missing"),
            pl.col("expected").get(worst).alias("symbols_expected"),
        )
        .drop("span")
    )


def _steps(moments: pl.Series, start: object, step: timedelta) -> Counts:
    since: Counts = ((moments - start).dt.total_microseconds() // (step // MICROSECOND)).to_numpy()
    return since
