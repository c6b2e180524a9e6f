"""What any engine's weights must satisfy before they count: nothing that an engine says of itself is believed."""

import numpy as np

from sleevegraph.engines.native import Native
from sleevegraph.engines.native.hrp import hrp
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import Engine
from sleevegraph.engines.residuals import residual_of
from sleevegraph.panel import Floats
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.risk_profiles.recipes import barbell

MAX_SUM_ERROR, MAX_NEGATIVE, MAX_CAP_EXCESS = 1e-6, 1e-8, 1e-6
"""What a solver may be off by before repair; more is a failure."""
MAX_REPAIRED_ERROR = 1e-9
ROUNDING, SUM_ROUNDING = 1e-12, 1e-15
"""Of a weight, and of the sum of weights: what is off by less is not repaired."""
CONSTRAINED = ("min_variance", "max_sharpe")
"""Profiles that take the bounds as constraints; the weights of the others are projected on them."""

NATIVE = Native()

Verdict = tuple[Floats | None, float, str]


def verified(name: str, attempt: Attempt, problem: Problem, engine: Engine) -> Verdict:
    """Weights that satisfy every rule of a solve and their residual, or the rule that the attempt breaks."""
    weights, reason = _numbers(attempt, len(problem.covariance))
    reason = reason or _broken_before_repair(name, weights, problem)
    if reason:
        return None, float("nan"), reason
    if name not in CONSTRAINED or not engine.dust:
        return _judged(name, weights, problem, engine)
    cut = _judged(name, _without_dust(weights, problem, engine.dust), problem, engine)
    # Beside a pegged asset an optimal weight may be as small as dust: the answer as given may then be the better one.
    return cut if cut[0] is not None else _judged(name, weights, problem, engine)


def _judged(name: str, weights: Floats, problem: Problem, engine: Engine) -> Verdict:
    bounded = _within_bounds(weights, problem)
    reason = _broken_after_repair(name, bounded, problem)
    if reason:
        return None, float("nan"), reason
    residual = _residual(name, bounded if name in CONSTRAINED else weights, problem, engine)
    if not residual <= engine.max_residual:
        return None, float("nan"), f"residual {residual:.1e}, expected at most {engine.max_residual:g}"
    if _worse_than_equal_weight(name, bounded, problem):
        return None, float("nan"), "objective worse than that of equal weight"
    return bounded, residual, ""


def _residual(name: str, weights: Floats, problem: Problem, engine: Engine) -> float:
    """As `residual_of`; a closed form of another engine is compared with the native one, which is its definition."""
    if engine.name == NATIVE.name or name not in {"hrp", "barbell"}:
        return residual_of(name, weights, problem)
    expected = hrp(problem) if name == "hrp" else barbell(problem, hrp)
    return float("inf") if expected.weights is None else float(np.abs(weights - expected.weights).max())


def _numbers(attempt: Attempt, N: int) -> tuple[Floats, str]:
    """The weights as the engine gave them, and why they are not N finite numbers."""
    if attempt.weights is None:
        return np.empty(0), attempt.reason or "no weights and no reason"
    try:
        weights = np.array(attempt.weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        return np.empty(0), f"weights are not numbers: {error}"
    if weights.shape != (N,):
        return weights, f"expected {N} weights, found shape {weights.shape}"
    bad = N - np.count_nonzero(np.isfinite(weights))
    return weights, f"{bad} of {N} weights are not finite" if bad else ""


def _broken_before_repair(name: str, weights: Floats, problem: Problem) -> str:
    total, smallest, largest = float(weights.sum()), float(weights.min()), float(weights.max())
    if not abs(total - 1.0) <= MAX_SUM_ERROR:
        return f"weights add to {total:.9g}, expected 1"
    if smallest < -MAX_NEGATIVE:
        return f"weight {smallest:.3g} is negative"
    if name in CONSTRAINED and largest > problem.upper + MAX_CAP_EXCESS:
        return f"weight {largest:.9g} is above the cap {problem.upper:g}"
    return ""


def _broken_after_repair(name: str, weights: Floats, problem: Problem) -> str:
    total = float(weights.sum())
    if not abs(total - 1.0) <= MAX_REPAIRED_ERROR:
        return f"weights add to {total:.12g} after repair, expected 1"
    if name == "max_sharpe":
        mean = float((problem.mean * weights).sum())
        if mean <= 0.0:
            return f"weights without a positive mean ({mean:.2g}): noise, no largest ratio"
    return ""


def _without_dust(weights: Floats, problem: Problem, dust: float) -> Floats:
    """Cut what an interior-point method leaves beside the bounds, and renormalise."""
    cut = np.where(weights < problem.lower + dust, problem.lower, weights)
    cut = np.where(cut > problem.upper - dust, problem.upper, cut)
    free = (cut > problem.lower) & (cut < problem.upper)
    if free.any():
        cut[free] *= 1.0 + (1.0 - float(cut.sum())) / float(cut[free].sum())
    return cut


def _within_bounds(weights: Floats, problem: Problem) -> Floats:
    lower, upper = problem.lower, problem.upper
    excess = max(lower - float(weights.min()), float(weights.max()) - upper)
    if excess > ROUNDING:
        return project_bounded_simplex(weights, lower, upper)
    if excess <= 0.0 and abs(float(weights.sum()) - 1.0) <= SUM_ROUNDING:
        return weights
    # Only rounding is off: weights on a bound stay exactly there, the others share the error of the sum.
    clipped = np.minimum(np.maximum(weights, lower), upper)
    free = (clipped > lower) & (clipped < upper)
    clipped[free] -= (clipped.sum() - 1.0) / max(np.count_nonzero(free), 1)
    return np.asarray(np.minimum(np.maximum(clipped, lower), upper), dtype=np.float64)


def _worse_than_equal_weight(name: str, weights: Floats, problem: Problem) -> bool:
    equal = np.full(len(weights), 1.0 / len(weights))
    if name == "min_variance":
        rounding = ROUNDING * problem.mean_variance
        return problem.variance(weights) > problem.variance(equal) * (1.0 + MAX_REPAIRED_ERROR) + rounding
    if name == "max_sharpe":
        bar = problem.sharpe(equal)
        return problem.sharpe(weights) < bar - MAX_REPAIRED_ERROR * abs(bar)
    return False
