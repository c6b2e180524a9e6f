import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from sleevegraph.risk_profiles import solve
from tests.windows import KINDS, assert_sound, window


def kkt_violation(gradient: np.ndarray, weights: np.ndarray, cap: float, lower: float = 0.0) -> float:
    """What moving weight from the worst asset that can give to the best that can take would still gain."""
    return gradient[weights > lower].max(initial=-np.inf) - gradient[weights < cap].min(initial=np.inf)


def gradient_of(profile: str, returns: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Gradient, and the variance to which its violation is relative (not below 1e-4 of the mean variance)."""
    sigma, mean = np.cov(returns.T), returns.mean(axis=0)
    gradient = sigma @ weights
    variance = float(weights @ gradient)
    if profile == "max_sharpe":
        gradient = gradient - variance / float(mean @ weights) * mean
    return gradient, max(variance, 1e-4 * np.trace(sigma) / len(sigma))


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe"])
def test_convex_profiles_satisfy_kkt_on_two_hundred_windows(profile: str) -> None:
    solved = 0
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        N, kind, cap = int(rng.integers(2, 61)), KINDS[seed % len(KINDS)], float(rng.choice([1.0, 0.25, 0.1]))
        returns = window(seed, N, kind)
        solution = solve(profile, returns, cap=cap)
        assert_sound(solution, N, cap)
        assert solution.residual <= 1e-8
        if solution.status == "native":
            gradient, scale = gradient_of(profile, returns, solution.weights)
            assert kkt_violation(gradient, solution.weights, max(cap, 1 / N)) <= 1e-8 * scale, (seed, kind)
            solved += 1
        else:
            assert profile == "max_sharpe"
            assert "positive mean" in solution.reason
    assert solved >= 150 if profile == "max_sharpe" else solved == 200


def test_the_kkt_check_catches_a_weight_moved_by_a_millionth() -> None:
    returns = window(5, 12)
    weights = solve("min_variance", returns, cap=0.3).weights.copy()
    free = np.flatnonzero((weights > 0.01) & (weights < 0.29))[:2]
    weights[free] += [1e-6, -1e-6]
    gradient, scale = gradient_of("min_variance", returns, weights)
    assert kkt_violation(gradient, weights, 0.3) > 1e-7 * scale


def test_the_covariance_named_is_the_covariance_solved() -> None:
    returns = window(4, 30, T=60)
    sigma, _ = ledoit_wolf(returns)
    weights = solve("min_variance", returns, cap=0.25, covariance="ledoit_wolf").weights
    of_sample = solve("min_variance", returns, cap=0.25).weights
    variance = weights @ sigma @ weights
    assert kkt_violation(sigma @ weights, weights, 0.25) <= 1e-8 * variance
    assert kkt_violation(sigma @ of_sample, of_sample, 0.25) > 1e-3 * variance


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe"])
def test_convex_profiles_respect_a_floor_exactly(profile: str) -> None:
    for seed in range(20):
        returns = window(seed, 4) + 0.002
        solution = solve(profile, returns, cap=0.5, lower=0.05)
        assert_sound(solution, 4, 0.5, 0.05)
        assert solution.status == "native"
        gradient, scale = gradient_of(profile, returns, solution.weights)
        assert kkt_violation(gradient, solution.weights, 0.5, 0.05) <= 1e-8 * scale
