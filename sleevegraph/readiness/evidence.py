"""What else is known about the daily bars: the archive's calendar, the exchange's listings, hourly bars, both sources."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from sleevegraph.errors import BarsError
from sleevegraph.readiness.gaps import gaps
from sleevegraph.readiness.outages import spans, standstills

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Frames beside the daily bars; None is not known. Symbols as the exchange writes them: BTCUSDT.

    Attributes
    ----------
    calendar
        [symbol, first, last, status]: the days of each daily-bar file that the archive lists; status `stored`,
        `quarantined` or `failed`. Days at or after P are cut.
    listings
        [symbol, listed, status] of the snapshot in force at P, one row a symbol; `listed` is a date or null.
    hourly
        Klines of one hour before P.
    archive
        Klines of one day before P, as the archive has them.
    rest
        The same from the REST API, with the `host` that served each.
    """

    calendar: pl.DataFrame | None = None
    listings: pl.DataFrame | None = None
    hourly: pl.DataFrame | None = None
    archive: pl.DataFrame | None = None
    rest: pl.DataFrame | None = None

    def before(self, at: date) -> "Evidence":
        """Cut the calendar at `at`; raise BarsError when a bar is dated at or after it: the caller looks ahead."""
        midnight = datetime.combine(at, time(), UTC)
        for name, bars in (("hourly", self.hourly), ("archive", self.archive), ("rest", self.rest)):
            newest = None if bars is None else bars["open_time"].max()
            if isinstance(newest, datetime) and newest >= midnight:
                raise BarsError(
                    f"bars_complete at {at}: {name}: expected bars before {at}, found one on {newest}; cut them at P"
                )
        calendar = self.calendar
        if calendar is not None:
            calendar = calendar.filter(pl.col("first") < at).with_columns(pl.col("last").clip(upper_bound=at - DAY))
        return Evidence(calendar, self.listings, self.hourly, self.archive, self.rest)


def by_ticker(bars: pl.DataFrame) -> pl.DataFrame:
    """BAR_SCHEMA rows as klines: symbol without its exchange, `open_time` for date, no quote volume that was derived."""
    quote_volume = pl.when(~pl.col("quote_volume_derived")).then("quote_volume").alias("quote_volume")
    ticker = bars["symbol"].unique(maintain_order=True)
    bare = pl.col("symbol").replace_strict(ticker, ticker.str.split(":").list.last(), return_dtype=pl.String)
    open_time = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time")
    return bars.select(bare, open_time, "date", "open", "high", "low", "close", "volume", quote_volume)


def confirmed_outages(times: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Whole days without bars that the archive confirms: of the symbols that miss the day, most have a stored file of it.

    Parameters
    ----------
    times
        [symbol, open_time] of the daily bars.
    calendar
        As in Evidence.

    Returns
    -------
    pl.DataFrame
        As `outages` gives them. A day that was never ingested has no stored file, so it is none.
    """
    days = standstills(times, DAY)
    stored = calendar.filter(pl.col("status") == "stored").select("symbol", "first", "last")
    missed = days.join_where(
        gaps(times, DAY), pl.col("open_time") >= pl.col("from"), pl.col("open_time") <= pl.col("to")
    ).select("symbol", "open_time")
    covered = (
        missed.join(stored, on="symbol")
        .filter(pl.col("open_time").dt.date().is_between("first", "last"))
        .select("symbol", "open_time")
        .unique()
    )
    counts = covered.group_by("open_time").len()
    confirmed = missed.group_by("open_time").len("missed").join(counts, on="open_time")
    confirmed = confirmed.filter(2 * pl.col("len") > pl.col("missed"))
    return spans(days.join(confirmed, on="open_time", how="semi").sort("open_time"), DAY)
