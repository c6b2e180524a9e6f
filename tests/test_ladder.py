import numpy as np
import pytest

from sleevegraph.risk_profiles.ladder import RECIPES, climb, verified
from sleevegraph.engines.problem import Attempt, Problem
from tests.windows import assert_sound, window

N = 6
CAP = 0.4


def problem() -> Problem:
    returns = window(8, N) + 0.001
    return Problem(returns, np.cov(returns.T), 0.0, CAP)


def refuse(_: Problem) -> Attempt:
    return Attempt(reason="planted")


EQUAL = np.full(N, 1 / N)
RISKIEST = np.eye(N)[np.cov(window(8, N).T).diagonal().argmax()]
WORSE = CAP * RISKIEST + (1 - CAP) / (N - 1) * (1 - RISKIEST)


@pytest.mark.parametrize(
    ("weights", "residual", "reason"),
    [
        (np.append(EQUAL[1:], np.nan), 0.0, "not finite"),
        (EQUAL * 0.999, 0.0, "add to"),
        (np.array([-2e-8, 0.2 + 2e-8, 0.2, 0.2, 0.2, 0.2]), 0.0, "negative"),
        (np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]), 0.0, "above the cap"),
        (EQUAL, 2e-8, "residual"),
        (EQUAL, float("nan"), "residual"),
        (WORSE, 0.0, "worse than"),
    ],
)
def test_each_planted_solver_failure_is_caught_and_min_variance_is_replaced(
    weights: np.ndarray, residual: float, reason: str
) -> None:
    attempt = Attempt(weights, residual)
    assert verified("min_variance", attempt, problem())[0] is None
    assert reason in verified("min_variance", attempt, problem())[1]
    solution = climb("min_variance", problem(), {**RECIPES, "min_variance": lambda _: attempt})
    assert (solution.status, solution.rung) == ("fallback", "hrp")
    assert solution.reason.startswith(f"min_variance: {verified('min_variance', attempt, problem())[1]}; ridge: ")
    assert solution.reason.endswith("; hrp stands in")
    assert_sound(solution, N, CAP)


def test_a_ratio_worse_than_equal_weights_is_a_failure() -> None:
    worst = np.eye(N)[problem().returns.mean(axis=0).argmin()]
    attempt = Attempt(CAP * worst + (1 - CAP) / (N - 1) * (1 - worst))
    assert "worse than" in verified("max_sharpe", attempt, problem())[1]


def test_solver_dust_is_repaired_and_not_a_failure() -> None:
    weights, reason = verified("hrp", Attempt(np.array([-5e-9, 0.2 + 5e-7, 0.2, 0.2, 0.2, 0.2])), problem())
    assert reason == ""
    assert weights is not None
    assert weights[0] == 0.0
    np.testing.assert_allclose(weights[1:], 0.2, atol=1e-6)
    assert abs(weights.sum() - 1.0) <= 1e-15


def test_a_problem_solved_only_with_a_ridge_says_so() -> None:
    posed = problem()

    def needs_ridge(given: Problem) -> Attempt:
        return refuse(given) if given is posed else RECIPES["risk_parity"](given)

    solution = climb("risk_parity", posed, {**RECIPES, "risk_parity": needs_ridge})
    assert (solution.status, solution.rung) == ("fallback", "ridge")
    assert solution.reason == "risk_parity: planted; ridge stands in"
    np.testing.assert_allclose(solution.weights, climb("risk_parity", posed).weights, atol=1e-6)


def test_an_infeasible_problem_skips_the_ridge() -> None:
    recipes = {**RECIPES, "max_sharpe": lambda _: Attempt(reason="planted", infeasible=True)}
    assert climb("max_sharpe", problem(), recipes).reason == "max_sharpe: planted; min_variance stands in"


@pytest.mark.parametrize(
    ("failing", "rung"),
    [
        (["risk_parity"], "min_variance"),
        (["risk_parity", "min_variance"], "hrp"),
        (["risk_parity", "min_variance", "hrp"], "inverse_volatility"),
        (["risk_parity", "min_variance", "hrp", "inverse_volatility"], "equal_weight"),
    ],
)
def test_rungs_are_tried_in_order_and_each_failure_is_recorded(failing: list[str], rung: str) -> None:
    solution = climb("risk_parity", problem(), {**RECIPES, **dict.fromkeys(failing, refuse)})
    assert (solution.status, solution.rung) == ("fallback", rung)
    assert [part.split(":")[0] for part in solution.reason.split("; ")[:-1]] == ["risk_parity", "ridge", *failing[1:]]
    assert_sound(solution, N, CAP)


def test_when_every_rung_fails_the_cell_has_failed_with_all_reasons() -> None:
    solution = climb("hrp", problem(), dict.fromkeys(RECIPES, refuse))
    assert (solution.status, solution.rung) == ("failed", "")
    assert solution.reason.count("planted") == 5
    assert not solution.weights.any()


def test_hrp_of_perfectly_hedged_pairs_is_solved_with_a_ridge() -> None:
    column = window(1, 2)
    returns = np.hstack([column, -column])
    hedged = Problem(returns, np.cov(returns.T), 0.0, 1.0)
    assert_sound(climb("hrp", hedged), 4, 1.0)
