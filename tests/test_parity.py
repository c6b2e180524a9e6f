"""Parity of parameters below a meta: judged, documented, and part of what a verdict rests on."""

from contextlib import closing

import pytest

from assets.gates import parity_gate
from definitions import build_definitions
from profiles.load import load_manifest
from resources.receipts import State
from sleevegraph.manifest import Manifest, MetaProfile, SleeveProfile
from sleevegraph.parity import PARAMETERS, parameters, parity
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, small_manifest

WHY = "borrowed elsewhere"
OTHER = {
    "selection.train_days": 200,
    "selection.cluster_lookbacks": (60, 120),
    "ledger.slippage": 0.002,
    "ledger.commission": 0.0005,
    "ledger.borrow": 0.03,
    "lookback_windows": 12,
}
"""Another valid value of every parameter."""


def with_value(profile: SleeveProfile | MetaProfile, key: str, value: object) -> SleeveProfile | MetaProfile:
    table, _, last = key.rpartition(".")
    if not table:
        return profile.model_copy(update={last: value})
    inner = getattr(profile, table).model_copy(update={last: value})
    return profile.model_copy(update={table: inner})


def changed(manifest: Manifest, name: str, key: str, value: object) -> Manifest:
    """The manifest with another value of one sleeve or meta."""
    return manifest.model_copy(
        update={
            kind: tuple(with_value(p, key, value) if p.name == name else p for p in getattr(manifest, kind))
            for kind in ("sleeves", "metas")
        }
    )


def excused(manifest: Manifest, **reasons: str) -> Manifest:
    """The manifest in which every meta excuses differences; a key's dot is a double underscore."""
    found = {key.replace("__", "."): reason for key, reason in reasons.items()}
    return manifest.model_copy(
        update={"metas": tuple(meta.model_copy(update={"parity_exceptions": found}) for meta in manifest.metas)}
    )


def named(manifest: Manifest, name: str) -> MetaProfile:
    return next(meta for meta in manifest.metas if meta.name == name)


@pytest.mark.parametrize("meta", load_manifest().metas, ids=lambda meta: meta.name)
def test_the_shipped_metas_are_of_one_mould(meta: MetaProfile) -> None:
    findings, figures = parity(meta, load_manifest())
    assert findings == []
    assert figures["shared"] == {"step_days": 10, "universe.lookback_days": 500}
    assert set(figures["same"]) == set(PARAMETERS) - ({"lookback_windows"} if meta.name != "meta_fractal" else set())


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_parameter_that_differs_is_an_error_that_names_key_values_and_portfolios(key: str) -> None:
    manifest, below = load_manifest(), "meta_ma_benchmark" if key == "lookback_windows" else SHORT
    odd = changed(manifest, below, key, OTHER[key])
    (finding,), _ = parity(named(odd, "meta_fractal"), odd)
    assert (finding.level, finding.code, finding.symbol) == ("ERROR", "PARAMETER_MISMATCH", key)
    value = OTHER[key] if not isinstance(OTHER[key], tuple) else list(OTHER[key])
    assert f"{value} of {below}" in finding.message
    assert "\n" not in finding.message


def test_costs_of_nested_metas_are_compared_but_not_the_metas_own() -> None:
    manifest = load_manifest()
    own = changed(manifest, "meta_fractal", "ledger.slippage", 0.5)
    assert parity(named(own, "meta_fractal"), own)[0] == []
    nested = changed(manifest, "meta_benchmark", "ledger.slippage", 0.5)
    assert [f.symbol for f in parity(named(nested, "meta_fractal"), nested)[0]] == ["ledger.slippage"]
    assert parity(named(nested, "meta_benchmark"), nested)[0] == []


def test_sleeves_elsewhere_in_the_manifest_are_not_compared() -> None:
    odd = changed(load_manifest(), "binance_spot_rating_ma_long", "ledger.borrow", 0.5)
    assert parity(named(odd, "meta_benchmark"), odd)[0] == []
    assert len(parity(named(odd, "meta_fractal"), odd)[0]) == 1


def test_a_documented_difference_is_a_figure_with_its_reason_and_values() -> None:
    odd = excused(changed(load_manifest(), SHORT, "ledger.borrow", 0.03), ledger__borrow=WHY)
    findings, figures = parity(named(odd, META), odd)
    assert findings == []
    assert figures["documented"] == {"ledger.borrow": {"because": WHY, "values": {"0.02": [LONG], "0.03": [SHORT]}}}
    assert "ledger.borrow" not in figures["same"]


