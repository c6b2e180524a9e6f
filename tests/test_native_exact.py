"""`native` against the exact solution of each problem, found in fifty digits from the active set of its answer.

Both convex profiles are one problem: minimise y'Sy where mean'y = 1 and the bounds are relative to the sum of y, with
means of one for min_variance; w = y / sum(y). The assets off their bounds determine y linearly, and the multipliers
of the others, all positive, prove that these are the right ones.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from sleevegraph.engines.native import Native
from sleevegraph.engines.problem import Problem
from sleevegraph.risk_profiles.solution import Solution
from sleevegraph.risk_profiles.solver import pose, solve_posed
from tests.windows import KINDS, window

DIGITS = 50
EXACT = 1e-8
"""Of a weight where the solution is unique, of the variance where it is not."""
UNIQUE = 1e-9
"""Smallest eigenvalue, relative to unit variances, of the covariance among the assets off their bounds."""
VARIANCE_FLOOR = 1e-4
PROBLEMS = 200
PLANTED = (*KINDS, "constant", "losing")

Vector = list[mpmath.mpf]
Matrix = list[Vector]


def sized(seed: int) -> int:
    """Mostly small: 60 assets in fifty digits take a second."""
    return {0: 60, 100: 40, 150: 30}.get(seed, 2 + seed * 7 % 19)


def posed(seed: int) -> tuple[str, Problem | str]:
    kind, N = PLANTED[seed % len(PLANTED)], sized(seed)
    returns = window(seed, N, kind) + 0.0005
    if kind == "constant":
        returns[:, seed % N] = 0.001 * (seed % 3)
    if kind == "losing":
        returns -= returns.mean(axis=0) + np.linspace(1e-4, 1e-2, N)
    covariance = "ledoit_wolf" if seed % 4 == 1 else "sample"
    return kind, pose(returns, cap=(1.0, 0.25, 0.1)[seed % 3], covariance=covariance)


def digits(values: np.ndarray) -> Vector:
    return [mpmath.mpf(float(value)) for value in values]


def dot(a: Vector, b: Vector) -> mpmath.mpf:
    return mpmath.fdot(zip(a, b, strict=True))


def gradient(S: Matrix, mean: Vector, w: Vector) -> Vector:
    """Of the variance over the squared mean, up to a factor: equal among assets off their bounds at the solution."""
    Sw = [dot(row, w) for row in S]
    share = dot(Sw, w) / dot(mean, w)
    return [g - share * m for g, m in zip(Sw, mean, strict=True)]


def solution_of(S: Matrix, mean: Vector, free: list[int], fixed: dict[int, mpmath.mpf]) -> Vector:
    """The w with these weights fixed that is stationary in the free ones."""
    if not free:
        return [fixed[asset] for asset in range(len(S))]
    # y = B z, with z the free part: a fixed weight is its bound x sum(y), and sum(y) is sum(z) / (1 - all fixed).
    left = 1 - mpmath.fsum(fixed.values())
    B = [[fixed[i] / left] * len(free) if i in fixed else [mpmath.mpf(i == j) for j in free] for i in range(len(S))]
    columns = [[row[c] for row in B] for c in range(len(free))]
    images = [[dot(row, column) for row in S] for column in columns]
    H = mpmath.matrix([[dot(column, image) for image in images] for column in columns])
    z = mpmath.lu_solve(H, mpmath.matrix([dot(column, mean) for column in columns]))
    y = [dot(row, list(z)) for row in B]
    return [value / mpmath.fsum(y) for value in y]


def proof(problem: Problem, mean: np.ndarray, weights: np.ndarray) -> tuple[str, float]:
    """("exact", distance to the solution), or ("optimal", gap) where it is not unique, or ("wrong", violation)."""
    low, high = mpmath.mpf(problem.lower), mpmath.mpf(problem.upper)
    S, mu = [digits(row) for row in problem.covariance], digits(mean)
    below, above = np.flatnonzero(weights <= problem.lower), np.flatnonzero(weights >= problem.upper)
    free = sorted({*range(len(weights))} - {*below} - {*above})
    if not unique(problem, free):
        return "optimal", gap(problem, S, mu, digits(weights))
    w = solution_of(S, mu, free, {int(i): low for i in below} | {int(i): high for i in above})
    g = gradient(S, mu, w)
    levels = [g[i] for i in free] or [max(g[i] for i in above)]
    assert max(levels) - min(levels) <= mpmath.mpf(10) ** (10 - DIGITS)
    outside = [max(low - w[i], w[i] - high) for i in free]
    pulling = [levels[0] - g[i] for i in below] + [g[i] - levels[0] for i in above if free]
    violation = max([mpmath.mpf(0), *outside, *pulling])
    if violation > 0:
        return "wrong", float(violation)
    return "exact", float(max(abs(a - b) for a, b in zip(w, digits(weights), strict=True)))


def unique(problem: Problem, free: list[int]) -> bool:
    return not free or np.linalg.eigvalsh(problem.correlation[np.ix_(free, free)]).min() > UNIQUE


def gap(problem: Problem, S: Matrix, mean: Vector, w: Vector) -> float:
    """By how much the variance might fall at most, relative to it: the objective is above its tangent at w."""
    g = gradient(S, mean, w)
    variance = dot([dot(row, w) for row in S], w)
    return float((dot(g, w) - least(g, problem)) / max(variance, VARIANCE_FLOOR * mpmath.mpf(problem.mean_variance)))


def least(slopes: Vector, problem: Problem) -> mpmath.mpf:
    """The smallest slopes'w within the bounds: the cheapest assets filled to the cap, in turn."""
    low, high = mpmath.mpf(problem.lower), mpmath.mpf(problem.upper)
    total, left = low * mpmath.fsum(slopes), 1 - len(slopes) * low
    for slope in sorted(slopes):
        total, left = total + slope * min(high - low, left), left - min(high - low, left)
    return total


