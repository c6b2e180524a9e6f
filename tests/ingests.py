"""Ingests against a replica, and what of a market lake can be compared."""

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path

import polars as pl

from profiles.load import load_manifest
from resources.binance.ingest import Ingest, Ingested
from resources.binance.market_lake import MarketLake, Unit
from resources.binance.progress import Progress, Silent
from resources.binance.settings import BinanceSettings
from resources.binance.survey import Request
from sleevegraph.manifest import MarketProfile
from sleevegraph.market_data.datasets import DATASETS, Dataset
from sleevegraph.market_data.merging import SOURCE
from tests.replica.asking import get
from tests.replica.files import zipped
from tests.replica.handle import Replica

BARS = DATASETS["spot_klines_1d"]
PROVENANCE = ("key", "size", "etag", "checksum_etag", "sha256", "rows", "host")
"""Of a source: all but when it was fetched."""


@cache
def market() -> MarketProfile:
    return load_manifest().market


def ingest(
    lake: MarketLake,
    settings: BinanceSettings,
    dataset: Dataset = BARS,
    *,
    symbols: Sequence[str] = (),
    first: date | None = None,
    last: date | None = None,
    progress: Progress | None = None,
) -> Ingested:
    """One ingest of what is quoted in USDT."""
    request = Request(dataset, ("USDT",), first, last, tuple(symbols))
    return Ingest(lake, settings, market().symbols, {}, progress or Silent()).run(request, lambda: None)


def expected(frame: pl.DataFrame, dataset: Dataset = BARS) -> pl.DataFrame:
    """Rows of a replica's frame as a lake gives them."""
    names = [name for name in dataset.schema.names() if name in frame.columns]
    return frame.select(names).cast({name: dataset.schema[name] for name in names}).sort(names[:2])


def provenance(lake: MarketLake, dataset: Dataset = BARS) -> pl.DataFrame:
    return lake.sources(dataset).select(PROVENANCE).sort("key")


def rows_with_origin(lake: MarketLake, dataset: Dataset = BARS) -> pl.DataFrame:
    """Archive rows, each with the key and SHA-256 of the file that it is from."""
    parts = []
    for path in sorted((lake.root / dataset.name).glob("????-??/archive-*.parquet")):
        month, shard = path.parent.name, int(path.stem.partition("-")[2])
        rows, sources = lake.read(dataset, Unit(month, shard))
        origin = sources.with_row_index(SOURCE).select(SOURCE, "key", "sha256", "fetched_at", "host")
        parts.append(rows.join(origin, on=SOURCE, how="left", maintain_order="left").drop(SOURCE))
    return pl.concat(parts).sort("symbol", dataset.time)


def key_of(symbol: str, period: str, interval: str = "1d") -> str:
    span = "monthly" if len(period) == 7 else "daily"
    return f"data/spot/{span}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"


def lines_of(replica: Replica, key: str) -> list[str]:
    """Of the CSV that the replica serves now."""
    with zipfile.ZipFile(io.BytesIO(get(replica, key).raise_for_status().content)) as archive:
        return archive.read(archive.namelist()[0]).decode().splitlines()


def restate(replica: Replica, key: str, change: Callable[[list[str]], list[str]]) -> None:
    """Let the replica serve other lines under a key from now on."""
    member = key.rpartition("/")[2].removesuffix(".zip") + ".csv"
    replica.replace(key, zipped(member, "\n".join(change(lines_of(replica, key))) + "\n"))


def files_below(root: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path below `root`."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def read_everything(root: Path) -> None:
    """As readers do, after whatever happened to the writer: each file that they look at is whole."""
    lake = MarketLake(root)
    for dataset in DATASETS.values():
        rows, sources = lake.rows(dataset), lake.sources(dataset)
        assert rows.select(rows.columns[:2]).is_duplicated().sum() == 0
        assert sources["rows"].sum() >= lake.archive(dataset).collect().height
        for revised, restated in lake.revisions(dataset):
            assert revised.height or restated.height
        lake.calendar(dataset)
