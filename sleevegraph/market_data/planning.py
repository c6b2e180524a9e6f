"""What an ingest has to fetch: the archive's listing against what is stored already."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

LISTED: Final = pl.Schema(
    {
        "key": pl.String(),
        "symbol": pl.String(),
        "span": pl.String(),
        "period": pl.String(),
        "first": pl.Date(),
        "last": pl.Date(),
        "size": pl.Int64(),
        "etag": pl.String(),
        "checksum_etag": pl.String(),
    }
)
"""One file of the archive as listed; `first` and `last` are the days it is of, both included."""

SOURCES: Final = pl.Schema(
    {
        **LISTED,
        "sha256": pl.String(),
        "rows": pl.Int64(),
        "host": pl.String(),
        "fetched_at": pl.Datetime("us", "UTC"),
    }
)
"""One file that rows were stored from: its provenance."""

TO_FETCH: Final = pl.Schema(
    {
        "state": pl.String(),
        "span": pl.String(),
        "files": pl.Int64(),
        "bytes": pl.Int64(),
        "first": pl.Date(),
        "last": pl.Date(),
    }
)
"""Files to be fetched, by state (`new` or `restated`) and span: how many, their bytes as listed, and their days."""

NAMED: Final = 20
"""Files that are named one by one, where there may be millions."""

_VERSION: Final = ("size", "etag", "checksum_etag")


@dataclass(frozen=True, slots=True)
class Plan:
    """Files by what is to be done with them."""

    new: pl.DataFrame
    """LISTED rows of files that are not stored."""
    restated: pl.DataFrame
    """LISTED rows of files that were stored in another version."""
    unchanged: int
    vanished: list[str]
    """Keys that are stored and neither listed any longer nor covered by a listed month; their rows are kept."""

    @property
    def files(self) -> pl.DataFrame:
        """All that is to be fetched, oldest month first, so that a month is finished before the next one begins."""
        return pl.concat([self.new, self.restated]).sort(pl.col("first").dt.strftime("%Y-%m"), "symbol", "key")


@dataclass(frozen=True, slots=True)
class Totals:
    """Several plans, counted."""

    to_fetch: pl.DataFrame
    """TO_FETCH, sorted by state and span."""
    unchanged: int
    vanished: int
    first_vanished: list[str]
    """The first NAMED keys of those that vanished."""

    @property
    def files(self) -> int:
        """How many files are to be fetched."""
        return int(self.to_fetch["files"].sum())

    @property
    def bytes(self) -> int:
        """Bytes of all files to be fetched, as listed."""
        return int(self.to_fetch["bytes"].sum())


def wanted(listed: pl.DataFrame, first: date | None, last: date | None, broken: Collection[str] = ()) -> pl.DataFrame:
    """Monthly files that touch [first, last], and daily files of the months that no monthly file covers.

    Parameters
    ----------
    listed
        LISTED rows.
    first, last
        Days, both included; None is no bound. A monthly file is taken whole.
    broken
        Keys of files in quarantine: a broken month covers no day, so its days are wanted as well.
    """
    inside = within(listed, first, last)
    monthly = inside.filter(pl.col("span") == "monthly")
    whole = monthly.filter(~pl.col("key").is_in(list(broken)))
    return pl.concat([monthly, _outside(inside.filter(pl.col("span") == "daily"), whole)])


def within(files: pl.DataFrame, first: date | None, last: date | None) -> pl.DataFrame:
    """Files (LISTED or SOURCES) that touch [first, last], both included; None is no bound."""
    inside = files
    if first is not None:
        inside = inside.filter(pl.col("last") >= first)
    if last is not None:
        inside = inside.filter(pl.col("first") <= last)
    return inside


def plan(listed: pl.DataFrame, stored: pl.DataFrame) -> Plan:
    """Compare `wanted` files with the SOURCES rows of what is stored of the same symbols and days.

    A file is restated when its size, its ETag or that of its checksum changed. A stored day that a monthly file has come
    to cover is left alone. A day's file is not new where its month is stored and no longer listed: the month would
    outrank it. So no month's plan depends on another month.
    """
    versions = stored.select("key", *(pl.col(name).alias(f"stored_{name}") for name in _VERSION))
    both = listed.join(versions, on="key", how="left", maintain_order="left")
    known = pl.col("stored_size").is_not_null()
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"stored_{name}")) for name in _VERSION)
    columns = LISTED.names()
    is_daily = pl.col("span") == "daily"
    gone = stored.join(listed, on="key", how="anti")
    new = both.filter(~known).select(columns)
    return Plan(
        new=pl.concat([new.filter(~is_daily), _outside(new.filter(is_daily), gone.filter(~is_daily))]),
        restated=both.filter(known & ~same).select(columns),
        unchanged=both.filter(known & same).height,
        vanished=pl.concat([gone.filter(~is_daily), _outside(gone.filter(is_daily), listed.filter(~is_daily))])["key"]
        .sort()
        .to_list(),
    )


def totals(plans: Iterable[Plan]) -> Totals:
    """Count plans one after another, so that no two need be there at once."""
    counted, first_vanished = [TO_FETCH.to_frame()], list[str]()
    unchanged = vanished = 0
    for made in plans:
        counted += [_counted(state, files) for state, files in (("new", made.new), ("restated", made.restated))]
        unchanged += made.unchanged
        vanished += len(made.vanished)
        first_vanished = sorted(first_vanished + made.vanished)[:NAMED]
    sums = (pl.col("files", "bytes").sum(), pl.col("first").min(), pl.col("last").max())
    to_fetch = pl.concat(counted).group_by("state", "span").agg(*sums).sort("state", "span")
    return Totals(to_fetch, unchanged, vanished, first_vanished)


def _counted(state: str, files: pl.DataFrame) -> pl.DataFrame:
    found = files.group_by("span").agg(
        pl.lit(state).alias("state"),
        pl.len().alias("files"),
        pl.col("size").sum().alias("bytes"),
        pl.col("first").min(),
        pl.col("last").max(),
    )
    return found.select(TO_FETCH.names()).cast(TO_FETCH)


def _outside(files: pl.DataFrame, monthly: pl.DataFrame) -> pl.DataFrame:
    """Files of months that none of the `monthly` ones of their symbol is of."""
    if files.is_empty() or monthly.is_empty():
        return files
    month = pl.col("first").dt.strftime("%Y-%m").alias("_month")
    covering = monthly.select("symbol", month)
    return files.with_columns(month).join(covering, on=["symbol", "_month"], how="anti").drop("_month")


def covered(months: set[str]) -> Callable[[date], bool]:
    """Whether a day lies in one of the months `YYYY-MM`, so that its own file is not wanted."""
    return lambda day: f"{day:%Y-%m}" in months