def test_an_exception_excuses_its_own_key_only_and_one_without_a_difference_is_stale() -> None:
    odd = excused(changed(load_manifest(), SHORT, "ledger.borrow", 0.03), ledger__slippage=WHY)
    found = [(f.level, f.code, f.symbol) for f in parity(named(odd, META), odd)[0]]
    assert found == [
        ("ERROR", "PARAMETER_MISMATCH", "ledger.borrow"),
        ("WARN", "STALE_EXCEPTION", "ledger.slippage"),
    ]


def test_many_portfolios_of_one_value_are_counted() -> None:
    model = load_manifest().sleeves[0]
    sleeves = tuple(model.model_copy(update={"name": f"s{i:03}"}) for i in range(400))
    meta = MetaProfile(name="meta", children=tuple(s.name for s in sleeves), weight_min=0.0, weight_max=1.0)
    manifest = load_manifest().model_copy(update={"sleeves": sleeves, "metas": (meta,)})
    (finding,), _ = parity(meta, changed(manifest, "s007", "selection.train_days", 99))
    assert "252 of s000, s001, s002, s003, s004 and 394 more; 99 of s007" in finding.message
    assert parameters(meta, manifest)["selection.train_days"] == 252
    assert len(parameters(meta, changed(manifest, "s007", "selection.train_days", 99))["selection.train_days"]) == 400


def test_a_difference_below_blocks_the_metas_above_it_and_a_changed_cost_makes_the_verdict_stale(
    home: TemporaryHome,
) -> None:
    path, check = (META, "meta_weights"), "parameter_parity"
    assert home.receipt(path, check, KEYS[0]).passed
    odd = changed(small_manifest(), SHORT, "ledger.borrow", 0.03)
    rules = parity_gate(named(odd, META), odd).rules
    state, reason = home.store.receipts.state(path, check, KEYS[0], rules)
    assert state is State.STALE
    assert "(parameters changed since)" in reason
    with closing(TemporaryHome(home.root, build_definitions(odd))) as other:
        assert other.run(*KEYS[:2], checks=[(path, check), ((NESTED, "meta_weights"), check)]).success
        receipt = other.receipt(path, check, KEYS[0])
        assert not receipt.passed
        (finding,) = receipt.findings
        assert finding.startswith("ERROR PARAMETER_MISMATCH ledger.borrow: expected one value below meta_benchmark")
        assert receipt.rules["parameters"]["ledger.borrow"] == {LONG: 0.02, SHORT: 0.03}
        assert other.run(*KEYS[:2], assets=[(META, "flattened_weights")]).success is False, (
            "alone, it certifies nothing"
        )


def test_a_documented_difference_passes_and_a_stale_exception_warns(home: TemporaryHome) -> None:
    path, check = (META, "meta_weights"), "parameter_parity"
    odd = excused(changed(small_manifest(), SHORT, "ledger.borrow", 0.03), ledger__borrow=WHY, lookback_windows=WHY)
    with closing(TemporaryHome(home.root, build_definitions(odd))) as other:
        assert other.run(*KEYS[:2], checks=[(path, check)]).success
        receipt = other.receipt(path, check, KEYS[1])
    assert receipt.passed
    assert [finding.split(":")[0] for finding in receipt.findings] == ["WARN STALE_EXCEPTION lookback_windows"]
    assert receipt.figures["documented"]["ledger.borrow"]["because"] == WHY


def test_a_meta_whose_children_differ_holds_what_it_held_and_its_bundle_verifies(home: TemporaryHome) -> None:
    last, odd = KEYS[-1], changed(small_manifest(), SHORT, "ledger.borrow", 0.03)
    with closing(TemporaryHome(home.root, build_definitions(odd))) as other:
        assert other.run(last).success
        for meta in (META, NESTED):
            assert not other.receipt((meta, "meta_weights"), "parameter_parity", last).passed
            (held, *_) = other.metadata((meta, "flattened_weights"), last)["held"]
            assert held.startswith(f"{meta} holds its weights of {KEYS[-2]}: parameter_parity of {meta}/meta_weights")
            assert other.metadata((meta, "audit_bundle"), last)["standing"] == "BLOCKED"
            assert other.receipt((meta, "audit_bundle"), "audit_verified", last).passed
        assert other.metadata((SHORT, "audit_bundle"), last)["standing"] != "BLOCKED"
