"""Every window is answered with weights or with a reason."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.recipes import _clusters
from sleevegraph.tails import antifragility
from tests.shared import SHARED, needs_shared
from tests.windows import KINDS, assert_sound, window

AT_RISK = ("hrp", "min_variance", "max_sharpe", "risk_parity", "barbell")
EQUAL = ("equal_weight", "market", "benchmark")


@pytest.mark.parametrize("kind", ["plain", "duplicated", "near_singular", "pegged"])
def test_risk_parity_contributions_are_equal(kind: str) -> None:
    for seed in range(25):
        N = 2 + 2 * seed
        returns = window(seed, N, kind)
        solution = solve("risk_parity", returns)
        contributions = solution.weights * (np.cov(returns.T) @ solution.weights)
        assert solution.status == "native"
        assert np.abs(contributions / contributions.sum() - 1 / N).max() <= 1e-8


def test_risk_parity_that_does_not_exist_is_a_recorded_fallback() -> None:
    # Long-only portfolios without variance exist: twelve observations of sixty assets.
    solution = solve("risk_parity", window(3, 60, T=12), cap=0.25)
    assert_sound(solution, 60, 0.25)
    assert solution.status == "fallback"
    assert solution.reason.startswith("risk_parity: residual")
    assert solution.rung in {"ridge", "min_variance"}


def test_max_sharpe_without_a_positive_feasible_mean_falls_back_to_min_variance() -> None:
    returns = window(1, 8)
    returns += -0.001 - returns.mean(axis=0)
    solution, stand_in = solve("max_sharpe", returns, cap=0.25), solve("min_variance", returns, cap=0.25)
    assert (solution.status, solution.rung) == ("fallback", "min_variance")
    assert "positive mean" in solution.reason
    np.testing.assert_array_equal(solution.weights, stand_in.weights)


def test_one_positive_mean_is_not_enough_under_a_cap() -> None:
    returns = window(1, 8)
    returns -= returns.mean(axis=0)
    means = np.full(8, -0.004)
    means[2] = 0.001
    assert solve("max_sharpe", returns + means).status == "native"
    capped = solve("max_sharpe", returns + means, cap=0.25)
    assert capped.reason.startswith(
        "max_sharpe: infeasible: no portfolio within the bounds has a positive mean (best -0.002"
    )


def test_barbell_holds_a_tenth_in_the_most_antifragile_of_five_clusters() -> None:
    returns = window(2, 20)
    solution = solve("barbell", returns)
    assert_sound(solution, 20, 1.0)
    assert solution.status == "native"
    end = np.isclose(solution.weights, 0.02, atol=1e-15)
    assert end.sum() == 5
    assert solution.weights[end].sum() == pytest.approx(0.1)
    np.testing.assert_allclose(solution.weights[~end], 0.9 * solve("hrp", returns[:, ~end]).weights, atol=1e-14)
    distance = squareform(np.sqrt(0.5 * (1 - np.corrcoef(returns.T))), checks=False)
    clusters, scores = fcluster(linkage(distance, "ward"), 5, "maxclust"), antifragility(returns)
    for cluster in range(1, 6):
        assert scores[(clusters == cluster) & end] == scores[clusters == cluster].max()


def scipys_clusters(tree: np.ndarray, most: int) -> set[frozenset[int]]:
    of = fcluster(tree, most, "maxclust")
    return {frozenset(np.flatnonzero(of == cluster).tolist()) for cluster in np.unique(of)}


def test_clusters_of_the_barbell_are_scipys() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        N = int(rng.integers(4, 25))
        pairs = N * (N - 1) // 2
        tree = linkage(rng.random(pairs) if seed % 2 else rng.integers(1, 3, pairs).astype(float), "ward")
        for most in range(1, N // 2 + 1):
            assert set(map(frozenset, _clusters(tree, most))) == scipys_clusters(tree, most)


def test_merges_of_equal_height_leave_fewer_clusters_than_allowed() -> None:
    # Three alike groups of two pairs: after the six pairs the seventh merge is as high as the eighth and the ninth.
    places = np.array([start + offset for start in (0, 100, 300) for offset in (0, 1, 10, 11)], dtype=float)
    tree = linkage(pdist(places[:, None]), "ward")
    assert set(map(frozenset, _clusters(tree, 5))) == scipys_clusters(tree, 5)
    assert len(_clusters(tree, 5)) == 3


def test_barbell_of_fewer_than_four_assets_is_hrp() -> None:
    returns = window(2, 3)
    solution = solve("barbell", returns)
    assert (solution.status, solution.rung) == ("fallback", "hrp")
    np.testing.assert_array_equal(solution.weights, solve("hrp", returns).weights)


@pytest.mark.parametrize("profile", EQUAL)
def test_equal_weight_profiles_are_one_over_n_of_the_columns_given(profile: str) -> None:
    solution = solve(profile, window(0, 7), cap=0.25)
    assert solution.status == "native"
    np.testing.assert_array_equal(solution.weights, np.full(7, 1 / 7))


@pytest.mark.parametrize("profile", RISK_PROFILES)
@pytest.mark.parametrize("covariance", ["sample", "ledoit_wolf"])
def test_every_profile_is_sound_at_every_size_kind_and_cap(profile: str, covariance: str) -> None:
    for kind in KINDS:
        for N, cap in [(2, 1.0), (3, 1 / 3), (4, 0.25), (7, 0.25), (16, 1 / 16), (40, 0.03)]:
            solution = solve(profile, window(N, N, kind), cap=cap, covariance=covariance)
            assert_sound(solution, N, cap)
            if N * cap <= 1.0:
                np.testing.assert_allclose(solution.weights, 1 / N, atol=1e-12)


@pytest.mark.parametrize("profile", RISK_PROFILES)
def test_one_asset_is_held_entirely(profile: str) -> None:
    for returns in (window(0, 1), np.zeros((30, 1)), np.full((1, 1), -0.5)):
        solution = solve(profile, returns, cap=0.25)
        assert (solution.status, solution.weights.tolist()) == ("native", [1.0])


def planted(value: float) -> np.ndarray:
    returns = window(0, 5)
    returns[17, 3] = value
    return returns


@pytest.mark.parametrize("profile", RISK_PROFILES)
@pytest.mark.parametrize(
    ("returns", "assets", "reason"),
    [
        (planted(np.nan), 5, "first 3"),
        (planted(np.inf), 5, "first 3"),
        (planted(-1e300), 5, "first 3"),
        (np.full((10, 1), np.nan), 1, "first 0"),
        (np.empty((0, 4)), 4, r"\(0, 4\)"),
        (np.empty((9, 0)), 0, r"\(9, 0\)"),
        (np.zeros(9), 0, "matrix"),
        (np.zeros((3, 3, 3)), 0, "matrix"),
        ([["a", "b"]], 0, "numbers"),
    ],
)
def test_data_that_nobody_can_solve_is_rejected_with_zero_weights(
    profile: str, returns: np.ndarray, assets: int, reason: str
) -> None:
    solution = solve(profile, returns, cap=0.25)
    assert solution.status == "rejected"
    assert solution.weights.tolist() == [0.0] * assets
    assert re.search(reason, solution.reason)


@pytest.mark.parametrize("constant", [0.0, 0.001, -3.7e-9, 12345.678])
def test_a_constant_column_is_rejected_where_risk_matters_and_named(constant: float) -> None:
    returns = window(0, 5)
    returns[:, 2] = constant
    for profile in AT_RISK:
        for covariance in ("sample", "ledoit_wolf"):
            solution = solve(profile, returns, covariance=covariance)
            assert solution.status == "rejected"
            assert "first 2" in solution.reason
            assert not solution.weights.any()
    assert {solve(profile, returns).status for profile in EQUAL} == {"native"}


def test_constant_columns_are_rejected_even_when_most_columns_are() -> None:
    returns = np.full((50, 6), 0.001)
    returns[:, 0] = window(0, 1, T=50)[:, 0]
    assert "in 5 columns, first 1" in solve("hrp", returns).reason


def test_one_observation_is_rejected_where_risk_matters() -> None:
    assert {solve(profile, window(0, 5)[:1]).status for profile in AT_RISK} == {"rejected"}
    assert {solve(profile, window(0, 5)[:1]).status for profile in EQUAL} == {"native"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"profile": "hrp2"}, "hrp2"),
        ({"engine": "magic"}, "magic"),
        ({"covariance": "oas"}, "oas"),
        ({"cap": 0.0}, "cap"),
        ({"cap": 1.01}, "cap"),
        ({"cap": float("nan")}, "cap"),
        ({"lower": -0.1}, "lower"),
        ({"lower": 0.6, "cap": 0.5}, "lower"),
        ({"lower": 0.3, "cap": 0.9}, "lower"),
        ({"lower": 0.05, "cap": 0.2}, "lower"),
    ],
)
def test_settings_that_cannot_be_run_are_configuration_errors(settings: dict, text: str) -> None:
    arguments = {"profile": "hrp", "returns": window(0, 4)} | settings
    with pytest.raises(ConfigurationError, match=text):
        solve(**arguments)


@pytest.mark.parametrize("profile", RISK_PROFILES)
def test_meta_bounds_hold_for_every_profile(profile: str) -> None:
    for N, lower, cap in [(2, 0.05, 0.95), (4, 0.05, 0.5), (4, 0.25, 0.25), (20, 0.05, 0.95)]:
        assert_sound(solve(profile, window(N, N, "pegged"), cap=cap, lower=lower), N, cap, lower)


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe", "risk_parity", "equal_weight"])
def test_permuting_columns_permutes_weights(profile: str) -> None:
    for seed, kind in enumerate(["plain", "duplicated", "pegged"]):
        returns, order = window(seed, 20, kind) + 0.001, np.random.default_rng(seed).permutation(20)
        weights = solve(profile, returns, cap=0.25).weights
        permuted = solve(profile, returns[:, order], cap=0.25).weights
        # How two equal columns share their weight is only as exact as the proximal term can see.
        np.testing.assert_allclose(permuted, weights[order], atol=1e-6 if kind == "duplicated" else 1e-9)


@pytest.mark.parametrize("profile", RISK_PROFILES)
def test_scaling_all_returns_leaves_weights(profile: str) -> None:
    returns = window(3, 15)
    expected = solve(profile, returns, cap=0.25)
    for factor in (1e-6, 7.0, 1e6):
        scaled = solve(profile, returns * factor, cap=0.25)
        assert scaled.status == expected.status
        np.testing.assert_allclose(scaled.weights, expected.weights, atol=1e-9)


def test_two_uncorrelated_assets_are_held_by_inverse_variance() -> None:
    returns = np.array([[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]]) / 100
    for profile in ("min_variance", "hrp"):
        np.testing.assert_allclose(solve(profile, returns).weights, [0.8, 0.2], atol=1e-12)
    np.testing.assert_allclose(solve("risk_parity", returns).weights, [2 / 3, 1 / 3], atol=1e-12)
    np.testing.assert_allclose(
        solve("max_sharpe", returns + np.array([0.01, 0.02])).weights, [2 / 3, 1 / 3], atol=1e-12
    )


def test_objective_is_the_variance_or_the_sharpe_ratio() -> None:
    returns = window(6, 10) + 0.002
    for profile in ("min_variance", "risk_parity", "equal_weight"):
        solution = solve(profile, returns)
        assert solution.objective == pytest.approx(np.var(returns @ solution.weights, ddof=1), rel=1e-12)
    solution = solve("max_sharpe", returns)
    held = returns @ solution.weights
    assert solution.objective == pytest.approx(held.mean() / held.std(ddof=1), rel=1e-12)


def test_cap_binding_share_says_when_a_profile_has_stopped_choosing() -> None:
    returns = window(0, 5)
    assert solve("min_variance", returns, cap=0.2).cap_binding_share == 1.0
    assert solve("equal_weight", returns, cap=0.25).cap_binding_share == 0.0


@settings(max_examples=150, deadline=None)
@given(
    profile=st.sampled_from(RISK_PROFILES),
    returns=arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
        elements=st.one_of(st.sampled_from([0.0, 0.01, -0.02, np.nan, 1e-200, 1e200]), st.floats(-1, 1)),
    ),
    cap=st.floats(0.01, 1.0),
    covariance=st.sampled_from(["sample", "ledoit_wolf"]),
)
def test_no_matrix_makes_solve_raise_or_give_unsound_weights(
    profile: str, returns: np.ndarray, cap: float, covariance: str
) -> None:
    solution = solve(profile, returns, cap=cap, covariance=covariance)
    if solution.status == "rejected":
        assert solution.reason
        assert not solution.weights.any()
    else:
        assert_sound(solution, returns.shape[1], cap)


@needs_shared
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_recorded_windows_are_solved_as_asked(sign: float) -> None:
    bars = pl.read_parquet(SHARED / "market" / "spot_daily.parquet").sort("symbol", "date")
    closes = bars.pivot("symbol", index="date", values="close").sort("date").drop("date").to_numpy()
    for end in range(300, len(closes), 150):
        recent = closes[end - 253 : end]
        returns = recent[1:] / recent[:-1] - 1
        alive = np.flatnonzero(np.isfinite(returns).all(axis=0) & (np.std(returns, axis=0) > 0.01))[:15]
        stream = sign * np.minimum(returns[:, alive], 1.0 if sign < 0 else np.inf)
        for profile in RISK_PROFILES:
            solution = solve(profile, stream, cap=0.25, covariance="ledoit_wolf")
            assert_sound(solution, len(alive), 0.25)
            feasible = profile != "max_sharpe" or np.sort(stream.mean(axis=0))[-4:].sum() > 0
            assert solution.status == ("native" if feasible else "fallback"), (end, profile, solution.reason)