def equal_contributions(problem: Problem, weights: np.ndarray) -> Vector:
    """Risk parity: Newton's method from the answer doubles its digits with every step."""
    S, N = [digits(row) for row in problem.covariance], len(weights)
    w = digits(weights)
    scale = mpmath.sqrt(dot([dot(row, w) for row in S], w))
    x = [value / scale for value in w]
    for _ in range(3):
        residual = [dot(row, x) - 1 / (N * value) for row, value in zip(S, x, strict=True)]
        hessian = mpmath.matrix(S) + mpmath.diag([1 / (N * value**2) for value in x])
        x = [value - step for value, step in zip(x, mpmath.lu_solve(hessian, mpmath.matrix(residual)), strict=True)]
    contributions = [value * dot(row, x) for row, value in zip(S, x, strict=True)]
    assert min(x) > 0
    assert max(abs(c - mpmath.mpf(1) / N) for c in contributions) < mpmath.mpf(10) ** (10 - DIGITS)
    return [value / mpmath.fsum(x) for value in x]


def check_convex(profile: str, problem: Problem, solution: Solution) -> str:
    mean = problem.mean if profile == "max_sharpe" else np.ones(len(solution.weights))
    verdict, off = proof(problem, mean, solution.weights)
    assert verdict in {"exact", "optimal"}
    assert off <= EXACT, (verdict, off)
    return verdict


def check_ratio(problem: Problem) -> str:
    solution = solve_posed("max_sharpe", problem, Native())
    if solution.status == "native":
        assert problem.mean @ solution.weights > 0
        return check_convex("max_sharpe", problem, solution)
    assert (solution.status, solution.rung) == ("fallback", "min_variance")
    assert solution.reason.startswith("max_sharpe: infeasible: no portfolio within the bounds has a positive mean")
    assert -least(digits(-problem.mean), problem) <= problem.mean_rounding
    np.testing.assert_array_equal(solution.weights, solve_posed("min_variance", problem, Native()).weights)
    return "infeasible"


def check_parity(problem: Problem) -> str:
    problem = replace(problem, upper=1.0)
    solution = solve_posed("risk_parity", problem, Native())
    if solution.status == "native":
        exact = equal_contributions(problem, solution.weights)
        assert max(abs(a - b) for a, b in zip(exact, digits(solution.weights), strict=True)) <= EXACT
        return "exact"
    # It does not exist where a long-only portfolio has no variance at all.
    safest = solve_posed("min_variance", problem, Native())
    assert safest.objective <= 1e-10 * problem.mean_variance
    assert solution.reason.startswith("risk_parity: residual")
    return "does not exist"


@pytest.fixture(autouse=True)
def fifty_digits() -> Iterator[None]:
    with mpmath.workdps(DIGITS):
        yield


def test_native_is_the_exact_solution_of_two_hundred_problems() -> None:
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(PROBLEMS):
        kind, problem = posed(seed)
        if isinstance(problem, str):
            assert kind == "constant"
            assert problem.startswith(f"zero variance in 1 columns, first {seed % sized(seed)}")
            found["all", "rejected"] += 1
            continue
        assert kind != "constant"
        solution = solve_posed("min_variance", problem, Native())
        assert solution.status == "native"
        found["min_variance", check_convex("min_variance", problem, solution)] += 1
        found["max_sharpe", check_ratio(problem)] += 1
        found["risk_parity", check_parity(problem)] += 1
        assert kind != "losing" or (problem.mean < 0).all()
    solved = PROBLEMS - found["all", "rejected"]
    assert found["all", "rejected"] == sum(posed(seed)[0] == "constant" for seed in range(PROBLEMS)) == 28
    assert found["min_variance", "exact"] + found["min_variance", "optimal"] == solved
    assert found["min_variance", "exact"] >= 150
    assert found["max_sharpe", "exact"] + found["max_sharpe", "optimal"] + found["max_sharpe", "infeasible"] == solved
    assert found["max_sharpe", "exact"] >= 110
    assert found["max_sharpe", "infeasible"] >= 29
    assert found["risk_parity", "exact"] + found["risk_parity", "does not exist"] == solved
    assert found["risk_parity", "exact"] >= 150


