"""Try recipes in turn until one gives weights that stand verification; each failed one leaves its reason."""

from collections.abc import Callable, Mapping

import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.risk_profiles.closed_form import barbell, equal_weight, hrp, inverse_volatility
from sleevegraph.risk_profiles.convex import max_sharpe, min_variance
from sleevegraph.risk_profiles.problem import Attempt, Problem
from sleevegraph.risk_profiles.risk_parity import risk_parity
from sleevegraph.risk_profiles.solution import Solution, solved, unsolved

Recipe = Callable[[Problem], Attempt]

RECIPES: dict[str, Recipe] = {
    "hrp": hrp,
    "min_variance": min_variance,
    "max_sharpe": max_sharpe,
    "risk_parity": risk_parity,
    "barbell": barbell,
    "inverse_volatility": inverse_volatility,
    "equal_weight": equal_weight,
}
STAND_INS = ("min_variance", "hrp", "inverse_volatility", "equal_weight")
BARBELL_STAND_INS = ("hrp", "inverse_volatility", "equal_weight")
"""A barbell is HRP with a tenth set aside, so HRP is nearest to it."""

MAX_RESIDUAL = 1e-8
MAX_SUM_ERROR, MAX_NEGATIVE, MAX_CAP_EXCESS = 1e-6, 1e-8, 1e-6
"""What a solver may be off by before repair; more is a failure."""
MAX_REPAIRED_ERROR = 1e-9
ROUNDING = 1e-12
CONSTRAINED = ("min_variance", "max_sharpe")
"""Recipes that take the bounds as constraints; the weights of the others are projected on them."""


def climb(asked: str, problem: Problem, recipes: Mapping[str, Recipe] = RECIPES) -> Solution:
    """Solve by the recipe asked for, else on a ridged covariance, else by what may stand in for it.

    The answer is native only when the recipe asked for gave it on the problem as posed.
    """
    stand_ins = BARBELL_STAND_INS if asked == "barbell" else STAND_INS
    rungs = [(asked, asked), ("ridge", asked), *((name, name) for name in stand_ins if name != asked)]
    reasons: list[str] = []
    infeasible = False
    for rung, name in rungs:
        if rung == "ridge" and infeasible:
            continue
        posed = problem.ridged() if rung == "ridge" else problem
        attempt = recipes[name](posed)
        infeasible = attempt.infeasible
        weights, reason = verified(name, attempt, posed)
        if weights is not None:
            reasons += [f"{rung} stands in"] if reasons else []
            objective = problem.sharpe(weights) if name == "max_sharpe" else problem.variance(weights)
            return solved(
                weights,
                cap=problem.upper,
                reason="; ".join(reasons),
                rung=rung,
                objective=objective,
                residual=attempt.residual,
            )
        reasons.append(f"{rung}: {reason}")
    return unsolved(len(problem.covariance), "failed", "; ".join(reasons))


def verified(name: str, attempt: Attempt, problem: Problem) -> tuple[Floats | None, str]:
    """Weights that satisfy every rule of a solve, or the rule that the attempt breaks."""
    if attempt.weights is None:
        return None, attempt.reason
    reason = _solver_failure(name, attempt.weights, attempt.residual, problem)
    if reason:
        return None, reason
    weights = _within_bounds(attempt.weights, problem)
    if abs(float(weights.sum()) - 1.0) > MAX_REPAIRED_ERROR:
        return None, f"weights add to {weights.sum():.12g} after repair, expected 1"
    if _worse_than_equal_weight(name, weights, problem):
        return None, "objective worse than that of equal weight"
    return weights, ""


def _solver_failure(name: str, weights: Floats, residual: float, problem: Problem) -> str:
    if not np.isfinite(weights).all():
        return "weights are not finite"
    if not residual <= MAX_RESIDUAL:
        return f"residual {residual:.1e}, expected at most {MAX_RESIDUAL:g}"
    if abs(float(weights.sum()) - 1.0) > MAX_SUM_ERROR:
        return f"weights add to {weights.sum():.9g}, expected 1"
    if weights.min() < -MAX_NEGATIVE:
        return f"weight {weights.min():.3g} is negative"
    if name in CONSTRAINED and weights.max() > problem.upper + MAX_CAP_EXCESS:
        return f"weight {weights.max():.9g} is above the cap {problem.upper:g}"
    return ""


def _within_bounds(weights: Floats, problem: Problem) -> Floats:
    clipped: Floats = np.clip(weights, problem.lower, problem.upper)
    if np.abs(clipped - weights).max() > ROUNDING:
        return project_bounded_simplex(weights, problem.lower, problem.upper)
    # Only rounding is off: weights on a bound stay exactly there, the others share the error of the sum.
    free = (clipped > problem.lower) & (clipped < problem.upper)
    clipped[free] -= (clipped.sum() - 1.0) / max(int(free.sum()), 1)
    return np.asarray(np.clip(clipped, problem.lower, problem.upper), dtype=np.float64)


def _worse_than_equal_weight(name: str, weights: Floats, problem: Problem) -> bool:
    equal = np.full(len(weights), 1.0 / len(weights))
    if name == "min_variance":
        rounding = ROUNDING * float(np.trace(problem.covariance)) / len(weights)
        return problem.variance(weights) > problem.variance(equal) * (1.0 + MAX_REPAIRED_ERROR) + rounding
    if name == "max_sharpe":
        bar = problem.sharpe(equal)
        return problem.sharpe(weights) < bar - MAX_REPAIRED_ERROR * abs(bar)
    return False
