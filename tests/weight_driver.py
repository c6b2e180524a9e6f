"""Processes that ask for weight of one account; forked from one that has their imports."""

import asyncio
import multiprocessing
from contextlib import closing, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from resources.binance.rest import Rest
from resources.binance.settings import BinanceSettings
from resources.binance.transport import Transport
from resources.binance.weight_ledger import WeightLedger
from sleevegraph.errors import TransferError
from sleevegraph.market_data.datasets import DATASETS
from tests.replica.markets import SMALL_SYMBOLS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.ingest_driver", "tests.weight_driver"])
HOST = "api.binance.com"
PAGES = 16
"""Of the hourly bars of all symbols of the small market."""


def take(file: Path, times: int, reports: Connection) -> None:
    """Begin so many requests of weight 1, and report each that may be sent."""
    reports.recv()
    ledger = WeightLedger(file)
    for _ in range(times):
        if not ledger.begin(HOST, 1, 3600.0)[1]:
            reports.send_bytes(b"1")
    reports.close()


def ask_for_everything(file: Path, settings: BinanceSettings, together: Barrier) -> None:
    """Ask a host for all hourly bars, which are a weight of 53, as soon as its limit allows."""
    start, end = datetime(2024, 11, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)

    async def ask() -> None:
        with closing(WeightLedger(file)) as ledger:
            async with Transport(settings) as transport:
                rest, hours = Rest(transport, settings, ledger), DATASETS["spot_klines_1h"]
                await asyncio.gather(*(rest.klines(hours, symbol, start, end) for symbol in SMALL_SYMBOLS))

    together.wait(60)
    with suppress(TransferError):
        asyncio.run(ask())
