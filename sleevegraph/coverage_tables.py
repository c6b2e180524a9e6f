"""A dataset's coverage as tables: how much of what there should be is there, and who was renamed."""

from datetime import timedelta
from typing import Final

import polars as pl

from sleevegraph.coverage import Coverage
from sleevegraph.manifest import SymbolRules
from sleevegraph.readiness.gaps import MICROSECOND

SWAP: Final = timedelta(days=31)
"""Trading under the old name ends before it begins under the new one: by 15 days at most so far."""


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


def _steps(step: timedelta | None, first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """How many steps there are from one moment to another, both included; null without a step."""
    if step is None:
        return pl.lit(None, pl.Int64())
    length = step // MICROSECOND
    return last.dt.epoch("us") // length - first.dt.epoch("us") // length + 1


def _share(rows: str, expected: str) -> pl.Expr:
    return (pl.col(rows) / pl.col(expected)).clip(upper_bound=1.0)
