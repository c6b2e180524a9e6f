"""Throughput and memory of an ingest beside a bare loop over the same files, from the same replica, in one run.

    python -m bench.ingest [--symbols N] [--months N] [--recorded] [--memory]

The market is simulated; with `--recorded` it is the 411 recorded symbols, where those are. The bare loop fetches each
zip and its CHECKSUM and unpacks in memory (`bench.bare_loop`); the ingest checks, parses, merges and stores as well. The
loop has one client for all its tasks, as it is usually written, and then one for each, which is faster. Every run is a
process of its own, in turns, three times; memory is its peak. `--memory` adds ingests of ever more files, which should
not need more.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import polars as pl

from bench.bare_loop import bare_loop
from bench.memory import peak_mib
from profiles.load import load_manifest
from resources.binance.archive import Archive
from resources.binance.ingest import Ingest, Ingested
from resources.binance.market_lake import MarketLake
from resources.binance.progress import Progress, Silent
from resources.binance.settings import BinanceSettings
from resources.binance.spool import Spool
from resources.binance.survey import Request, survey
from resources.binance.transport import Transport
from sleevegraph.market_data.datasets import DAILY, DATASETS
from sleevegraph.simulated_market import simulated_bars
from tests.replica import markets
from tests.replica.build import build
from tests.replica.handle import Replica

ROUNDS = 3
WANTED = 0.6
"""Of the bare loop's throughput."""

SERIES = (2_000, 5_000, 10_000, 20_000)
SERIES_SYMBOLS, SERIES_MONTHS = 450, 50
NOW = datetime(2024, 1, 20, 12, tzinfo=UTC)

KINDS = ("shared", "ingest", "own")
ROWS = (
    ("bare loop, one client", "shared", "seconds"),
    ("bare loop, one for each task", "own", "seconds"),
    ("ingest, files", "ingest", "seconds"),
    ("ingest, files and listing", "ingest", "whole"),
)
"""What is shown: its name, the kind of run, and which of its times."""

Figures = dict[str, float]


class Stopwatch:
    """When the files began to be fetched."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def begin(self, stage: str, total: int) -> None:
        """Note the time of the stage that counts."""
        del total
        if stage == "files":
            self.began = time.perf_counter()

    def advance(self, transferred: int = 0) -> None:
        """Count nothing."""


def of_archive(symbols: list[str]) -> Request:
    """Daily bars of the archive alone: what REST adds has no counterpart in the bare loop."""
    return Request(DATASETS[DAILY], ("USDT",), last=date(2100, 1, 1), symbols=tuple(symbols))


def ingested(lake: Path, settings: BinanceSettings, symbols: list[str], progress: Progress) -> Ingested:
    """Ingest what `of_archive` asks for."""
    rules = load_manifest().market.symbols
    return Ingest(MarketLake(lake), settings, rules, {}, progress).run(of_archive(symbols), lambda: None)


def child(kind: str, job: Path) -> Figures:
    """One transfer in this process."""
    asked = json.loads(job.read_text("utf-8"))
    settings = BinanceSettings(**{**asked["settings"], "api_urls": tuple(asked["settings"]["api_urls"])})
    began = time.perf_counter()
    if kind != "ingest":
        done = asyncio.run(bare_loop(settings, asked["keys"], settings.concurrency, shared=kind == "shared"))
        return {"files": done.files, "seconds": done.seconds, "whole": done.seconds, "peak": peak_mib()}
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=job.parent) as lake:
        made = ingested(Path(lake), settings, asked["symbols"], watch)
        ended = time.perf_counter()
    if made.transferred.files != len(asked["keys"]):
        raise SystemExit(f"expected {len(asked['keys'])} files, found {made.transferred.files} stored")
    return {
        "files": made.transferred.files,
        "seconds": ended - watch.began,
        "whole": ended - began,
        "peak": peak_mib(),
    }


def measured(kind: str, folder: Path, settings: BinanceSettings, keys: list[str], symbols: list[str]) -> Figures:
    """The same in a process of its own."""
    job = folder / "job.json"
    job.write_text(json.dumps({"settings": asdict(settings), "keys": keys, "symbols": symbols}), "utf-8")
    command = [sys.executable, "-m", "bench.ingest", "--child", kind, "--job", str(job)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    figures: Figures = json.loads(done.stdout)
    return figures


def simulated(symbols: int, months: int) -> pl.DataFrame:
    """Daily klines up to NOW's month, and the days of that month."""
    start = NOW.date().replace(day=1)
    for _ in range(months):
        start = (start - timedelta(days=1)).replace(day=1)
    bars = simulated_bars(NOW.date(), symbols=symbols, start=start)
    moment = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time")
    values = ("open", "high", "low", "close", "volume", "quote_volume")
    ticker = pl.col("symbol").str.split(":").list.last()
    return bars.filter(pl.col("quote") == "USDT").select(ticker, moment, *values)


