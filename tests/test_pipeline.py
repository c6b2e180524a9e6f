"""Months follow one another without a pause."""

import asyncio
from pathlib import Path

import polars as pl

from resources.binance.archive import Download, ListedFile
from resources.binance.market_lake import MarketLake
from resources.binance.pipeline import Pipeline
from resources.binance.progress import Silent
from sleevegraph.errors import TransferError
from tests.ingests import BARS
from tests.listed_files import keys, listed


class Meeting:
    """An archive that answers nobody until two files are asked for at once."""

    host = "archive"

    def __init__(self) -> None:
        self._both = asyncio.Barrier(2)

    async def download(self, file: ListedFile) -> Download:
        async with asyncio.timeout(10):
            await self._both.wait()
        raise TransferError(f"{file.key}: met another")


def test_the_next_month_is_begun_before_the_last_file_of_this_one_is_there(tmp_path: Path) -> None:
    lake = MarketLake(tmp_path / "market")

    async def run() -> None:
        months = [("2024-12", listed("A 2024-12", "B 2024-12")), ("2025-01", listed("A 2025-01", "B 2025-01"))]
        only_a = [(month, files.with_columns(fetch=pl.col("symbol") == "A")) for month, files in months]
        result = await Pipeline(BARS, lake, Meeting(), Silent()).run(only_a, 2)
        assert sorted(result.failed.reasons) == keys("A 2024-12", "A 2025-01")

    asyncio.run(run())
    status = dict(lake.calendar(BARS, ["key", "status"]).rows())
    assert status == dict.fromkeys(keys("A 2024-12", "A 2025-01"), "failed") | dict.fromkeys(
        keys("B 2024-12", "B 2025-01"), "stored"
    )
