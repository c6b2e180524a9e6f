"""Engines and statuses in a whole graph: what is stored, what blocks, and what a rerun changes."""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import dagster as dg
import polars as pl
import pytest

from definitions import build_definitions
from resources.lake import AssetPath
from resources.receipts import State
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.manifest import RISK_PROFILES, Manifest
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.risk_weights import CHOOSING
from tests.homes import (
    KEYS,
    LONG,
    META,
    NESTED,
    SHORT,
    TemporaryHome,
    copied_home,
    made_home,
    remove_homes,
    small_manifest,
    small_market,
    solved_by,
)

THREE = ("native", "skfolio", "riskfolio")
LIMIT = 0.3


def cells(sleeve: str) -> AssetPath:
    return (sleeve, "solver_cells")


def weights(sleeve: str) -> AssetPath:
    return (sleeve, "risk_weights")


@cache
def sleeves_only(*engines: str, names: tuple[str, ...] = (SHORT,), **risk: object) -> dg.Definitions:
    """Sleeves of the small manifest with other engines, and no metas."""
    small = small_manifest()
    chosen = tuple(solved_by(sleeve, *engines, **risk) for sleeve in small.sleeves if sleeve.name in names)
    return build_definitions(Manifest(market=small.market, sleeves=chosen, metas=()))


@pytest.fixture(scope="module")
def three_engines() -> Iterator[TemporaryHome]:
    """A home, to be read only, whose two sleeves are solved by three engines."""
    made = made_home(sleeves_only(*THREE, names=(LONG, SHORT)))
    assert made.ingest(small_market()).success
    assert made.run(*KEYS).success
    yield made
    remove_homes([made])


@pytest.mark.parametrize("sleeve", [LONG, SHORT])
def test_every_engine_and_profile_has_a_status_at_every_rebalance(three_engines: TemporaryHome, sleeve: str) -> None:
    for key in KEYS:
        found = three_engines.read(cells(sleeve), key)
        assert found.select("engine", "profile").rows() == [(e, p) for e in THREE for p in RISK_PROFILES]
        if three_engines.standing(cells(sleeve), key) == "CASH":
            assert set(found["status"]) == {"rejected"}
        else:
            assert set(found["status"]) <= {"native", "fallback"}
            assert set(found.filter(profile="hrp")["status"]) == {"native"}
            assert found["solve_ms"].count() == len(THREE) * len(SOLVED) + 1, "and one barbell for all"
        assert three_engines.store.receipts.state(cells(sleeve), "solver_failure_rate", key)[0] is State.PASSED
    assert three_engines.standing(cells(LONG), KEYS[-1]) == "CASH", "one of them is meant to be in cash"


def test_three_engines_agree_on_real_windows(three_engines: TemporaryHome) -> None:
    compared = 0
    for sleeve in (LONG, SHORT):
        for key in KEYS:
            solved = three_engines.read(cells(sleeve), key).filter(
                pl.col("status") == "native", pl.col("profile").is_in(SOLVED), pl.col("agreement").is_not_null()
            )
            compared += solved.filter(pl.col("engine") != "native").height
            assert (solved["agreement"] <= 1e-3).all()
            assert not three_engines.receipt(cells(sleeve), "engine_agreement", key).findings
    assert compared >= 40


def test_a_rerun_changes_how_long_solving_took_and_nothing_that_is_judged(three_engines: TemporaryHome) -> None:
    again = copied_home(three_engines.root, three_engines.defs)
    paths = [cells(LONG), cells(SHORT)]
    assert again.run(*KEYS, assets=paths).success
    for path in paths:
        for key in KEYS:
            assert again.store.lake.digest(path, key) == three_engines.store.lake.digest(path, key)
            assert again.read(path, key).drop("solve_ms").equals(three_engines.read(path, key).drop("solve_ms"))
            assert again.store.receipts.state(path, "solver_failure_rate", key)[0] is State.PASSED
    took, before = (home.read(cells(SHORT), KEYS[0])["solve_ms"] for home in (again, three_engines))
    assert took.to_list() != before.to_list(), "nothing was solved anew"
    remove_homes([again])


def test_weights_hold_every_cell_and_the_engine_of_record_is_traded(three_engines: TemporaryHome) -> None:
    found = three_engines.read(weights(SHORT), KEYS[0])
    stored = three_engines.read(cells(SHORT), KEYS[0]).explode("weights").unnest("weights")
    assert (
        found.select("engine", "profile", "symbol", "weight").rows()
        == stored.select("engine", "profile", "symbol", "weight").rows()
    )
    traded = three_engines.read((SHORT, "track_record"), KEYS[1]).filter(profile="hrp")
    held = {row["symbol"] for row in traded["holdings"][-1]} - {"CASH"}
    assert held == set(found.filter(pl.col("net") != 0.0, engine="native", profile="hrp")["symbol"])


