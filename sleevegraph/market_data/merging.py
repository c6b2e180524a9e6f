"""Rows of new files put over stored ones: a monthly file outranks a daily one, and what changes is a revision."""

from dataclasses import dataclass
from typing import Final

import polars as pl

SOURCE: Final = "source"
"""Column of every stored row: the index of its file in the table of sources beside it."""


@dataclass(frozen=True, slots=True)
class Merged:
    """One stored unit after an ingest."""

    rows: pl.DataFrame
    """Sorted by symbol and time, each once; `source` points into `sources`."""
    sources: pl.DataFrame
    """SOURCES of the files that gave at least one row, sorted by key."""
    revised: pl.DataFrame
    """[symbol, time, state, …]: stored rows that changed or went (`before`), and what replaced them (`after`)."""
    restated: pl.DataFrame
    """[key, sha256_before, sha256_after, fetched_at_before, fetched_at]: files that came in another version."""
    added: int


def merge(stored: tuple[pl.DataFrame, pl.DataFrame], incoming: tuple[pl.DataFrame, pl.DataFrame], time: str) -> Merged:
    """Put the rows of incoming files over the stored ones.

    A restated file replaces all of its own rows, so a row that it no longer has is withdrawn. Of two files with one
    (symbol, time), the monthly one counts, and what only the daily one has stays.

    Parameters
    ----------
    stored, incoming
        (rows, SOURCES) each; `source` of the rows is an index into the table beside them.
    time
        Name of the rows' time column.
    """
    before, old = stored[0], stored[1].with_row_index(SOURCE)
    rows, new = incoming[0], incoming[1].with_row_index(SOURCE)
    kept = old.join(new, on="key", how="anti")
    named = pl.concat([_named(before, kept), _named(rows, new)])
    ranked = named.sort("symbol", time, "_daily", "_key").unique(["symbol", time], keep="first", maintain_order=True)
    sources = pl.concat([kept, new]).drop(SOURCE).sort("key").join(ranked, left_on="key", right_on="_key", how="semi")
    index = sources.select(_key="key").with_row_index(SOURCE)
    merged = ranked.join(index, on="_key", how="left", maintain_order="left").drop("_key", "_daily")
    return Merged(
        rows=merged,
        sources=sources,
        revised=_revised(before, merged, time),
        restated=old.join(new, on="key", how="inner", suffix="_after").select(
            "key",
            sha256_before="sha256",
            sha256_after="sha256_after",
            fetched_at_before="fetched_at",
            fetched_at="fetched_at_after",
        ),
        added=merged.join(before, on=["symbol", time], how="anti").height,
    )


def _named(rows: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """Rows with the key of their file instead of its index; rows of files that are not in `sources` are left out."""
    keys = sources.select(SOURCE, _key="key", _daily=pl.col("span") == "daily")
    return rows.join(keys, on=SOURCE, how="inner", maintain_order="left").drop(SOURCE)


def _revised(before: pl.DataFrame, after: pl.DataFrame, time: str) -> pl.DataFrame:
    at = ["symbol", time]
    values = [name for name in before.columns if name not in {*at, SOURCE}]
    both = before.join(after, on=at, how="left", suffix="_after", maintain_order="left")
    gone = pl.col(f"{SOURCE}_after").is_null()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in values)
    changed = both.filter(gone | differs)
    old = changed.select(*at, pl.lit("before").alias("state"), *values)
    new = changed.filter(~gone).select(
        *at, pl.lit("after").alias("state"), *(pl.col(f"{v}_after").alias(v) for v in values)
    )
    return pl.concat([old, new]).sort(*at, pl.col("state") == "after")
