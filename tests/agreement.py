"""When two engines have solved the same problem alike."""

import numpy as np

from sleevegraph.engines.problem import Problem
from sleevegraph.engines.registry import engine_named
from sleevegraph.risk_profiles import Solution
from sleevegraph.risk_profiles.solver import pose, solve_posed

CLOSED_FORM = 1e-12
WEIGHTS = 1e-4
CONTRIBUTIONS = 1e-4
RELATIVE_OBJECTIVE = 1e-6


def posed(returns: np.ndarray, cap: float, covariance: str, lower: float = 0.0) -> Problem:
    problem = pose(returns, cap=cap, covariance=covariance, lower=lower)
    assert isinstance(problem, Problem), problem
    return problem


def solved_by(engine: str, profile: str, problem: Problem) -> Solution:
    return solve_posed(profile, problem, engine_named(engine))


def assert_agree(profile: str, problem: Problem, found: np.ndarray, reference: np.ndarray) -> None:
    if profile in {"hrp", "barbell"}:
        np.testing.assert_allclose(found, reference, rtol=0, atol=CLOSED_FORM)
        return
    np.testing.assert_allclose(found, reference, rtol=0, atol=WEIGHTS)
    if profile == "risk_parity":
        np.testing.assert_allclose(
            contributions(found, problem), contributions(reference, problem), rtol=0, atol=CONTRIBUTIONS
        )
    else:
        assert_same_objective(profile, problem, found, reference)


def assert_same_objective(profile: str, problem: Problem, found: np.ndarray, reference: np.ndarray) -> None:
    objective = {"min_variance": lambda w: w @ problem.covariance @ w, "max_sharpe": problem.sharpe}[profile]
    np.testing.assert_allclose(objective(found), objective(reference), rtol=RELATIVE_OBJECTIVE)


def contributions(weights: np.ndarray, problem: Problem) -> np.ndarray:
    products = weights * (problem.covariance @ weights)
    return products / products.sum()
