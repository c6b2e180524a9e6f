"""Bundles of a home as claims, and what a test does to them."""

from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from resources.bundle_files import read_bundle
from resources.lake import AssetPath
from sleevegraph.audit.claim import Claim, claimed
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.replay import Comparison
from tests.bundles import Bundle, Record
from tests.homes import KEYS, TemporaryHome

AT = KEYS[2]


def run_of(portfolio: str, key: str = AT) -> str:
    """Name of a bundle's folder."""
    return f"{portfolio}-{key.replace('-', '')}"


def claim_of(home: Path, run: str, *changed: Bundle) -> Claim:
    """What a bundle of a home claims, with some bundles as a test changed them."""
    instead = {bundle.name: bundle.files for bundle in changed}

    def evidence(name: str) -> Evidence:
        return Evidence(instead.get(name) or read_bundle(home / "runs" / name).files)

    return claimed(evidence(run), evidence)


def differing(comparisons: Collection[Comparison]) -> list[str]:
    """All that differs, in order."""
    return [one.what for one in comparisons if one.difference]


def put(bundle: Bundle, folder: Path) -> None:
    """Write a bundle's files over those that were there."""
    for file, content in bundle.files.items():
        (folder / file).write_bytes(content)


def to(key: str, value: Any) -> Callable[[Record], object]:
    """Set one key of a record."""
    return lambda record: record.update({key: value})


def stage_of(asset: AssetPath, key: str = AT) -> Callable[[Record], bool]:
    """Whether a record is about one partition."""
    return lambda record: record["asset"] == "/".join(asset) and record["partition"] == key


def changed_bars(home: TemporaryHome, *days: date) -> None:
    """Move the close of one symbol by a hair, in the lake's files."""
    for month in {f"{day:%Y-%m}" for day in days}:
        hair = (
            pl.when((pl.col("symbol") == "BINANCE:BTCUSDT") & pl.col("date").is_in(days))
            .then(1.0 + 2**-52)
            .otherwise(1.0)
        )
        home.plant(("daily_bars",), month, pl.col("close") * hair)
