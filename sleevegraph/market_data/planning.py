"""What an ingest has to fetch: the archive's listing against what is stored already."""

from collections.abc import Callable, Collection
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

_VERSION: Final = ("size", "etag", "checksum_etag")


@dataclass(frozen=True, slots=True)
class Plan:
    """Files by what is to be done with them."""

    new: pl.DataFrame
    """LISTED rows of files that are not stored, oldest month first."""
    restated: pl.DataFrame
    """LISTED rows of files that were stored in another version."""
    unchanged: int
    vanished: list[str]
    """Keys that are stored and neither listed any longer nor covered by a listed month; their rows are kept."""

    @property
    def files(self) -> pl.DataFrame:
        """All that is to be fetched, oldest month first, so that a month is finished before the next one begins."""
        return pl.concat([self.new, self.restated]).sort(pl.col("first").dt.strftime("%Y-%m"), "symbol", "key")

    @property
    def transferred(self) -> int:
        """Bytes of all files to be fetched, as listed."""
        return int(self.files["size"].sum())


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
    """Compare `wanted` files with the SOURCES rows of what is stored of the same days.

    A file is restated when its size, its ETag or that of its checksum changed. Symbols that `listed` does not name are
    left alone, and so is a stored day that a monthly file has come to cover. A day's file is not new where its month is
    stored and no longer listed: the month would outrank it.
    """
    versions = stored.select("key", *(pl.col(name).alias(f"stored_{name}") for name in _VERSION))
    both = listed.join(versions, on="key", how="left", maintain_order="left")
    known = pl.col("stored_size").is_not_null()
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"stored_{name}")) for name in _VERSION)
    columns = LISTED.names()
    is_daily = pl.col("span") == "daily"
    gone = stored.filter(pl.col("symbol").is_in(listed["symbol"].unique().implode())).join(listed, on="key", how="anti")
    new = both.filter(~known).select(columns)
    return Plan(
        new=pl.concat([new.filter(~is_daily), _outside(new.filter(is_daily), gone.filter(~is_daily))]),
        restated=both.filter(known & ~same).select(columns),
        unchanged=both.filter(known & same).height,
        vanished=pl.concat([gone.filter(~is_daily), _outside(gone.filter(is_daily), listed.filter(~is_daily))])["key"]
        .sort()
        .to_list(),
    )


def _outside(files: pl.DataFrame, monthly: pl.DataFrame) -> pl.DataFrame:
    """Files of months that none of the `monthly` ones of their symbol is of."""
    month = pl.col("first").dt.strftime("%Y-%m").alias("_month")
    covering = monthly.select("symbol", month)
    return files.with_columns(month).join(covering, on=["symbol", "_month"], how="anti").drop("_month")


def covered(months: set[str]) -> Callable[[date], bool]:
    """Whether a day lies in one of the months `YYYY-MM`, so that its own file is not wanted."""
    return lambda day: f"{day:%Y-%m}" in months
