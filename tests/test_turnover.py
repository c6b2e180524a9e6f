import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sleevegraph.projection import project_bounded_simplex
from sleevegraph.turnover import Limited, limit_turnover

ROUNDING = 1e-9


@st.composite
def rebalances(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """(target, previous, left, cap, limit): a target within the cap, and previous weights that add to one with `left`."""
    n = draw(st.integers(1, 12))
    numbers = st.lists(st.floats(0, 1, width=32), min_size=n, max_size=n)
    cap = max(draw(st.sampled_from([0.25, 0.4, 1.0])), 1 / n)
    target = project_bounded_simplex(np.array(draw(numbers)), 0.0, cap)
    before = np.array(draw(numbers)) * draw(st.booleans())
    left = draw(st.floats(0, 1, width=32)) if before.sum() > 0 else 1.0
    previous = before / before.sum() * (1.0 - left) if before.sum() > 0 else before
    return target, previous, left, cap, draw(st.floats(0.01, 2.0))


def limited_by(target: np.ndarray, previous: np.ndarray, left: float, cap: float, limit: float) -> Limited:
    """From the permitted weights nearest to the previous ones, where a cap is all that is permitted."""
    return limit_turnover(target, project_bounded_simplex(previous, 0.0, cap), previous, left, limit)


def turnover(weights: np.ndarray, previous: np.ndarray, left: float) -> float:
    return float(np.abs(weights - previous).sum()) + left


@settings(max_examples=300, deadline=None)
@given(rebalances())
def test_weights_stay_a_portfolio_and_turnover_within_the_limit_unless_it_is_forced(problem: tuple) -> None:
    target, previous, left, cap, limit = problem
    limited = limited_by(target, previous, left, cap, limit)
    assert limited.weights.min() >= 0.0
    assert abs(limited.weights.sum() - 1.0) <= ROUNDING
    assert limited.weights.max() <= cap + ROUNDING
    assert limited.turnover == pytest.approx(turnover(limited.weights, previous, left), abs=1e-12)
    nearest = turnover(project_bounded_simplex(previous, 0.0, cap), previous, left)
    assert limited.turnover <= max(limit, nearest) + ROUNDING


@settings(max_examples=300, deadline=None)
@given(rebalances())
def test_weights_lie_on_the_way_from_the_previous_ones_to_the_target_and_go_as_far_as_they_may(problem: tuple) -> None:
    target, previous, left, cap, limit = problem
    limited = limited_by(target, previous, left, cap, limit)
    start = project_bounded_simplex(previous, 0.0, cap)
    assert 0.0 <= limited.step <= 1.0
    np.testing.assert_allclose(limited.weights, start + limited.step * (target - start), atol=1e-12)
    if limited.step < 1.0:
        further = min(limited.step + 1e-3, 1.0)
        assert turnover(start + further * (target - start), previous, left) > limit - ROUNDING


@settings(max_examples=200, deadline=None)
@given(rebalances())
def test_a_limit_that_does_not_bind_changes_no_bit(problem: tuple) -> None:
    target, previous, left, cap, _ = problem
    asked = turnover(target, previous, left)
    limited = limited_by(target, previous, left, cap, asked + 1e-12)
    np.testing.assert_array_equal(limited.weights, target)
    assert (limited.step, limited.turnover) == (1.0, pytest.approx(asked, abs=1e-12))


@settings(max_examples=200, deadline=None)
@given(rebalances())
def test_without_forced_sales_a_binding_limit_is_used_up_and_every_weight_moves_towards_its_target(
    problem: tuple,
) -> None:
    target, previous, _, cap, limit = problem
    assume(previous.sum() > 0)
    previous = project_bounded_simplex(previous / previous.sum(), 0.0, cap)
    limited = limited_by(target, previous, 0.0, cap, limit)
    assert limited.turnover == pytest.approx(min(limit, np.abs(target - previous).sum()), abs=1e-9)
    moved, wanted = limited.weights - previous, target - previous
    assert (moved * wanted >= -1e-12).all()
    assert (np.abs(moved) <= np.abs(wanted) + 1e-12).all()


def test_half_of_the_way_by_hand() -> None:
    limited = limited_by(np.array([0.2, 0.8]), np.array([0.6, 0.4]), 0.0, cap=1.0, limit=0.4)
    np.testing.assert_allclose(limited.weights, [0.4, 0.6], atol=1e-12)
    assert limited.step == pytest.approx(0.5)
    assert limited.turnover == pytest.approx(0.4)


def test_a_sale_that_cannot_be_avoided_counts_and_may_exceed_the_limit() -> None:
    target, previous = np.array([0.2, 0.8]), np.array([0.3, 0.3])
    forced = limited_by(target, previous, left=0.4, cap=1.0, limit=0.1)
    assert forced.step == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(forced.weights, [0.5, 0.5], atol=1e-12)
    assert forced.turnover == pytest.approx(0.8, abs=1e-12)
    roomy = limited_by(target, previous, left=0.4, cap=1.0, limit=0.9)
    np.testing.assert_allclose(roomy.weights, [0.25, 0.75], atol=1e-12)
    assert roomy.turnover == pytest.approx(0.9, abs=1e-12)


def test_an_asset_that_drifted_above_its_cap_is_cut_even_where_that_takes_the_whole_limit() -> None:
    limited = limited_by(np.full(4, 0.25), np.array([0.7, 0.1, 0.1, 0.1]), 0.0, cap=0.4, limit=0.2)
    np.testing.assert_allclose(limited.weights, [0.4, 0.2, 0.2, 0.2], atol=1e-12)
    assert limited.turnover == pytest.approx(0.6, abs=1e-12)


def test_a_portfolio_of_new_assets_only_is_bought_in_one_go() -> None:
    limited = limited_by(np.array([0.2, 0.8]), np.zeros(2), left=1.0, cap=1.0, limit=0.5)
    assert limited.turnover == pytest.approx(2.0)
    np.testing.assert_allclose(limited.weights, [0.5, 0.5], atol=1e-12)
