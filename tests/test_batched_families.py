"""A large family is one asset for all of its members, and nothing but Dagster's events tells that from assets of their own."""

from collections.abc import Iterator

import dagster as dg
import polars as pl
import pytest

from assets import building
from assets.building import places_of
from commands.backfill import _selected
from definitions import build_definitions
from profiles.load import Profiles
from profiles.sound import Sound
from resources.receipts import State
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Family, Manifest
from tests.homes import (
    KEYS,
    LONG,
    META,
    SHORT,
    TemporaryHome,
    cause,
    made_home,
    remove_homes,
    small_definitions,
    small_manifest,
    small_market,
)

FAMILY = "both_ways"
MEMBERS = (LONG, SHORT)


def family_manifest() -> Manifest:
    """The small manifest, its two sleeves a family."""
    return small_manifest().model_copy(update={"families": (Family(name=FAMILY, sleeves=MEMBERS),)})


@pytest.fixture(scope="module")
def batched() -> dg.Definitions:
    """Definitions in which a family of two is a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "FAMILY_ASSETS_LIMIT", 1)
        return build_definitions(family_manifest())


@pytest.fixture
def fresh(batched: dg.Definitions) -> Iterator[TemporaryHome]:
    """A home of the batched graph with bars alone."""
    made = made_home(batched)
    made.ingest(small_market())
    yield made
    remove_homes([made])


def test_up_to_the_limit_members_are_assets_of_their_own() -> None:
    assert places_of(family_manifest()) == {}
    names = tuple(f"s{number}" for number in range(building.FAMILY_ASSETS_LIMIT + 1))
    large = family_manifest().model_copy(update={"families": (Family(name="large", sleeves=names),)})
    assert places_of(large) == dict.fromkeys([(name,) for name in names], ("large",))


def test_a_batch_is_one_asset_and_one_check_where_members_had_one_each(batched: dg.Definitions) -> None:
    graph, alone = batched.resolve_asset_graph(), small_definitions().resolve_asset_graph()
    keys, before = ({key.to_user_string() for key in g.get_all_asset_keys()} for g in (graph, alone))
    own = {key for key in before if key.split("/")[0] in MEMBERS}
    assert before - keys == own
    assert keys - before == {f"{FAMILY}/{key.split('/')[1]}" for key in own}
    checks = {
        (FAMILY if key.asset_key.path[0] in MEMBERS else key.asset_key.path[0], *key.asset_key.path[1:], key.name)
        for key in alone.asset_check_keys
    }
    assert {(*key.asset_key.path, key.name) for key in graph.asset_check_keys} == checks
    assert len(checks) < len(list(alone.asset_check_keys))
    records = graph.get(dg.AssetKey([META, "meta_weights"])).parent_keys
    assert dg.AssetKey([FAMILY, "track_record"]) in records


def test_an_asset_of_a_member_is_selected_as_that_of_its_family(
    batched: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "FAMILY_ASSETS_LIMIT", 1)
    sound = Sound(Profiles(family_manifest(), {}), ())
    chosen = [f"{SHORT}/winners", f"{META}/meta_weights", f"{LONG}/winners"]
    assert _selected(batched, chosen, sound) == [f"{FAMILY}/winners", f"{META}/meta_weights"]
    with pytest.raises(ConfigurationError, match=f"--select: expected an asset of the rebalance.*'{FAMILY}/losers'"):
        _selected(batched, [f"{LONG}/losers"], sound)


def test_a_batch_says_whose_description_it_shows_where_members_differ(batched: dg.Definitions) -> None:
    graph = batched.resolve_asset_graph()
    said = {stage: graph.get(dg.AssetKey([FAMILY, stage])).description or "" for stage in ("candidates", "winners")}
    assert said["candidates"].endswith(f"(as of {LONG})")  # the other member's points SHORT
    assert said["winners"].startswith("Of each of 2 sleeves: ")
    assert "as of" not in said["winners"]


def test_a_batch_stores_the_bits_that_assets_of_their_own_store(home: TemporaryHome, fresh: TemporaryHome) -> None:
    result = fresh.run(*KEYS)
    assert result.success, cause(result)
    expected, found = home.hashes(), fresh.hashes()
    audited = {name for name in expected if "/audit_bundle/" in name or name.startswith("certification_board")}
    assert {name for name in expected if expected[name] != found.get(name)} <= audited
    assert expected.keys() == found.keys()
    assert len(expected.keys() - audited) > 80
    for path, check in ((LONG, "weight_sanity"), (SHORT, "weight_sanity")):
        assert fresh.receipt((path, "risk_weights"), check, KEYS[1]).passed
    said = fresh.metadata((FAMILY, "risk_weights"), KEYS[1])
    assert said["members"] == sum(said["statuses"].values()) == 2


def test_a_member_that_fails_a_check_blocks_itself_alone(home: TemporaryHome, batched: dg.Definitions) -> None:
    made = TemporaryHome(home.root, batched)
    weights = (SHORT, "risk_weights")
    made.plant(weights, KEYS[1], pl.col("weight") * 2)
    result = made.run(KEYS[1], assets=[], checks=[((FAMILY, "risk_weights"), "weight_sanity")])
    assert made.evaluations((FAMILY, "risk_weights"), "weight_sanity", result.run_id) == {KEYS[1]: False}
    states = {name: made.store.receipts.state((name, "risk_weights"), "weight_sanity", KEYS[1])[0] for name in MEMBERS}
    assert states == {LONG: State.PASSED, SHORT: State.FAILED}


def test_a_member_whose_stage_cannot_go_on_costs_no_other_its_own(fresh: TemporaryHome) -> None:
    assert fresh.run(*KEYS[:2]).success
    fresh.store.lake.path((LONG, "winners"), KEYS[1]).write_bytes(b"damaged")
    fresh.store.lake.path((SHORT, "synthetic_returns"), KEYS[1]).unlink()
    result = fresh.run(KEYS[1], assets=[(FAMILY, "synthetic_returns")])
    assert not result.success
    assert f"{LONG}/winners {KEYS[1]}: expected a Parquet file" in cause(result)
    assert fresh.store.lake.has((SHORT, "synthetic_returns"), KEYS[1])
