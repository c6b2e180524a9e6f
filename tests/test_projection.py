import daqp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ConfigurationError
from sleevegraph.projection import project_bounded_simplex, projection_residual


@st.composite
def bounded_problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point and bounds around a feasible portfolio, so that the bounds are feasible."""
    n = draw(st.integers(1, 25))
    numbers = st.floats(0, 1, width=32)
    feasible = np.array(draw(st.lists(numbers, min_size=n, max_size=n))) + 1e-3
    feasible /= feasible.sum()
    below, above = (np.array(draw(st.lists(numbers, min_size=n, max_size=n))) for _ in range(2))
    scale = 10.0 ** draw(st.integers(-3, 6))
    v = scale * np.array(draw(st.lists(st.floats(-1, 1, width=32), min_size=n, max_size=n)))
    return v, feasible * (1 - below), feasible + above


def largest_gain(direction: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """max direction'z over the feasible z: fill the best coordinates first."""
    z, left = low.copy(), 1.0 - low.sum()
    for i in np.argsort(-direction):
        step = min(high[i] - low[i], left)
        z[i] += step
        left -= step
    return float(direction @ z)


def violation(w: np.ndarray, v: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """w is the projection if and only if (v - w)'(z - w) <= 0 for every feasible z."""
    return (largest_gain(v - w, low, high) - float((v - w) @ w)) / max(1.0, np.abs(v).max())


@settings(max_examples=300, deadline=None)
@given(bounded_problems())
def test_projection_is_feasible_and_satisfies_the_variational_inequality(problem: tuple) -> None:
    v, low, high = problem
    w = project_bounded_simplex(v, low, high)
    assert abs(w.sum() - 1.0) <= 1e-12
    assert (w >= low).all()
    assert (w <= high).all()
    assert violation(w, v, low, high) <= 1e-9


def quadratic_programme(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """min |w - v|^2 / 2 by an active-set solver."""
    upper, lower = np.append(high, 1.0), np.append(low, 1.0)
    kinds = np.append(np.zeros(len(v), dtype=np.int32), np.int32(5))  # 5: an equality
    w, _, flag, _ = daqp.solve(np.eye(len(v)), -v, np.ones((1, len(v))), upper, lower, kinds, primal_tol=1e-12)
    assert flag == 1
    return np.asarray(w)


@settings(max_examples=200, deadline=None)
@given(bounded_problems())
def test_projection_meets_the_optimality_conditions_and_a_quadratic_programme(problem: tuple) -> None:
    v, low, high = problem
    v = v / max(1.0, np.abs(v).max())  # weights before bounds are of size 1
    w = project_bounded_simplex(v, low, high)
    least = (v - w)[w < high].max(initial=-np.inf)  # of tau, so that nothing that may grow should
    most = (v - w)[w > low].min(initial=np.inf)  # so that nothing that may shrink should
    tau = least if np.isfinite(least) else most if np.isfinite(most) else 0.0
    np.testing.assert_allclose(w, np.clip(v - tau, low, high), rtol=0.0, atol=1e-12)
    assert abs(w.sum() - 1.0) <= 1e-12
    assert projection_residual(w, v, low, high) <= 1e-12
    np.testing.assert_allclose(w, quadratic_programme(v, low, high), atol=1e-8)


@settings(max_examples=100, deadline=None)
@given(bounded_problems(), st.data())
def test_the_residual_finds_every_other_weights(problem: tuple, data: st.DataObject) -> None:
    v, low, high = problem
    v = v / max(1.0, np.abs(v).max())
    w = project_bounded_simplex(v, low, high)
    i, j = (data.draw(st.integers(0, len(v) - 1)) for _ in range(2))
    step = min(1e-3, high[i] - w[i], w[j] - low[j])
    other = w.copy()
    other[i] += step
    other[j] -= step
    moved = i != j and step > 1e-9
    assert (projection_residual(other, v, low, high) > 1e-10) == moved
    assert projection_residual(w + 1e-6, v, low, high) > 1e-7
    assert projection_residual(w + 1.0, v, low, high) > 0.1
    assert np.isnan(projection_residual(np.full(len(v), np.nan), v, low, high))


def test_the_variational_inequality_catches_clip_and_renormalise() -> None:
    v, low, high = np.array([1.2, 0.4, 0.2]), np.zeros(3), np.full(3, 0.7)
    clipped = np.clip(v, low, high) / np.clip(v, low, high).sum()
    assert violation(clipped, v, low, high) > 1e-2
    np.testing.assert_allclose(project_bounded_simplex(v, low, high), [0.7, 0.25, 0.05], atol=1e-15)


def test_weights_within_the_cap_stay_what_they_are() -> None:
    weights = np.array([0.2, 0.25, 0.25, 0.3])
    np.testing.assert_allclose(project_bounded_simplex(weights, 0.0, 0.3), weights, atol=1e-15)


def test_tight_caps_and_floors_leave_equal_weight() -> None:
    v = np.array([3.0, -1.0, 0.2, 0.0, 0.1, 7.0])
    np.testing.assert_allclose(project_bounded_simplex(v, 0.0, 1 / 6), np.full(6, 1 / 6), atol=1e-15)
    np.testing.assert_allclose(project_bounded_simplex(v, 1 / 6, 1.0), np.full(6, 1 / 6), atol=1e-15)


def test_huge_values_do_not_lose_the_sum() -> None:
    np.testing.assert_array_equal(project_bounded_simplex(np.array([1e17, 1e17, 0.0]), 0.0, 1.0), [0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("values", "lower", "upper"),
    [
        ([0.5, 0.5], 0.0, 0.4),
        ([0.5, 0.5], 0.6, 1.0),
        ([0.5, 0.5], [0.5, 0.2], [0.4, 1.0]),
        ([], 0.0, 1.0),
        ([0.5, np.nan], 0.0, 1.0),
    ],
)
def test_bounds_that_no_weights_satisfy_and_missing_values_are_configuration_errors(
    values: list[float], lower: object, upper: object
) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        project_bounded_simplex(np.array(values), lower, upper)


@pytest.mark.parametrize("bounds", [(np.nan, 1.0), (0.0, np.nan), (-np.inf, np.inf), (0.0, np.inf)])
def test_bounds_that_are_no_numbers_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected finite bounds"):
        project_bounded_simplex(np.array([0.5, 0.5]), *bounds)
