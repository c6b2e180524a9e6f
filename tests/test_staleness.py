"""A change of the manifest changes the code version of the assets that read it, and only those are stale in the UI."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_graphql.test.utils import execute_dagster_graphql
from pydantic import BaseModel

from definitions import build_definitions
from profiles.load import load_manifest
from resources.grid import GRID
from resources.lake import AssetPath
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.simulated_market import simulated_bars
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, small_manifest, small_market

FRACTAL = "meta_fractal"
"""The shipped meta above META."""
METAS = ("meta_benchmark", "meta_ma_benchmark", "meta_crypto_only", FRACTAL)

# What every compute function reads, found by reading it: by dotted key another valid value, and the assets that read
# the key. Pictures and checks are no part of an asset's rows, so a key that only they read touches none. Audit bundles
# hold the whole manifest of what they are of, so every key touches them (see `bundles`).
MARKET: Mapping[str, tuple[Any, set[str]]] = {
    "exchange": ("OTHER", {"daily_bars"}),
    "benchmark_symbols": (
        ("BINANCE:ETHUSDT",),
        {f"*/{asset}" for asset in ("winners", "synthetic_returns", "solver_cells", "sleeve_metrics")}
        | {f"{meta}/meta_metrics" for meta in METAS},
    ),
    "universe.min_days_floor": (250, {"universe"}),
    "universe.lookback_days": (499, {"universe"}),
    "universe.train_days": (251, {"universe"}),
    "universe.liquidity_days": (31, {"universe"}),
    "universe.liquidity_floor": (2e6, {"universe"}),
    "universe.quotes": (("USDT", "USDC"), {"universe"}),
    "universe.max_return": (6.0, {"universe", "technical_ratings"}),
    "universe.max_missing_share": (0.2, {"universe"}),
    "universe.min_annual_volatility": (0.03, {"universe"}),
    "universe.excluded_bases": ({"stable": ("USDC",)}, {"universe"}),
    "completeness.min_fresh_share": (0.7, set()),
    "completeness.max_defect_share": (0.1, {"corroboration"}),
    "symbols.quotes": (("USDT",), {"daily_bars"}),
    "symbols.renames": ((), set()),
    "automation.bars_deadline_hours": (24.0, set()),
}
SLEEVE: Mapping[str, tuple[Any, set[str]]] = {
    "logic": ("rating_x", {"synthetic_returns", "risk_weights"}),
    "rating": ("recommend_other", {"candidates"}),
    "quotes": (("USDT",), {"candidates", "synthetic_returns", "solver_cells"}),
    "direction": ("SHORT", {"candidates", "winners", "synthetic_returns", "risk_weights"}),
    "owner": ("somebody", set()),
    "selection.train_days": (200, {"winners", "synthetic_returns", "solver_cells"}),
    "selection.limit": (99, {"candidates"}),
    "selection.feature_weights": ({"momentum": 2.0}, {"winners"}),
    "selection.entropy_max_threshold": (0.99, {"winners"}),
    "selection.efficiency_min_threshold": (0.06, {"winners"}),
    "selection.kurtosis_max_threshold": (19.0, {"winners"}),
    "selection.volatility_max_threshold": (2.4, {"winners"}),
    "selection.hurst_centre": (0.57, {"winners"}),
    "selection.cluster_lookbacks": ((60, 120), {"winners"}),
    "selection.cluster_threshold": (0.4, {"winners"}),
    "selection.max_clusters": (24, {"winners"}),
    "selection.top_n": (14, {"winners"}),
    "selection.min_winners": (14, {"winners"}),
    "selection.max_winners": (24, {"winners"}),
    "selection.sparse_below": (4, {"winners"}),
    "risk.engines": (("native", "skfolio"), {"solver_cells"}),
    "risk.engine_of_record": (
        "skfolio",
        {"solver_cells", "risk_weights"},  # it says who solves the barbell, and what is traded from then on
    ),
    "risk.covariance": ("sample", {"solver_cells"}),
    "risk.cluster_cap": (0.2, {"solver_cells"}),
    "risk.max_cluster_weight": (0.5, {"risk_weights"}),
    "risk.turnover_limit": (0.5, {"risk_weights"}),
    "risk.time_limit_seconds": (20.0, {"solver_cells"}),
    "risk.max_failure_share": (0.2, set()),
    "risk.failure_windows": (12, set()),
    "ledger.slippage": (0.002, {"track_record"}),
    "ledger.commission": (0.002, {"track_record"}),
    "ledger.borrow": (0.03, {"track_record"}),
}
META_KEYS: Mapping[str, tuple[Any, set[str]]] = {
    "children": (
        (LONG, "binance_spot_rating_ma_long"),
        {"meta_weights", "meta_track_record", "flattened_weights", f"{FRACTAL}/flattened_weights"},
    ),
    "weight_min": (0.1, {"meta_weights"}),
    "weight_max": (0.9, {"meta_weights"}),
    "owner": ("somebody", set()),
    "covariance": ("sample", {"meta_weights"}),
    "lookback_windows": (23, {"meta_weights"}),
    "min_history_windows": (4, {"meta_weights"}),
    "max_rows_lost": (0.1, {"meta_weights"}),
    "concentration_warn": (0.2, set()),
    "concentration_block": (0.5, set()),
    "parity_exceptions": ({"ledger.slippage": "a reason"}, set()),
    "trading.equity": (5e4, {"trade_list"}),
    "trading.short_policy": ("drop", {"trade_list"}),
    "trading.participation_warn": (0.02, {"trade_list"}),
    "trading.participation_cap": (0.1, {"trade_list"}),
    "trading.quantity_step": (1e-6, {"trade_list"}),
    "trading.min_notional": (10.0, {"trade_list"}),
    "ledger.slippage": (0.002, {"meta_track_record", "trade_list"}),
    "ledger.commission": (0.002, {"meta_track_record", "trade_list"}),
    "ledger.borrow": (0.03, {"meta_track_record"}),
}
TABLES = {"market": (MarketProfile, MARKET), LONG: (SleeveProfile, SLEEVE), META: (MetaProfile, META_KEYS)}
ROWS = [(part, key) for part, (_, table) in TABLES.items() for key in table]

CHEAP = (
    (LONG, "selection.limit", 1, (LONG, "candidates"), KEYS[2]),
    (LONG, "risk.cluster_cap", 0.4, (LONG, "solver_cells"), KEYS[2]),
    (LONG, "risk.covariance", "sample", (LONG, "solver_cells"), KEYS[2]),
    (LONG, "risk.turnover_limit", 0.05, (LONG, "risk_weights"), KEYS[2]),
    (LONG, "ledger.slippage", 0.05, (LONG, "track_record"), KEYS[2]),
    (META, "weight_max", 0.5, (META, "meta_weights"), KEYS[3]),
)
"""Keys whose other value changes rows of the small market, the one asset that reads each, and a rebalance that shows it."""

ASK = """query Stale($assets: [AssetKeyInput!]!, $partitions: [String!]!) {
  assetNodes(assetKeys: $assets) {
    assetKey { path }
    staleStatus
    staleStatusByPartition(partitions: $partitions)
    staleCausesByPartition(partitions: $partitions) { key { path } category }
  }
}"""
"""What the page of a partition asks, for several partitions at once."""


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Dotted keys of a profile that hold a value."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{above}{name}.")
        else:
            yield above + name


def with_key(profile: BaseModel, key: str, value: object) -> BaseModel:
    """The profile with another value at a dotted key, validated as a file is."""
    whole = profile.model_dump()
    *tables, last = key.split(".")
    table = whole
    for name in tables:
        table = table[name]
    assert table[last] != value, f"{key}: the other value is the one it has"
    table[last] = value
    return type(profile).model_validate(whole)


def changed(manifest: Manifest, part: str, key: str, value: object) -> Manifest:
    """The manifest with another value in its market, or in the sleeve or meta named `part`."""
    if part == "market":
        return manifest.model_copy(update={"market": with_key(manifest.market, key, value)})
    return manifest.model_copy(
        update={
            field: tuple(with_key(p, key, value) if p.name == part else p for p in getattr(manifest, field))
            for field in ("sleeves", "metas")
        }
    )


def versions(definitions: dg.Definitions) -> dict[str, str | None]:
    """Code version by asset."""
    specs = (spec for asset in definitions.assets or () for spec in getattr(asset, "specs", [asset]))
    return {spec.key.to_user_string(): spec.code_version for spec in specs}


@cache
def shipped() -> Manifest:
    return load_manifest()


@cache
def shipped_versions() -> dict[str, str | None]:
    return versions(build_definitions(shipped()))


def bundles(part: str) -> set[str]:
    """Audit bundles that hold the market, or the sleeve or meta named `part`: its own and of every meta above it."""
    portfolios = (*shipped().sleeves, *shipped().metas)
    above = {part}
    for meta in shipped().metas:  # children before parents
        above |= {meta.name} if above & set(meta.children) else set()
    return {f"{p.name}/audit_bundle" for p in portfolios if part == "market" or p.name in above}


def named(part: str, readers: set[str]) -> set[str]:
    """Assets of a line of the table: `*/` stands for every sleeve, a bare stage is one of `part` itself."""
    every = {f"{s.name}/{r.removeprefix('*/')}" for r in readers if r.startswith("*/") for s in shipped().sleeves}
    own = {r if "/" in r or part == "market" else f"{part}/{r}" for r in readers if not r.startswith("*/")}
    return every | own


@pytest.mark.parametrize("part", TABLES)
def test_every_key_of_the_manifest_has_its_line(part: str) -> None:
    model, table = TABLES[part]
    own = {"name", "signal"}  # a sleeve with a signal has another asset above it: tests/test_signal_graph.py
    assert set(table) == set(leaves(model)) - own, "say of each key which assets read it; see MARKET"


@pytest.mark.parametrize(("part", "key"), ROWS)
def test_a_key_changes_the_code_version_of_the_assets_that_read_it_and_of_no_other(part: str, key: str) -> None:
    value, readers = TABLES[part][1][key]
    after = versions(build_definitions(changed(shipped(), part, key, value)))
    before = shipped_versions()
    assert set(after) == set(before)
    assert {asset for asset in before if before[asset] != after[asset]} == named(part, readers) | bundles(part)


@pytest.mark.parametrize(("part", "key", "value", "reader", "at"), CHEAP, ids=[f"{row[0]}-{row[1]}" for row in CHEAP])
def test_rows_change_where_the_version_does_and_are_the_same_to_the_bit_elsewhere(
    home: TemporaryHome, part: str, key: str, value: object, reader: AssetPath, at: str
) -> None:
    assert named(part, TABLES[part][1][key][1]) == {"/".join(reader)}
    definitions = build_definitions(changed(small_manifest(), part, key, value))
    before = home.hashes()
    # Whatever else is made from the profile that was edited: its own assets and, of a sleeve, the metas above it.
    others = [path for path in grid_assets(definitions) if path[0] in {part, META} and path != reader]
    others = [path for path in others if path[1] != "audit_bundle"]  # it asks for verdicts by the rules of today
    with closing(TemporaryHome(home.root, definitions)) as other:
        assert other.run(at, assets=others).success
        assert other.hashes() == before
        assert other.run(at, assets=[reader]).success
        after = other.hashes()
    assert {file.rsplit("/", 1)[0] for file in before if before[file] != after[file]} == {"/".join(reader)}


@dg.definitions
def unchanged() -> dg.Definitions:
    """The small manifest, loaded again."""
    return build_definitions(small_manifest())


@dg.definitions
def capped() -> dg.Definitions:
    """The small manifest with one cap lowered, as the webserver finds it after an edit and a reload."""
    return build_definitions(changed(small_manifest(), LONG, "risk.cluster_cap", 0.2))


def grid_assets(definitions: dg.Definitions) -> list[AssetPath]:
    """Paths of all assets on the grid."""
    graph = definitions.resolve_asset_graph()
    return [tuple(key.path) for key in graph.materializable_asset_keys if graph.get(key).partitions_def == GRID]


def stale(home: TemporaryHome, definitions: str) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """What is not fresh by (asset, partition), with category and asset of each root cause, as the UI is told.

    `definitions` names a function of this module.
    """
    assets = grid_assets(home.defs)
    origin = LoadableTargetOrigin(module_name=__name__, attribute=definitions)
    asked = {"assets": [{"path": list(path)} for path in assets], "partitions": list(KEYS)}
    with in_process_test_workspace(home.instance, origin) as workspace:
        nodes = execute_dagster_graphql(workspace, ASK, variables=asked).data["assetNodes"]
    assert {tuple(node["assetKey"]["path"]) for node in nodes} == set(assets)
    return {
        ("/".join(node["assetKey"]["path"]), key): {(c["category"], "/".join(c["key"]["path"])) for c in causes}
        for node in nodes
        for key, status, causes in zip(
            KEYS, node["staleStatusByPartition"], node["staleCausesByPartition"], strict=True
        )
        if status != "FRESH"
    }


def of(asset: AssetPath, *causes: tuple[str, AssetPath]) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """What `stale` gives when every partition of one asset is stale, and for the same reasons."""
    return {("/".join(asset), key): {(category, "/".join(root)) for category, root in causes} for key in KEYS}


def test_the_ui_shows_a_changed_key_on_the_asset_that_reads_it_and_then_on_what_depends_on_it(
    home: TemporaryHome,
) -> None:
    cells, weights, own = (LONG, "solver_cells"), (LONG, "risk_weights"), (LONG, "audit_bundle")
    above = of((META, "audit_bundle"), ("CODE", (META, "audit_bundle")))
    above |= of((NESTED, "audit_bundle"), ("CODE", (NESTED, "audit_bundle")))
    assert stale(home, "capped") == of(cells, ("CODE", cells)) | of(own, ("CODE", own)) | above
    with closing(TemporaryHome(home.root, capped())) as edited:
        assert edited.run(*KEYS, assets=[cells]).success
        # Staleness goes one step at a time: a dependant is stale once there is something new to depend on.
        now = of(weights, ("DATA", cells)) | of(own, ("CODE", own), ("DATA", cells)) | above
        assert stale(edited, "capped") == now


def test_an_ingest_that_brings_nothing_or_only_later_bars_leaves_every_partition_fresh(home: TemporaryHome) -> None:
    for bars in (small_market(), simulated_bars(date(2022, 3, 20), symbols=24)):
        assert home.ingest(bars).success
    assert home.store.lake.newest_bar() == date(2022, 3, 20)
    assert stale(home, "unchanged") == {}


def restated(day: date) -> pl.DataFrame:
    """The small market with every quote volume of one day a hundredth higher."""
    factor = pl.when(pl.col("date") == day).then(1.01).otherwise(1.0)
    return small_market().with_columns(pl.col("quote_volume") * factor)


@pytest.mark.parametrize(
    ("day", "after"), [(date(2022, 1, 3), KEYS), (date(2022, 2, 19), KEYS[2:]), (date(2022, 2, 18), KEYS[1:])]
)
def test_an_ingest_that_restates_a_bar_makes_stale_what_reads_bars_at_the_rebalances_after_it(
    home: TemporaryHome, day: date, after: tuple[str, ...]
) -> None:
    assert home.ingest(restated(day)).success
    readers = [("corroboration",), ("universe",), ("technical_ratings",)]
    readers += [(sleeve, read) for sleeve in (LONG, SHORT) for read in ("winners", "synthetic_returns", "track_record")]
    readers += [(sleeve, "sleeve_metrics") for sleeve in (LONG, SHORT)] + [
        (meta, read) for meta in (META, NESTED) for read in ("meta_metrics", "trade_list")
    ]
    readers += [(portfolio, "audit_bundle") for portfolio in (LONG, SHORT, META, NESTED)]
    why = {("DATA", "known_bars")}
    assert stale(home, "unchanged") == {("/".join(path), key): why for path in readers for key in after}
