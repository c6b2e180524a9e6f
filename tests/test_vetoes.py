from typing import Any

import polars as pl
import pytest

from sleevegraph.manifest import SelectionRules
from sleevegraph.vetoes import veto_report, vetoes_of

CALM = {"entropy": 0.95, "efficiency": 0.2, "kurtosis": 3.0, "annual_volatility": 0.8}
WILD = {"entropy": 0.9990001, "efficiency": 0.049, "kurtosis": 20.1, "annual_volatility": 2.51}
EDGE = {"entropy": 0.999, "efficiency": 0.05, "kurtosis": 20.0, "annual_volatility": 2.5}


def report(rows: list[dict[str, float]], rules: SelectionRules | None = None) -> dict[str, dict[str, Any]]:
    schema = dict.fromkeys(CALM, pl.Float64)
    table = veto_report(vetoes_of(rules or SelectionRules()), pl.DataFrame(rows, schema=schema))
    return {row["rule"]: row for row in table.to_dicts()}


def test_each_rule_fires_beyond_its_threshold_and_not_at_it() -> None:
    found = report([CALM, EDGE, WILD])
    assert {rule: row["fired"] for rule, row in found.items()} == dict.fromkeys(found, 1)
    assert set(found) == {"entropy", "efficiency", "kurtosis", "volatility"}


def test_the_report_shows_what_the_rule_looked_at() -> None:
    found = report([CALM, WILD, EDGE])["volatility"]
    assert (found["column"], found["threshold"], found["candidates"]) == ("annual_volatility", 2.5, 3)
    assert (found["lowest"], found["highest"]) == (0.8, 2.51)


def test_a_finding_says_what_was_found_and_what_is_allowed() -> None:
    texts = [veto.text(WILD[veto.column]) for veto in vetoes_of(SelectionRules())]
    assert texts == [
        "entropy 0.9990001 > 0.999",
        "efficiency 0.049 < 0.05",
        "kurtosis 20.1 > 20",
        "volatility 2.51 > 2.5",
    ]


def test_the_default_entropy_rule_can_never_fire_at_252_bars_and_this_is_seen() -> None:
    found = report([CALM])
    assert (found["entropy"]["can_fire"], found["entropy"]["defect"]) == (False, "can never fire")
    assert [row["defect"] for rule, row in found.items() if rule != "entropy"] == [None] * 3


@pytest.mark.parametrize("rules", [SelectionRules(train_days=500), SelectionRules(entropy_max_threshold=0.99)])
def test_a_longer_window_or_a_lower_threshold_lets_the_entropy_rule_fire(rules: SelectionRules) -> None:
    assert report([CALM], rules)["entropy"]["can_fire"]


def test_thresholds_that_no_value_can_cross_are_seen() -> None:
    found = report([CALM], SelectionRules(efficiency_min_threshold=0.0, kurtosis_max_threshold=248.0))
    assert found["efficiency"]["defect"] == found["kurtosis"]["defect"] == "can never fire"


def test_the_kurtosis_bound_is_the_kurtosis_of_a_single_spike() -> None:
    spike = pl.Series([0.0] * 251 + [1.0]).kurtosis()
    assert report([CALM], SelectionRules(kurtosis_max_threshold=spike - 1e-6))["kurtosis"]["can_fire"]
    assert not report([CALM], SelectionRules(kurtosis_max_threshold=spike + 1e-6))["kurtosis"]["can_fire"]


def test_a_rule_that_refuses_everybody_is_seen() -> None:
    found = report([WILD, WILD | {"kurtosis": 1.0}])
    assert found["efficiency"]["defect"] == found["volatility"]["defect"] == "vetoes everything"
    assert found["kurtosis"]["defect"] is None


def test_no_candidates_are_no_defect() -> None:
    found = report([])["volatility"]
    assert (found["fired"], found["candidates"], found["lowest"], found["defect"]) == (0, 0, None, None)


def test_the_second_stage_relaxes_entropy_and_efficiency_only() -> None:
    strict, relaxed = (
        {v.rule: v.threshold for v in vetoes_of(SelectionRules(entropy_max_threshold=0.8), relaxed=r)}
        for r in (False, True)
    )
    assert relaxed == {**strict, "entropy": pytest.approx(0.96), "efficiency": pytest.approx(0.04)}
    capped = vetoes_of(SelectionRules(), relaxed=True)[0]
    assert capped.threshold == 1.0
