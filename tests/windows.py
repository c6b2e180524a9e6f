"""Random windows of returns, easy ones and those that break solvers, and what any answer to them must satisfy."""

import numpy as np
import pytest

from sleevegraph.risk_profiles import Solution

KINDS = ("plain", "duplicated", "near_singular", "pegged", "short")


def window(seed: int, N: int, kind: str = "plain", T: int = 252) -> np.ndarray:
    """Returns (T, N) of a three-factor model with volatilities a factor of twenty apart."""
    rng = np.random.default_rng(seed)
    T = max(3, N // 2) if kind == "short" else T
    factors = rng.normal(size=(T, 3)) @ rng.normal(size=(3, N))
    returns = 0.02 * (factors + rng.normal(size=(T, N))) * rng.uniform(0.1, 2.0, N) + 0.002 * rng.normal(size=N)
    if kind == "duplicated":
        returns[:, 1] = returns[:, 0]
    if kind == "near_singular":
        returns[:, 1] = returns[:, 0] + 1e-9 * rng.normal(size=T)
    if kind == "pegged":
        returns[:, 0] *= 1e-4
    return returns


def assert_sound(solution: Solution, N: int, cap: float, lower: float = 0.0) -> None:
    weights = solution.weights
    assert weights.shape == (N,)
    assert np.isfinite(weights).all()
    assert abs(weights.sum() - 1.0) <= 1e-9
    assert weights.min() >= lower
    assert weights.max() <= max(cap, 1 / N) + 1e-9
    assert solution.status in {"native", "fallback"}
    assert (solution.reason == "") == (solution.status == "native")
    assert solution.effective_n == pytest.approx(1 / (weights**2).sum())
    assert solution.cap_binding_share == (weights >= max(cap, 1 / N) - 1e-9).mean()