@pytest.fixture
def without_two_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python then finds no such modules; that alone makes an engine unavailable, since nobody imports it first."""
    for name in ("skfolio", "riskfolio"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_two_engines")
def test_engines_that_are_not_installed_block_the_sleeve_until_the_manifest_does_without_them(
    new_home: Callable[..., TemporaryHome],
) -> None:
    home = new_home(sleeves_only(*THREE))
    home.ingest(small_market())
    assert home.run(KEYS[0]).success
    found = home.read(cells(SHORT), KEYS[0])
    for engine, requirement in (("skfolio", "skfolio"), ("riskfolio", "riskfolio-lib")):
        rows = found.filter(engine=engine)
        assert rows["profile"].to_list() == list(RISK_PROFILES)
        assert set(rows["status"]) == {"unavailable"}
        (said,) = set(rows["reason"])
        assert f"No module named '{engine}'" in said
        assert f"pip install {requirement}" in said
        assert f"take {engine} out of risk.engines" in said
    assert set(found.filter(engine="native")["status"]) <= {"native", "fallback"}
    state, why = home.store.receipts.state(cells(SHORT), "solver_failure_rate", KEYS[0])
    assert state is State.FAILED
    assert "16 of 24 expected cells of the last 1 windows failed (66.7% > 25%)" in why
    assert "8 x skfolio unavailable: " in why
    assert "pip install skfolio" in why
    assert home.standing(weights(SHORT), KEYS[0]) == "BLOCKED"
    assert "pip install skfolio" in home.metadata(weights(SHORT), KEYS[0])["reason"]

    alone = TemporaryHome(home.root, sleeves_only("native"))
    assert alone.run(KEYS[0]).success
    assert set(alone.read(cells(SHORT), KEYS[0])["engine"]) == {"native"}
    assert alone.store.receipts.state(cells(SHORT), "solver_failure_rate", KEYS[0])[0] is State.PASSED
    assert alone.standing(weights(SHORT), KEYS[0]) == "OK"
    assert alone.receipt(weights(SHORT), "weight_sanity", KEYS[0]).passed
    alone.close()


def guardrails(home: TemporaryHome, *keys: str) -> list[State]:
    return [home.store.receipts.state(cells(SHORT), "solver_failure_rate", key)[0] for key in keys]


def test_the_guardrails_verdict_is_stale_once_the_cells_of_an_earlier_window_change(home: TemporaryHome) -> None:
    home.plant(cells(SHORT), KEYS[1], pl.lit("planted").alias("reason"))
    assert guardrails(home, *KEYS) == [State.PASSED, State.STALE, State.STALE, State.STALE]
    _, why = home.store.receipts.state(cells(SHORT), "solver_failure_rate", KEYS[3])
    assert why.endswith(f"{SHORT}/solver_cells@{KEYS[1]} changed after it was judged")
    assert home.run(*KEYS, checks=[(cells(SHORT), "solver_failure_rate")]).success
    assert guardrails(home, *KEYS) == [State.PASSED] * 4


def test_the_guardrails_verdict_is_stale_once_the_record_of_an_earlier_window_is_gone(home: TemporaryHome) -> None:
    home.store.lake.path(cells(SHORT), KEYS[1]).unlink()
    assert guardrails(home, *KEYS[2:]) == [State.STALE] * 2


def test_the_guardrails_verdict_is_stale_once_a_window_without_a_record_gets_one(home: TemporaryHome) -> None:
    path = cells(SHORT)
    record = home.store.lake.path(path, KEYS[1])
    kept = record.read_bytes()
    record.unlink()
    assert home.run(*KEYS[2:], checks=[(path, "solver_failure_rate")]).success
    assert guardrails(home, *KEYS[2:]) == [State.FAILED, State.PASSED]
    assert "8 x native failed: no record" in home.store.receipts.state(path, "solver_failure_rate", KEYS[2])[1]
    record.write_bytes(kept)
    assert guardrails(home, *KEYS[2:]) == [State.STALE, State.STALE]


@pytest.mark.parametrize("meta", [META, NESTED])
@pytest.mark.parametrize("stage", ["meta_weights", "flattened_weights"])
def test_metas_say_whether_their_sleeves_are_certified_and_why_not(home: TemporaryHome, meta: str, stage: str) -> None:
    for key in KEYS:
        said = home.metadata((meta, stage), key)
        verdicts = {name: home.receipt(weights(name), "weight_sanity", key).figures for name in (LONG, SHORT)}
        assert said["sleeves"] == {name: figures["certification"] for name, figures in verdicts.items()}
        sound = all(figures["certification"] == "CERTIFIED" for figures in verdicts.values())
        assert said["certification"] == ("CERTIFIED" if sound else "DEGRADED")
        reasons = {name: figures["reasons"] for name, figures in verdicts.items() if figures["reasons"]}
        assert said.get("degraded", {}) == reasons
    newest = home.metadata((meta, stage), KEYS[-1])
    assert newest["certification"] == "DEGRADED"
    assert newest["sleeves"][LONG] == "DEGRADED"
    assert any("native/hrp: rejected: " in reason for reason in newest["degraded"][LONG])


@pytest.fixture(scope="module")
def limited() -> Iterator[TemporaryHome]:
    """A home, to be read only, of one sleeve with a turnover limit, run as one range."""
    made = made_home(sleeves_only("native", turnover_limit=LIMIT))
    assert made.ingest(small_market()).success
    assert made.run(*KEYS).success
    yield made
    remove_homes([made])


def books(home: TemporaryHome, key: str) -> dict[str, dict[str, float]]:
    """Weights in synthetic space by profile and symbol."""
    found: dict[str, dict[str, float]] = {}
    for profile, symbol, weight in home.read(weights(SHORT), key).select("profile", "symbol", "weight").iter_rows():
        found.setdefault(profile, {})[symbol] = weight
    return found


def test_a_turnover_limit_holds_between_stored_rebalances_where_no_sale_is_forced(
    home: TemporaryHome, limited: TemporaryHome
) -> None:
    first = limited.read(weights(SHORT), KEYS[0])
    assert first["turnover"].null_count() == first.height
    assert books(limited, KEYS[0]) == books(home, KEYS[0])
    bound = 0
    for before, key in pairwise(KEYS):
        rows = limited.read(weights(SHORT), key)
        told = dict(rows.select("profile", "turnover").unique().iter_rows())
        caps = dict(rows.select("profile", "cap").unique().iter_rows())
        for profile, held in books(limited, key).items():
            previous = books(limited, before)[profile]
            traded = sum(abs(held.get(s, 0.0) - previous.get(s, 0.0)) for s in {*held, *previous})
            if profile not in CHOOSING:
                assert told[profile] is None
                assert held == books(home, key)[profile], "what it is, whatever the limit"
                continue
            assert told[profile] == pytest.approx(traded, abs=1e-12)
            kept = pl.Series([previous.get(symbol, 0.0) for symbol in held]).to_numpy()
            nearest = project_bounded_simplex(kept, 0.0, caps[profile])
            forced = abs(nearest - kept).sum() + sum(w for s, w in previous.items() if s not in held)
            assert traded <= max(LIMIT, forced) + 1e-9
            bound += held != books(home, key)[profile]
        assert limited.receipt(weights(SHORT), "weight_sanity", key).passed
    assert bound > 0, "the limit bound nowhere, so nothing was shown"


def test_a_range_with_a_turnover_limit_gives_the_bytes_of_one_run_per_partition(
    home: TemporaryHome, limited: TemporaryHome, new_home: Callable[..., TemporaryHome]
) -> None:
    singles = new_home(limited.defs)
    singles.ingest(small_market())
    for key in KEYS[:2]:
        assert singles.run_one(key).success
    assert singles.hashes() == limited.hashes(upto=KEYS[1])
    assert books(limited, KEYS[1]) != books(home, KEYS[1]), "the limit bound nowhere"


def test_a_turnover_limit_looks_past_a_blocked_rebalance(limited: TemporaryHome) -> None:
    again = copied_home(limited.root, limited.defs)
    path = weights(SHORT)
    before = books(again, KEYS[0])
    again.plant(cells(SHORT), KEYS[1], pl.lit("failed").alias("status"))
    assert again.run(*KEYS[:3], checks=[(cells(SHORT), "solver_failure_rate")]).success
    assert again.run(*KEYS[:2], assets=[path]).success
    assert again.standing(path, KEYS[1]) == "BLOCKED"
    again.plant(cells(SHORT), KEYS[1], pl.lit("native").alias("status"))
    assert again.run(*KEYS[:3], checks=[(cells(SHORT), "solver_failure_rate")]).success
    assert again.run(KEYS[2], assets=[path]).success
    told = dict(again.read(path, KEYS[2]).select("profile", "turnover").unique().iter_rows())
    for profile, held in books(again, KEYS[2]).items():
        traded = sum(abs(held.get(s, 0.0) - before[profile].get(s, 0.0)) for s in {*held, *before[profile]})
        assert told[profile] == (pytest.approx(traded, abs=1e-12) if profile in CHOOSING else None)
    remove_homes([again])
