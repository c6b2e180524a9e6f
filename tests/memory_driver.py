"""Survey, plan and calendar of a listing that is made up, and the memory that they take: `... SYMBOLS DAYS FOLDER`.

Every file is new at first, and stored as listed the second time; none is fetched.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from pathlib import Path

import polars as pl

from profiles.load import load_manifest
from resources.binance.archive import ListedFile, SymbolListing
from resources.binance.market_lake import MarketLake, Unit, unit_of
from resources.binance.pipeline import Pipeline
from resources.binance.progress import Silent
from resources.binance.spool import Spool
from resources.binance.survey import Request, Survey, survey
from sleevegraph.market_data.datasets import DATASETS, Dataset, Period, Span, file_name, files_prefix
from sleevegraph.market_data.merging import SOURCE, Merged
from sleevegraph.market_data.planning import SOURCES

METRICS = DATASETS["um_metrics"]
FIRST = date(2018, 1, 1)
FETCHED = datetime(2025, 1, 1, tzinfo=UTC)
CONCURRENCY = 24


class MadeUp:
    """An archive that lists one file for each symbol and day."""

    host = "archive"

    def __init__(self, symbols: int, days: int) -> None:
        self._symbols = symbols
        self._days = [FIRST + timedelta(days=number) for number in range(days)]

    async def symbols(self, dataset: Dataset, span: Span) -> SymbolListing:
        del dataset, span
        return SymbolListing([f"S{number}USDT" for number in range(self._symbols)], [])

    async def files(
        self, dataset: Dataset, span: Span, symbol: str, after: str, covered: Callable[[date], bool]
    ) -> list[ListedFile]:
        del after, covered
        return [_file(dataset, span, symbol, day) for day in self._days]


def _file(dataset: Dataset, span: Span, symbol: str, day: date) -> ListedFile:
    period = Period(day.isoformat(), day, day)
    key = files_prefix(dataset, span, symbol) + file_name(dataset, symbol, period)
    etag = md5(key.encode(), usedforsecurity=False).hexdigest()
    return ListedFile(key, symbol, span, period, 9000, etag, etag[::-1])


def store(lake: MarketLake, month: str, files: pl.DataFrame) -> None:
    """Put the files of a month (LISTED) into the lake, none of which has a row."""
    fetched = {"rows": pl.lit(0, pl.Int64), "host": pl.lit("archive"), "fetched_at": pl.lit(FETCHED)}
    sources = files.with_columns(sha256=pl.col("etag").repeat_by(2).list.join(""), **fetched)
    shards = {symbol: unit_of(METRICS, symbol, month).shard for symbol in files["symbol"].unique()}
    shard = sources["symbol"].replace_strict(shards, return_dtype=pl.Int64)
    rows, none = pl.Schema({**METRICS.schema, SOURCE: pl.UInt32()}).to_frame(), pl.DataFrame()
    for (number,), some in sources.select(SOURCES.names()).cast(SOURCES).group_by(shard):
        lake.commit(METRICS, Unit(month, int(str(number))), Merged(rows, some, none, none, 0))


async def ingested(lake: MarketLake, archive: MadeUp, spool: Spool) -> Survey:
    """As far as an ingest goes until a file is fetched; then its calendar where nothing is."""
    request, rules = Request(METRICS, ("USDT",)), load_manifest().market.symbols
    found = await survey(request, archive, lake, spool, (), {}, rules, CONCURRENCY, Silent())
    if not found.totals.files:
        await Pipeline(METRICS, lake, archive, Silent()).run(spool.planned(), CONCURRENCY)
    return found


def peak_mib() -> float:
    """Peak of this process's resident memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> None:
    symbols, days, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    lake, archive, found = MarketLake(folder / "market"), MadeUp(symbols, days), []
    for _ in range(2):
        with tempfile.TemporaryDirectory(dir=folder) as spooled:
            spool = Spool(Path(spooled))
            found.append(asyncio.run(ingested(lake, archive, spool)).totals)
            for month, planned in spool.planned():
                if found[-1].files:
                    store(lake, month, planned.drop("fetch"))
    calendar = lake.calendar(METRICS, ["status"])
    print(found[0].files, found[1].unchanged, calendar.height, peak_mib())  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
