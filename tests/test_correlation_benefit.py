from math import sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.correlation_benefit import NO_BENEFIT, benefits, correlation_benefit, volatility
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.meta_book import WEIGHTS_SCHEMA


def test_volatility_is_the_sample_deviation_times_the_root_of_a_year_of_365_days() -> None:
    returns = np.random.default_rng(1).normal(0.001, [0.01, 0.02, 0.05], (240, 3))
    assert volatility(returns) == pytest.approx(np.std(returns, axis=0, ddof=1) * sqrt(365), rel=1e-13)


def test_a_stream_that_does_not_vary_has_no_volatility_not_even_that_of_rounding() -> None:
    returns = np.column_stack([np.full(240, 0.1), np.zeros(240), 0.1 + np.arange(240) % 2 * 1e-17])
    assert volatility(returns).tolist() == [0.0, 0.0, 0.0]


def test_two_equal_uncorrelated_children_at_half_each_have_the_root_of_a_half() -> None:
    a, b = np.tile([0.01, -0.01, 0.01, -0.01], 60), np.tile([0.01, 0.01, -0.01, -0.01], 60)
    alone, together = volatility(np.column_stack([a, b])), volatility((0.5 * (a + b))[:, None])[0]
    found = correlation_benefit(dict(zip("ab", alone.tolist(), strict=True)), float(together))
    assert found.best_child == "a"
    assert found.against_best == found.against_mean == pytest.approx(1 - sqrt(0.5), abs=1e-14)


@given(st.lists(st.floats(0.01, 3.0), min_size=2, max_size=8), st.floats(0.0, 3.0))
def test_the_benefit_is_what_the_meta_has_less_than_the_calmest_and_the_mean_child(
    alone: list[float], meta: float
) -> None:
    names = [f"s{i}" for i in range(len(alone))]
    found = correlation_benefit(dict(zip(names, alone, strict=True)), meta)
    assert (found.meta, found.best, found.best_child) == (meta, min(alone), names[int(np.argmin(alone))])
    assert found.mean == pytest.approx(np.mean(alone), rel=1e-14)
    assert found.against_best == pytest.approx(1 - meta / np.min(alone), rel=1e-12, abs=1e-12)
    assert found.against_mean == pytest.approx(1 - meta / np.mean(alone), rel=1e-12, abs=1e-12)


def test_without_a_window_nothing_is_said() -> None:
    assert correlation_benefit({"a": None, "b": None}, None) == NO_BENEFIT
    assert correlation_benefit({"a": 0.2, "b": None}, 0.1) == NO_BENEFIT
    assert correlation_benefit({"a": 0.2, "b": 0.3}, None) == NO_BENEFIT
    assert correlation_benefit({}, 0.1) == NO_BENEFIT


def test_a_child_in_cash_is_no_ground_for_a_share_of_nothing() -> None:
    found = correlation_benefit({"a": 0.4, "cash": 0.0}, 0.1)
    assert (found.best_child, found.best, found.against_best) == ("cash", 0.0, None)
    assert found.against_mean == pytest.approx(0.5)
    both = correlation_benefit({"a": 0.0, "b": 0.0}, 0.0)
    assert (both.against_best, both.against_mean) == (None, None)


def test_every_risk_profile_has_its_own_line_whether_it_has_a_window_or_not() -> None:
    rows = [
        {**dict.fromkeys(WEIGHTS_SCHEMA), "profile": profile, "child": child, "volatility": alone, "meta_volatility": v}
        for profile, v in (("min_variance", 0.1), ("hrp", None), ("market", 0.2))
        for child, alone in (("b", None if v is None else 0.4), ("a", None if v is None else 0.2))
    ]
    found = benefits(pl.DataFrame(rows, schema=WEIGHTS_SCHEMA))
    assert found["profile"].to_list() == [p for p in RISK_PROFILES if p in {"hrp", "min_variance", "market"}]
    assert found.row(0)[1:] == (None,) * 6
    assert found.row(1) == ("min_variance", 0.1, "a", 0.2, pytest.approx(0.3), pytest.approx(0.5), pytest.approx(2 / 3))
    assert benefits(WEIGHTS_SCHEMA.to_frame()).is_empty()
