"""Profiles become assets and checks: one file is the whole change."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from assets.gates import all_gates
from definitions import build_definitions, defs
from profiles.load import load_manifest
from sleevegraph.market_data.datasets import DAILY, DATASETS
from tests.homes import checks_of

PROFILES = Path(__file__).resolve().parents[1] / "profiles"
NEW_SLEEVE = """name = "binance_spot_rating_other_long"
logic = "rating_other"
rating = "recommend_other"
direction = "LONG"
"""
NEW_META = """name = "meta_new"
children = ["binance_spot_rating_other_long", "meta_benchmark"]
weight_min = 0.1
weight_max = 0.9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROFILES, tmp_path / "profiles", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


def keys(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def versions(definitions: dg.Definitions) -> dict[str, str | None]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}


def test_the_graph_has_every_stage_of_four_sleeves_and_four_metas() -> None:
    sleeves = [f"binance_spot_rating_{logic}_{way}" for logic in ("all", "ma") for way in ("long", "short")]
    metas = ["meta_benchmark", "meta_ma_benchmark", "meta_crypto_only", "meta_fractal"]
    stages = ["candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights", "track_record"]
    expected = {
        "daily_bars",
        "known_bars",
        "corroboration",
        "warehouse",
        "universe",
        "technical_ratings",
        "certification_board",
    }
    expected |= {"exchange_info", *(set(DATASETS) - {DAILY})}
    expected |= {f"{sleeve}/{stage}" for sleeve in sleeves for stage in (*stages, "sleeve_metrics", "audit_bundle")}
    meta_stages = (
        "meta_weights",
        "meta_track_record",
        "flattened_weights",
        "meta_metrics",
        "trade_list",
        "audit_bundle",
    )
    expected |= {f"{meta}/{stage}" for meta in metas for stage in meta_stages}
    assert keys(defs) == expected


def test_every_check_judges_the_grid_and_what_is_downstream_waits_for_it() -> None:
    graph = defs.resolve_asset_graph()
    checks = [graph.get(key) for key in graph.asset_check_keys]
    assert all(check.blocking for check in checks)
    gates = [(gate.path, gate.check) for gate in all_gates(load_manifest())]
    assert sorted(gates) == checks_of(defs)
    assert len(set(gates)) == len(gates)
    assert all(check.partitions_def == graph.get(dg.AssetKey("universe")).partitions_def for check in checks)


def test_a_sleeve_file_and_a_meta_file_are_the_whole_change(folder: Path) -> None:
    (folder / "sleeves" / "binance_spot_rating_other_long.toml").write_text(NEW_SLEEVE)
    (folder / "metas" / "meta_new.toml").write_text(NEW_META)
    added = keys(build_definitions(load_manifest(folder))) - keys(defs)
    assert len(added) == 8 + 6
    assert all(key.split("/")[0] in {"binance_spot_rating_other_long", "meta_new"} for key in added)


def test_a_changed_profile_changes_the_code_version_of_its_own_assets_only(folder: Path) -> None:
    file = folder / "sleeves" / "binance_spot_rating_ma_short.toml"
    file.write_text(file.read_text() + "\n[ledger]\nslippage = 0.002\n")
    before, after = versions(defs), versions(build_definitions(load_manifest(folder)))
    changed = {key for key in before if before[key] != after[key]}
    above = {f"{meta}/audit_bundle" for meta in ("meta_ma_benchmark", "meta_crypto_only", "meta_fractal")}
    assert changed > above  # a bundle has the manifest of everything below it
    assert all(key.startswith("binance_spot_rating_ma_short/") for key in changed - above)


def test_the_definitions_load_as_dagster_loads_them() -> None:
    dg.Definitions.validate_loadable(defs)