def keys_by_symbol(folder: Path, settings: BinanceSettings) -> dict[str, list[str]]:
    """What an ingest of everything would fetch."""
    lake, rules, size = MarketLake(folder / "none"), load_manifest().market.symbols, settings.concurrency

    async def survey_into(spool: Spool) -> None:
        async with Transport(settings) as transport:
            archive = Archive(transport, settings)
            await survey(of_archive([]), archive, lake, spool, (), {}, rules, size, Silent())

    with tempfile.TemporaryDirectory(dir=folder) as listing:
        spool = Spool(Path(listing))
        asyncio.run(survey_into(spool))
        files = pl.concat([planned for _, planned in spool.planned()])
    by_symbol = files.filter("fetch").group_by("symbol", maintain_order=True).agg("key")
    return dict(by_symbol.iter_rows())


def throughput(folder: Path, settings: BinanceSettings) -> None:
    """Print the table of both, in turns."""
    known = keys_by_symbol(folder, settings)
    keys = [key for some in known.values() for key in some]
    runs: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        for kind in KINDS if number % 2 else reversed(KINDS):
            runs[kind].append(measured(kind, folder, settings, keys, sorted(known)))
    print(f"{len(keys)} files of {len(known)} symbols, {settings.concurrency} at once, median of {ROUNDS}")
    print(f"{'':28} {'seconds':>8} {'files/s':>8} {'peak MiB':>9} {'to one client':>14} {'to one each':>12}")
    shared, own = (median(run["seconds"] for run in runs[kind]) for kind in ("shared", "own"))
    for name, kind, clock in ROWS:
        seconds, peak = median(run[clock] for run in runs[kind]), max(run["peak"] for run in runs[kind])
        ratios = f"{shared / seconds:14.2f} {own / seconds:12.2f}"
        print(f"{name:28} {seconds:8.2f} {len(keys) / seconds:8.0f} {peak:9.0f} {ratios}")
    print(
        f"wanted: at least {WANTED} of a bare loop; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )


def memory(folder: Path, settings: BinanceSettings) -> None:
    """Print the peak by the number of files."""
    known = keys_by_symbol(folder, settings)
    print(f"{'files':>8} {'symbols':>8} {'seconds':>8} {'peak MiB':>9}")
    for target in SERIES:
        symbols: list[str] = []
        keys: list[str] = []
        for symbol, some in sorted(known.items()):
            if len(keys) < target:
                symbols.append(symbol)
                keys += some
        run = measured("ingest", folder, settings, keys, symbols)
        print(f"{len(keys):8} {len(symbols):8} {run['whole']:8.1f} {run['peak']:9.0f}")


def main() -> None:
    """Build the market, serve it and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=120)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--recorded", action="store_true", help="411 recorded symbols instead of simulated ones")
    parser.add_argument("--memory", action="store_true", help="also the peak memory of 2,000 to 20,000 files")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.job)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.recorded:
            markets.build_recorded(root / "tree")
        else:
            build(root / "tree", {DAILY: simulated(options.symbols, options.months)}, now=NOW, packed=True)
        with Replica(root / "tree") as replica:
            throughput(root, replica.settings(timeout_seconds=20.0))
        if options.memory:
            bars = simulated(SERIES_SYMBOLS, SERIES_MONTHS)
            build(root / "wide", {DAILY: bars}, now=NOW, daily_from=NOW.date(), packed=True)
            with Replica(root / "wide") as replica:
                memory(root, replica.settings(timeout_seconds=20.0))


if __name__ == "__main__":
    main()
