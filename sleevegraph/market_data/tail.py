"""What the archive does not have yet and the exchange has to be asked for."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

OVERLAP: Final = timedelta(days=2)
"""Asked for again though the archive has it, so that the two can be compared."""

EPOCH: Final = datetime(2017, 7, 1, tzinfo=UTC)
"""Before the first bar of Binance."""

TAIL: Final = pl.Schema({"symbol": pl.String(), "start": pl.Datetime("us", "UTC")})


def last_closed(now: datetime, step: timedelta) -> datetime:
    """Open time of the newest bar that is over at `now`."""
    begun = (now - EPOCH) // step
    return EPOCH + (begun - 1) * step


def tail(
    trading: Sequence[str],
    archived: pl.DataFrame,
    answered: pl.DataFrame,
    closed: datetime,
    step: timedelta,
    first: date | None,
) -> pl.DataFrame:
    """From when on REST has to be asked, per symbol that needs it.

    Parameters
    ----------
    trading
        Symbols that the exchange says are trading.
    archived
        [symbol, last]: the last day whose archive file is stored.
    answered
        [symbol, newest]: open time of the newest bar that REST gave before.
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
    missing = (pl.col("last").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + timedelta(days=1)).cast(moment)
    symbols = pl.DataFrame({"symbol": sorted(set(trading))}, schema={"symbol": pl.String()})
    known = symbols.join(archived, on="symbol", how="left").join(answered, on="symbol", how="left")
    known = known.with_columns(missing=missing, resumed=pl.col("newest").cast(moment) + step)
    from_archive = pl.when(pl.col("missing") <= closed).then(pl.col("missing") - OVERLAP)
    never = pl.col("missing").is_null()
    start = pl.when(never).then(pl.lit(begin, moment)).otherwise(from_archive)
    asked = known.select("symbol", start=pl.max_horizontal(start, pl.when(start.is_not_null()).then("resumed")))
    return asked.filter(pl.col("start") <= closed).cast(TAIL).sort("symbol")
