"""Which daily bars should be there and are not, and why."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

import polars as pl

ACTIVE_DAYS: Final = 10
"""A symbol without bars or files for longer is none that this home follows."""

SCHEMA: Final = pl.Schema({"symbol": pl.String(), "date": pl.Date(), "why": pl.String()})


def expected_sessions(
    calendar: pl.DataFrame,
    listings: pl.DataFrame,
    bars: pl.DataFrame,
    at: date,
    outage_days: Collection[date] = (),
) -> pl.DataFrame:
    """Bars that the archive or the exchange promises before `at` and that are not known.

    Parameters
    ----------
    calendar
        [symbol, first, last, status]: the days of each file that the archive lists; status `stored`, `quarantined` or
        `failed`.
    listings
        [symbol, listed, status]: the exchange's own, one row a symbol; `listed` is a date or null.
    bars
        [symbol, date] of the known bars.
    at
        The rebalance date P; later days are not expected yet.
    outage_days
        Days on which nothing traded.

    Returns
    -------
    pl.DataFrame
        [symbol, date, why], sorted by symbol and date. `why` is the status of the day's file, `quarantined` or
        `failed`, or `trading`: the exchange says TRADING and there is no bar on P-1, of a symbol that has bars or
        files of the ACTIVE_DAYS before P. A day that a stored file covers is never missing: that file has every bar there was.
    """
    last = at - timedelta(days=1)
    lost = _days_of_lost_files(calendar, listings, last)
    lately = at - timedelta(days=ACTIVE_DAYS)
    active = bars.filter(pl.col("date") >= lately)["symbol"]
    known = pl.concat([active, calendar.filter(pl.col("last") >= lately)["symbol"]]).unique()
    silent = listings.filter(
        (pl.col("status") == "TRADING")
        & (pl.col("listed").fill_null(last) <= last)
        & pl.col("symbol").is_in(known.implode())
    ).select("symbol", pl.lit(last).alias("date"), pl.lit("trading").alias("why"))
    return (
        pl.concat([lost, silent])
        .unique(["symbol", "date"], keep="first", maintain_order=True)
        .filter(~pl.col("date").is_in(list(outage_days)))
        .join(bars, on=["symbol", "date"], how="anti")
        .cast(SCHEMA)
        .sort("symbol", "date")
    )


def _days_of_lost_files(calendar: pl.DataFrame, listings: pl.DataFrame, last: date) -> pl.DataFrame:
    """[symbol, date, why] of the days that only files without rows cover."""
    listed = listings.select("symbol", "listed")
    days = (
        calendar.filter(pl.col("status") != "stored")
        .join(listed, on="symbol", how="left")
        .with_columns(pl.max_horizontal("first", "listed").alias("first"), pl.col("last").clip(upper_bound=last))
        .filter(pl.col("first") <= pl.col("last"))
        .select("symbol", pl.date_ranges("first", "last").alias("date"), pl.col("status").alias("why"))
        .explode("date")
    )
    stored = calendar.filter(pl.col("status") == "stored").select("symbol", "first", "last")
    covered = (
        days.join(stored, on="symbol")
        .filter(pl.col("date").is_between("first", "last"))
        .select("symbol", "date")
        .unique()
    )
    return days.join(covered, on=["symbol", "date"], how="anti")