def problem_of(kind: str, seed: int = 3, N: int = 9) -> Problem:
    problem = pose(window(seed, N, kind) + 0.002, cap=0.4, covariance="sample")
    assert isinstance(problem, Problem)
    return problem


def moved(weights: np.ndarray, by: float) -> np.ndarray:
    """Weight moved from the largest that is off its bounds to the next."""
    weights = weights.copy()
    inner = [asset for asset in np.argsort(weights) if 1e-3 < weights[asset] < 0.399]
    weights[inner[-2:]] += [by, -by]
    return weights


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe"])
def test_a_weight_moved_by_a_ten_millionth_is_not_the_exact_solution(profile: str) -> None:
    problem = problem_of("plain")
    weights = solve_posed(profile, problem, Native()).weights
    mean = problem.mean if profile == "max_sharpe" else np.ones(9)
    assert proof(problem, mean, weights)[1] <= EXACT
    verdict, off = proof(problem, mean, moved(weights, 1e-7))
    assert verdict == "exact"
    assert off == pytest.approx(1e-7)


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe"])
def test_an_asset_left_out_that_should_be_held_is_a_wrong_active_set(profile: str) -> None:
    problem = problem_of("plain")
    held = solve_posed(profile, problem, Native()).weights
    rest = np.delete(np.arange(9), np.flatnonzero((held > 0.01) & (held < 0.39))[0])
    weights = np.zeros(9)
    weights[rest] = solve_posed(profile, problem.of(rest), Native()).weights
    assert proof(problem, problem.mean if profile == "max_sharpe" else np.ones(9), weights)[0] == "wrong"


def test_where_the_solution_is_not_unique_a_variance_that_can_fall_is_found() -> None:
    problem = problem_of("duplicated", seed=1)
    weights = solve_posed("min_variance", problem, Native()).weights
    verdict, off = proof(problem, np.ones(9), weights)
    assert (verdict, off <= EXACT) == ("optimal", True)
    verdict, off = proof(problem, np.ones(9), moved(weights, 1e-7))
    assert (verdict, off > EXACT) == ("optimal", True)


def test_a_risk_parity_weight_moved_by_a_ten_millionth_is_not_the_exact_solution() -> None:
    problem = replace(problem_of("plain"), upper=1.0)
    weights = moved(solve_posed("risk_parity", problem, Native()).weights, 1e-7)
    exact = equal_contributions(problem, weights)
    assert max(abs(a - b) for a, b in zip(exact, digits(weights), strict=True)) > EXACT


def bisected(covariance: np.ndarray, leaves: list[int]) -> dict[int, float]:
    """HRP as it is defined, one cluster at a time."""
    if len(leaves) == 1:
        return {leaves[0]: 1.0}
    halves = leaves[: len(leaves) // 2], leaves[len(leaves) // 2 :]
    variances = []
    for half in halves:
        block = covariance[np.ix_(half, half)]
        weights = 1 / block.diagonal() / (1 / block.diagonal()).sum()
        variances.append(weights @ block @ weights)
    shares = variances[1] / sum(variances), variances[0] / sum(variances)
    return {
        asset: share * weight
        for half, share in zip(halves, shares, strict=True)
        for asset, weight in bisected(covariance, half).items()
    }


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6])
def test_hrp_is_its_definition_even_when_volatilities_differ_by_orders_of_magnitude(spread: float) -> None:
    for seed in range(30):
        N = 3 + seed
        returns = window(seed, N) * np.geomspace(1.0, spread, N)[np.random.default_rng(seed).permutation(N)]
        problem = pose(returns, cap=1.0, covariance="sample")
        assert isinstance(problem, Problem)
        distance = squareform(np.sqrt(0.5 * (1 - np.corrcoef(returns.T))), checks=False)
        expected = bisected(np.cov(returns.T), leaves_list(linkage(distance, "single")).tolist())
        weights = solve_posed("hrp", problem, Native()).weights
        np.testing.assert_allclose(weights, [expected[asset] for asset in range(N)], rtol=1e-11, atol=1e-16)
