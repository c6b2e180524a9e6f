"""One sleeve below two metas and a third that holds one of them: computed once, read once, attributed to every path."""

from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import Path

import polars as pl
import pytest

from definitions import build_definitions
from resources.frames import Frames
from resources.lake import AssetPath, Lake
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.track_record import CASH
from tests.homes import (
    KEYS,
    LONG,
    META,
    NESTED,
    SHORT,
    TemporaryHome,
    made_home,
    remove_homes,
    small_manifest,
    small_market,
)

OTHER = "meta_other"
PATHS = {META: [(META, SHORT)], OTHER: [(OTHER, SHORT)], NESTED: [(NESTED, META, SHORT), (NESTED, SHORT)]}
"""The ways down to the shared sleeve, by meta."""


def meta(name: str, *children: str) -> MetaProfile:
    return MetaProfile(name=name, children=children, weight_min=0.05, weight_max=0.95)


def manifest() -> Manifest:
    metas = (meta(META, LONG, SHORT), meta(OTHER, SHORT, LONG), meta(NESTED, META, SHORT))
    return small_manifest().model_copy(update={"metas": metas})


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, what: Callable[..., object]) -> Counter:
    """Count calls of a method that goes on doing what it does."""
    calls: Counter = Counter()
    real = getattr(owner, method)

    def counting(self: object, *args: object, **others: object) -> object:
        calls[what(*args)] += 1
        return real(self, *args, **others)

    monkeypatch.setattr(owner, method, counting)
    return calls


def contributions(home: TemporaryHome, name: str, key: str, profile: str) -> dict[tuple[str, str], float]:
    """By symbol and path."""
    flat = home.read((name, "flattened_weights"), key).filter(pl.col("profile") == profile)
    rows = flat.explode("contributions").unnest("contributions")
    return {
        (symbol, path): weight for symbol, path, weight in rows.select("symbol", "path", "contribution").iter_rows()
    }


def share(home: TemporaryHome, key: str, profile: str, path: tuple[str, ...]) -> float:
    """Product of child weights down a path."""
    weights = [home.read((parent, "meta_weights"), key) for parent in path[:-1]]
    chosen = (
        rows.filter(pl.col("profile") == profile, pl.col("child") == child)
        for rows, child in zip(weights, path[1:], strict=True)
    )
    return prod(rows["weight"].item() for rows in chosen)


def test_a_shared_sleeve_is_computed_and_read_once_and_attributed_to_every_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = made_home(build_definitions(manifest()))
    try:
        home.ingest(small_market())
        keys = KEYS[:3]
        lake = home.store.folders.lake
        opened = counted(monkeypatch, Frames, "_load", lambda path, *_: path)
        asked = counted(monkeypatch, Lake, "read", lambda asset, key: (asset, key))
        written = counted(monkeypatch, Lake, "write", lambda asset, key, *_: (asset, key))
        assert home.run(*keys).success

        def file(asset: AssetPath, key: str) -> Path:
            return lake.joinpath(*asset) / f"{key}.parquet"

        streams = [
            (SHORT, "track_record"),
            (LONG, "track_record"),
            (META, "meta_track_record"),
            (SHORT, "risk_weights"),
        ]
        for stream in streams:
            for key in keys:
                assert written[stream, key] == 1
                assert asked[stream, key] > len(PATHS), "by every parent, and by checks and reports"
                assert opened[file(stream, key)] == 1
        for name, paths in PATHS.items():
            for profile in RISK_PROFILES:
                held = home.read((SHORT, "risk_weights"), keys[-1]).filter(
                    pl.col("profile") == profile, pl.col("of_record")
                )
                book = {symbol: net for symbol, net in held.select("symbol", "net").iter_rows() if net}
                found = contributions(home, name, keys[-1], profile)
                for path in paths:
                    weight, own = share(home, keys[-1], profile, path), "/".join(path)
                    below = {s: w for (s, p), w in found.items() if p == own and s != CASH}
                    assert below == pytest.approx({s: weight * net for s, net in book.items()}, abs=1e-15), own
    finally:
        remove_homes([home])
