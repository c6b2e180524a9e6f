"""A large family with many logics has one asset for all of their scores; what is stored is that of assets of their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets import building
from assets.keys import signal_path
from definitions import build_definitions
from profiles.load import PROFILES, load_manifest
from resources.lake import Status
from tests.homes import KEYS, TemporaryHome, cause, made_home, remove_homes, small_market

AT = KEYS[0]
FAMILY, LOGICS = "grid", ("days20", "days30", "none")
TEXT = """name = "grid"

[template]
logic = "days20"
selection.top_n = 3
risk.engines = ["native"]

[template.signal]
function = "own.py:signal"

[parameters]
direction = ["LONG", "SHORT"]
days = [
  { label = "days20", logic = "days20", signal.parameters.days = 20 },
  { label = "days30", logic = "days30", signal.parameters.days = 30 },
  { label = "none", logic = "none", signal.parameters.days = 0 },
]
"""
OWN = """
from sleevegraph.signals.momentum import signal as momentum


def signal(bars, at, days):
    if days == 0:
        raise RuntimeError("no days")
    return momentum(bars, at, days=days, skip=1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles of a family of three logics in both directions, one of which always raises."""
    made = tmp_path_factory.mktemp("profiles")
    (made / "families").mkdir()
    shutil.copy(PROFILES / "market.toml", made)
    (made / "families" / "grid.toml").write_text(TEXT)
    (made / "families" / "own.py").write_text(OWN)
    return made


def defined(folder: Path, limit: int) -> dg.Definitions:
    """Definitions where a family, and its logics, are large above `limit`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "FAMILY_ASSETS_LIMIT", limit)
        return build_definitions(load_manifest(folder), folder)


@pytest.fixture(scope="module")
def homes(folder: Path) -> Iterator[tuple[TemporaryHome, TemporaryHome]]:
    """One rebalance with assets of their own, and as a batch."""
    made = [made_home(defined(folder, limit)) for limit in (100, 2)]
    for home in made:
        home.ingest(small_market())
        result = home.run(AT)
        assert result.success, cause(result)
    yield made[0], made[1]
    remove_homes(made)


def keys(definitions: dg.Definitions) -> set[tuple[str, ...]]:
    """Asset keys as paths."""
    return {tuple(key.path) for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def test_as_many_logics_as_there_may_be_assets_have_assets_of_their_own(folder: Path) -> None:
    own = {signal_path(logic) for logic in LOGICS}
    for limit in (3, 5):  # the family is large, its logics are not; and neither is
        assert own <= keys(defined(folder, limit))
    batched = defined(folder, 2)
    assert not own & keys(batched)
    assert (FAMILY, "signals") in keys(batched)
    asset = batched.resolve_asset_graph().get(dg.AssetKey([FAMILY, "signals"]))
    assert asset.child_keys >= {dg.AssetKey([FAMILY, "candidates"])}
    assert [key.name for key in asset.check_keys] == ["look_ahead"]
    assert (asset.description or "").startswith("Of each of 3 logics: Scores of the logic days20")


def test_a_logic_that_another_sleeve_uses_too_keeps_an_asset_of_its_own(folder: Path, tmp_path: Path) -> None:
    shared = shutil.copytree(folder, tmp_path / "profiles")
    (shared / "sleeves").mkdir()
    (shared / "sleeves" / "extra.toml").write_text(
        'name = "extra"\nlogic = "days20"\ndirection = "LONG"\n\n[signal]\nfunction = "own.py:signal"\nparameters = { days = 20 }\n'
    )
    found = keys(defined(shared, 1))
    assert signal_path("days20") in found
    assert (FAMILY, "signals") in found
    assert signal_path("days30") not in found


def test_a_batch_of_logics_stores_the_bits_of_assets_of_their_own(homes: tuple[TemporaryHome, TemporaryHome]) -> None:
    alone, batch = homes
    for logic in LOGICS:
        path = signal_path(logic)
        assert batch.store.lake.digest(path, AT) == alone.store.lake.digest(path, AT)
        assert batch.receipt(path, "look_ahead", AT) == alone.receipt(path, "look_ahead", AT)
    assert batch.read((f"{FAMILY}_long_days20", "risk_weights"), AT).height
    said = batch.metadata((FAMILY, "signals"), AT)
    assert said["members"] == len(LOGICS)


def test_a_logic_that_raises_costs_no_other_its_scores(homes: tuple[TemporaryHome, TemporaryHome]) -> None:
    for home in homes:
        status, reason = home.store.lake.standing(signal_path("none"), AT)
        assert status is Status.BLOCKED
        assert "own.py:7: RuntimeError: no days" in reason
        assert home.receipt(signal_path("days30"), "look_ahead", AT).passed
        assert not home.receipt(signal_path("none"), "look_ahead", AT).passed
