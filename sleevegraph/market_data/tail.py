"""What the archive does not have yet and the exchange has to be asked for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

OVERLAP: Final = timedelta(days=2)
"""Asked for again though the archive has it, so that the two can be compared."""

EPOCH: Final = datetime(2017, 7, 1, tzinfo=UTC)
"""Before the first bar of Binance."""

WINDOW: Final = timedelta(days=40)
"""A day within it that no stored file covers, between days that some cover, is asked for as well."""

TAIL: Final = pl.Schema({"symbol": pl.String(), "start": pl.Datetime("us", "UTC")})


def last_closed(now: datetime, step: timedelta) -> datetime:
    """Open time of the newest bar that is over at `now`."""
    begun = (now - EPOCH) // step
    return EPOCH + (begun - 1) * step


def days_of(sources: pl.DataFrame, answered: pl.DataFrame, closed: datetime) -> pl.DataFrame:
    """[symbol, day] of the WINDOW before `closed` that a stored file covers or REST gave a bar of, each once.

    `sources` are SOURCES, `answered` is [symbol, open_time]. A day that a file covers without rows was a halt.
    """
    first = (closed - WINDOW).date()
    files = sources.filter(pl.col("last") >= first)
    covered = files.select("symbol", day=pl.date_ranges(pl.max_horizontal("first", pl.lit(first)), "last"))
    given = answered.select("symbol", day=pl.col("open_time").dt.date()).filter(pl.col("day") >= first)
    return pl.concat([covered.explode("day"), given]).unique()


def holes(present: pl.DataFrame, archived: pl.DataFrame, asked: Mapping[str, datetime]) -> pl.DataFrame:
    """The first day that is missing of each symbol that lacks one before its last archived day, as [symbol, hole].

    `present` are `days_of` it; `archived` is as for `tail`. Up to `asked` a symbol was asked for before: what the exchange
    had no bar of then was a halt.
    """
    spans = present.group_by("symbol").agg(begin=pl.col("day").min()).join(archived, on="symbol")
    spans = spans.filter(pl.col("begin") <= pl.col("last"))
    days = spans.select("symbol", day=pl.date_ranges("begin", "last")).explode("day")
    until = pl.col("symbol").replace_strict(
        {symbol: moment.date() for symbol, moment in asked.items()}, default=None, return_dtype=pl.Date()
    )
    open_days = days.filter((pl.col("day") > until).fill_null(value=True))
    return open_days.join(present, on=["symbol", "day"], how="anti").group_by("symbol").agg(hole=pl.col("day").min())


def tail(
    asked: Sequence[str],
    archived: pl.DataFrame,
    answered: pl.DataFrame,
    lacking: pl.DataFrame,
    closed: datetime,
    step: timedelta,
    first: date | None,
) -> pl.DataFrame:
    """From when on REST has to be asked, per symbol that needs it.

    Parameters
    ----------
    asked
        Symbols that the exchange may have bars of.
    archived
        [symbol, last]: the last day whose archive file is stored.
    answered
        [symbol, newest]: open time of the newest bar that REST gave before.
    lacking
        `holes`: [symbol, hole].
    closed
        Open time of the newest bar that is over.
    step
        Between two bars.
    first
        First day wanted of a symbol that the archive does not have at all.

    Returns
    -------
    pl.DataFrame
        TAIL, sorted by symbol. A symbol without anything new is left out.
    """
    begin = datetime.combine(first, time(), UTC) if first else EPOCH
    moment = TAIL["start"]
    missing = _midnight("last") + timedelta(days=1)
    symbols = pl.DataFrame({"symbol": sorted(set(asked))}, schema={"symbol": pl.String()})
    known = symbols.join(archived, on="symbol", how="left").join(answered, on="symbol", how="left")
    known = known.join(lacking, on="symbol", how="left")
    known = known.with_columns(missing=missing, resumed=pl.col("newest").cast(moment) + step)
    from_archive = pl.when(pl.col("missing") <= closed).then(pl.col("missing") - OVERLAP)
    never = pl.col("missing").is_null()
    start = pl.when(never).then(pl.lit(begin, moment)).otherwise(from_archive)
    onward = pl.max_horizontal(start, pl.when(start.is_not_null()).then("resumed"))
    onward = pl.when(onward <= closed).then(onward)
    found = known.select("symbol", start=pl.min_horizontal(onward, _midnight("hole")))
    return found.drop_nulls("start").cast(TAIL).sort("symbol")


def _midnight(day: str) -> pl.Expr:
    return pl.col(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TAIL["start"])
