"""CERTIFIED, DEGRADED or BLOCKED: from gates, from what weight_sanity certified, and from what lies below."""

import pytest

from sleevegraph.audit.facts import CheckRecord
from sleevegraph.certification import meta_standing, sleeve_standing


def gate(check: str, state: str = "PASSED", *findings: str, blocking: bool = True) -> CheckRecord:
    return CheckRecord("a_sleeve/risk_weights", check, "2023-12-01", blocking, state, "", {}, {}, findings, {})


def test_a_sleeve_whose_gates_passed_stands_as_weight_sanity_says() -> None:
    gates = [gate("weight_sanity"), gate("engine_agreement", "FAILED", blocking=False)]
    assert sleeve_standing(gates, ("CERTIFIED", [])) == ("CERTIFIED", [])
    assert sleeve_standing(gates, ("DEGRADED", ["native/hrp: fallback"])) == ("DEGRADED", ["native/hrp: fallback"])


@pytest.mark.parametrize("state", ["FAILED", "ABSENT", "STALE"])
def test_a_blocking_gate_that_did_not_pass_blocks_whatever_was_certified(state: str) -> None:
    gates = [
        gate("weight_sanity"),
        gate("sign_test", state, "WARN A: seen", "ERROR B: expected x, found y", "ERROR C: z"),
    ]
    standing, reasons = sleeve_standing(gates, ("CERTIFIED", []))
    assert standing == "BLOCKED"
    assert reasons == [f"sign_test of a_sleeve/risk_weights: {state}: ERROR B: expected x, found y"]
    assert meta_standing(gates, {}) == (standing, reasons)


def test_a_meta_is_certified_when_everything_below_is() -> None:
    below = {"a": ("CERTIFIED", []), "b": ("CERTIFIED", [])}
    assert meta_standing([gate("conservation")], below) == ("CERTIFIED", [])


@pytest.mark.parametrize("standing", ["DEGRADED", "BLOCKED"])
def test_a_meta_is_degraded_by_anything_below_that_is_not_certified(standing: str) -> None:
    below = {"a": ("CERTIFIED", []), "b": (standing, ["one", "two", "three"]), "c": (standing, [])}
    assert meta_standing([gate("conservation")], below) == (
        "DEGRADED",
        [f"b is {standing}: one (and 2 more)", f"c is {standing}: no reason given"],
    )
