"""What an ingest has to fetch: the archive's listing against what is stored already."""

from collections.abc import Callable
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
    """Keys that are stored and no longer listed; their rows are kept."""

    @property
    def files(self) -> pl.DataFrame:
        """All that is to be fetched, oldest month first, so that a month is finished before the next one begins."""
        return pl.concat([self.new, self.restated]).sort(pl.col("first").dt.strftime("%Y-%m"), "symbol", "key")

    @property
    def transferred(self) -> int:
        """Bytes of all files to be fetched, as listed."""
        return int(self.files["size"].sum())


def wanted(listed: pl.DataFrame, first: date | None, last: date | None) -> pl.DataFrame:
    """Monthly files that touch [first, last], and daily files of the months that no monthly file covers.

    Parameters
    ----------
    listed
        LISTED rows.
    first, last
        Days, both included; None is no bound. A monthly file is taken whole.
    """
    inside = listed
    if first is not None:
        inside = inside.filter(pl.col("last") >= first)
    if last is not None:
        inside = inside.filter(pl.col("first") <= last)
    month = pl.col("first").dt.strftime("%Y-%m").alias("month")
    months = inside.filter(pl.col("span") == "monthly").select("symbol", month)
    days = inside.filter(pl.col("span") == "daily").with_columns(month).join(months, on=["symbol", "month"], how="anti")
    return pl.concat([inside.filter(pl.col("span") == "monthly"), days.drop("month")])


def plan(listed: pl.DataFrame, stored: pl.DataFrame) -> Plan:
    """Compare `wanted` files with the SOURCES rows of what is stored.

    A file is restated when its size, its ETag or that of its checksum changed. Symbols that `listed` does not name are
    left alone, and so is a stored day that a monthly file has come to cover.
    """
    versions = stored.select("key", *(pl.col(name).alias(f"stored_{name}") for name in _VERSION))
    both = listed.join(versions, on="key", how="left", maintain_order="left")
    known = pl.col("stored_size").is_not_null()
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"stored_{name}")) for name in _VERSION)
    columns = LISTED.names()
    symbols = listed["symbol"].unique()
    monthly = stored.filter((pl.col("span") == "monthly") & pl.col("symbol").is_in(symbols.implode()))
    return Plan(
        new=both.filter(~known).select(columns),
        restated=both.filter(known & ~same).select(columns),
        unchanged=both.filter(known & same).height,
        vanished=monthly.join(listed, on="key", how="anti")["key"].sort().to_list(),
    )


def covered(months: set[str]) -> Callable[[date], bool]:
    """Whether a day lies in one of the months `YYYY-MM`, so that its own file is not wanted."""
    return lambda day: f"{day:%Y-%m}" in months
