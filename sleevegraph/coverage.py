"""What a lake holds of a dataset: how much of what there should be, where it has holes, and who was renamed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from sleevegraph.manifest import SymbolRules
from sleevegraph.readiness.gap_table import with_kind
from sleevegraph.readiness.gaps import MICROSECOND, gaps
from sleevegraph.readiness.outages import MAX_OUTAGE, spans, standstills

Chunk = tuple[date, pl.DataFrame]
"""Rows of one stretch of time and the first day of it: [symbol, open_time], each once, open_time in UTC."""

SWAP: Final = timedelta(days=31)
"""Trading under the old name ends before it begins under the new one: by 15 days at most so far."""

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


def by_symbol(found: Coverage, names: pl.DataFrame, rules: SymbolRules) -> pl.DataFrame:
    """One row a symbol, the worst first.

    Parameters
    ----------
    found
        What there is.
    names
        [symbol, base, quote]; a symbol that is not named has no renames.
    rules
        Who was called what when.

    Returns
    -------
    pl.DataFrame
        [symbol, first, last, rows, expected, share, gaps, missing, largest_gap, largest_from, note], sorted by share,
        missing (descending) and symbol. Expected is every step from the first row to the last; `gaps` counts those that
        are no outage, `missing` all rows that are not there; `note` says what the coin was renamed to.
    """
    own = found.gaps.filter(pl.col("kind") == "gap").group_by("symbol").len("gaps").cast({"gaps": pl.Int64()})
    largest = found.gaps.group_by("symbol", maintain_order=True).agg(
        pl.col("missing").first().alias("largest_gap"), pl.col("from").first().alias("largest_from")
    )
    counted = pl.lit(None, pl.Int64()) if found.step is None else pl.col("gaps").fill_null(0)
    expected = _steps(found.step, pl.col("first"), pl.col("last"))
    return (
        found.symbols.join(own, on="symbol", how="left")
        .join(largest, on="symbol", how="left")
        .join(_renamed(found.symbols, names, rules), on="symbol", how="left")
        .with_columns(expected=expected, gaps=counted, note=pl.col("note").fill_null(""))
        .with_columns(
            share=_share("rows", "expected"), missing=(pl.col("expected") - pl.col("rows")).clip(lower_bound=0)
        )
        .select(
            "symbol",
            "first",
            "last",
            "rows",
            "expected",
            "share",
            "gaps",
            "missing",
            "largest_gap",
            "largest_from",
            "note",
        )
        .sort("share", "missing", "symbol", descending=[False, True, False], nulls_last=True)
    )


def summary(found: Coverage) -> dict[str, object]:
    """The figures of a whole dataset: symbols, first, last, rows, months, expected, share, gaps, outages."""
    expected = found.symbols.select(_steps(found.step, pl.col("first"), pl.col("last")).alias("expected"))[
        "expected"
    ].sum()
    rows = int(found.symbols["rows"].sum())
    known = found.step is not None
    return {
        "symbols": found.symbols.height,
        "first": found.symbols["first"].min(),
        "last": found.symbols["last"].max(),
        "rows": rows,
        "months": found.months["month"].n_unique(),
        "expected": expected if known else None,
        "share": min(1.0, rows / expected) if known else None,
        "gaps": found.gaps.filter(pl.col("kind") == "gap").height if known else None,
        "outages": found.outages.height if known else None,
    }


def matrix(found: Coverage) -> pl.DataFrame:
    """The share of the expected rows that are there, by symbol and month of its life.

    Returns
    -------
    pl.DataFrame
        [symbol, month, rows, expected, share], sorted by first row, symbol and month. A month before a symbol's first
        row or after its last has no row. Without a step a month with rows counts as whole, and one without as empty.
    """
    opening = pl.col("month").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    closing = opening.dt.offset_by("1mo") - pl.duration(microseconds=1)
    bounds = pl.max_horizontal("first", opening), pl.min_horizontal("last", closing)
    expected = pl.lit(None, pl.Int64()) if found.step is None else _steps(found.step, *bounds)
    share = (pl.col("rows") > 0).cast(pl.Float64) if found.step is None else _share("rows", "expected")
    return (
        found.symbols.sort("first", "symbol")
        .select(
            "symbol",
            "first",
            "last",
            pl.date_ranges(pl.col("first").dt.date().dt.month_start(), pl.col("last").dt.date(), "1mo").alias("month"),
        )
        .explode("month")
        .join(found.months, on=["symbol", "month"], how="left", maintain_order="left")
        .with_columns(rows=pl.col("rows").fill_null(0), expected=expected)
        .with_columns(share=share)
        .select("symbol", "month", "rows", "expected", "share")
    )


def _renamed(symbols: pl.DataFrame, names: pl.DataFrame, rules: SymbolRules) -> pl.DataFrame:
    """[symbol, note] of the symbols whose rows end where their base got another name."""
    renames = pl.DataFrame(
        [(rename.old, rename.new, rename.since) for rename in rules.renames],
        schema={"base": pl.String(), "new": pl.String(), "since": pl.Date()},
        orient="row",
    )
    lives = names.join(symbols, on="symbol").with_columns(pl.col("first", "last").dt.date())
    following = lives.select(new="base", quote="quote", new_symbol="symbol", new_first="first")
    begins = pl.format(", {} from {}", "new_symbol", "new_first")
    none = pl.format(", no rows in {}", "quote")
    return (
        lives.join(renames, on="base")
        .filter((pl.col("last") < pl.col("since")) & (pl.col("last") >= pl.col("since") - SWAP))
        # Rows that all end before the new name begins do not show that anybody ended.
        .filter(pl.col("since") <= symbols["last"].dt.date().max())
        .join(following, on=["new", "quote"], how="left")
        .select(
            "symbol", note=pl.concat_str(pl.format("renamed to {} on {}", "new", "since"), pl.coalesce(begins, none))
        )
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


def _steps(step: timedelta | None, first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """How many steps there are from one moment to another, both included; null without a step."""
    if step is None:
        return pl.lit(None, pl.Int64())
    length = step // MICROSECOND
    return last.dt.epoch("us") // length - first.dt.epoch("us") // length + 1


def _share(rows: str, expected: str) -> pl.Expr:
    return (pl.col(rows) / pl.col(expected)).clip(upper_bound=1.0)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
