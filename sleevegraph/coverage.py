"""Which rows there are of a dataset, by symbol and month, and where it has holes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from sleevegraph.readiness.gap_table import with_kind
from sleevegraph.readiness.gaps import MICROSECOND, gaps
from sleevegraph.readiness.outages import MAX_OUTAGE, spans, standstills

Chunk = tuple[date, pl.DataFrame]
"""Rows of one stretch of time and the first day of it: [symbol, open_time], each once, open_time in UTC."""

NO_SPANS: Final = pl.Schema(
    {
        "from": pl.Datetime("us", "UTC"),
        "to": pl.Datetime("us", "UTC"),
        "missing_steps": pl.Int64(),
        "symbols_missing": pl.Int64(),
        "symbols_expected": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which rows there are of a dataset.

    Attributes
    ----------
    step
        From one row to the next; None where that differs from symbol to symbol, so that nobody can say what is missing.
    months
        [symbol, month, rows], sorted: `month` is its first day.
    symbols
        [symbol, first, last, rows], sorted: open times of the first and the last row.
    gaps
        [symbol, from, to, missing, kind], as `gap_table` gives them; empty without a step.
    outages
        [from, to, missing_steps, symbols_missing, symbols_expected], as `outages` gives them; empty without a step.
    """

    step: timedelta | None
    months: pl.DataFrame
    symbols: pl.DataFrame
    gaps: pl.DataFrame
    outages: pl.DataFrame


def coverage(chunks: Iterable[Chunk], step: timedelta | None) -> Coverage:
    """Coverage of rows that come in chunks, so that years of minutes need not be in memory at once.

    Parameters
    ----------
    chunks
        Ascending in time and apart: no row of a chunk is at or after the first day of the one after the next.
    step
        From one row to the next, a divisor of a day.
    """
    lives, months, holes, still = [], [], [], []
    known, begin = pl.DataFrame(), date.min
    for start, times in chunks:
        lives.append(_lives(times))
        months.append(
            times.group_by("symbol", pl.col("open_time").dt.date().dt.month_start().alias("month")).len("rows")
        )
        if step is None:
            continue
        holes.append(gaps(times, step))
        reach = MAX_OUTAGE + step
        if known.width:
            head = times.filter(pl.col("open_time") < _midnight(start) + reach)
            still.append(_standstills(pl.concat([known, head]), step, begin, start))
            known = known.filter(pl.col("open_time") >= _midnight(start) - reach)
        known, begin = pl.concat([known, times]) if known.width else times, start
    if known.width and step is not None:
        still.append(_standstills(known, step, begin, date.max))
    lived = pl.concat(lives)
    closed = spans(pl.concat(still), step) if step is not None else NO_SPANS.to_frame()
    holes.append(_between(lived, step))
    return Coverage(
        step=step,
        months=pl.concat(months)
        .group_by("symbol", "month")
        .agg(pl.col("rows").sum().cast(pl.Int64))
        .sort("symbol", "month"),
        symbols=lived.group_by("symbol")
        .agg(pl.col("first").min(), pl.col("last").max(), pl.col("rows").sum())
        .sort("symbol"),
        gaps=with_kind(pl.concat(holes), closed),
        outages=closed,
    )


def only(found: Coverage, symbols: Collection[str]) -> Coverage:
    """The coverage of some symbols; outages stay those of all."""
    chosen = pl.col("symbol").is_in(list(symbols))
    return replace(
        found, months=found.months.filter(chosen), symbols=found.symbols.filter(chosen), gaps=found.gaps.filter(chosen)
    )


def _lives(times: pl.DataFrame) -> pl.DataFrame:
    return times.group_by("symbol").agg(
        pl.col("open_time").min().alias("first"),
        pl.col("open_time").max().alias("last"),
        pl.len().cast(pl.Int64).alias("rows"),
    )


def _between(lives: pl.DataFrame, step: timedelta | None) -> pl.DataFrame:
    """Gaps from the last row of a symbol in one chunk to its first row in the next."""
    every = MICROSECOND if step is None else step
    before = pl.col("last").shift(1).over("symbol")
    missing = (pl.col("first") - pl.col("before")).dt.total_microseconds() // (every // MICROSECOND) - 1
    return (
        lives.sort("symbol", "first")
        .with_columns(before=before)
        .with_columns(missing=missing)
        .filter(pl.col("missing") > 0, pl.lit(step is not None))
        .select("symbol", (pl.col("before") + every).alias("from"), (pl.col("first") - every).alias("to"), "missing")
    )


def _standstills(times: pl.DataFrame, step: timedelta, since: date, until: date) -> pl.DataFrame:
    """Of the steps that belong to a chunk; `times` reach as far around it as a gap can that counts."""
    day = pl.col("open_time").dt.date()
    return standstills(times, step).filter((day >= since) & (day < until))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
