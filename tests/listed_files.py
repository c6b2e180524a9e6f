"""LISTED and SOURCES tables for tests, from the short names of files: "BTCUSDT 2024-12", "BTCUSDT 2025-01-03"."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from sleevegraph.market_data.datasets import DATASETS, Period, Span, file_name, files_prefix
from sleevegraph.market_data.planning import LISTED, SOURCES

BARS = DATASETS["spot_klines_1d"]
FETCHED = datetime(2025, 2, 10, tzinfo=UTC)


def file_of(name: str, **changes: object) -> dict[str, object]:
    """One LISTED row."""
    symbol, text = name.split()
    span: Span = "monthly" if len(text) == 7 else "daily"
    first = date.fromisoformat(text if span == "daily" else f"{text}-01")
    last = first if span == "daily" else (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    key = files_prefix(BARS, span, symbol) + file_name(BARS, symbol, Period(text, first, last))
    version = {"size": 100, "etag": "a", "checksum_etag": "b"}
    named = {"key": key, "symbol": symbol, "span": span, "period": text, "first": first, "last": last}
    return {**named, **version, **changes}


def listed(*names: str, **changes: object) -> pl.DataFrame:
    return pl.DataFrame([file_of(name, **changes) for name in names], schema=LISTED)


def stored(*names: str, sha256: str = "00", **changes: object) -> pl.DataFrame:
    beside = {"sha256": sha256, "rows": 1, "host": "archive", "fetched_at": FETCHED}
    return pl.DataFrame([file_of(name, **changes) | beside for name in names], schema=SOURCES)


def names(files: pl.DataFrame) -> list[str]:
    """Short names, in the order of the rows."""
    return files.select(pl.concat_str("symbol", "period", separator=" ")).to_series().to_list()


def keys(*short: str) -> list[str]:
    return sorted(str(file_of(name)["key"]) for name in short)
