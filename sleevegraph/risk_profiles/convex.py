"""Minimum variance and the tangency portfolio by an active-set solver, verified by their KKT conditions.

The solver sees x = weight x volatility, so that its Hessian is the correlation matrix: assets whose
volatilities differ by orders of magnitude are solved as exactly as others. A singular Hessian (fewer
observations than assets, duplicated assets) is handled by proximal steps, which converge to a solution
of the problem itself, not of a regularised one; from a start at zero they pick the one nearest to zero.
"""

import daqp
import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.risk_profiles.problem import Attempt, Problem

PROXIMAL_WEIGHTS = (1e-9, 1e-7)
"""Relative to unit variance; the second only where the solver cannot factorise with the first."""
MAX_PROXIMAL_STEPS = 10
CONVERGED = 1e-12
PRIMAL_TOLERANCE = 1e-12
SNAP = 1e-11
"""A weight this close to a bound is on it."""
VARIANCE_FLOOR = 1e-4
"""Violations are relative to the portfolio's variance, or to this share of the mean variance if larger."""
UNBOUNDED = 1e30
OPTIMAL, EQUALITY = 1, 5
"""daqp's exit flag and constraint type."""


def min_variance(problem: Problem) -> Attempt:
    """Minimise w' Sigma w within the bounds."""
    scale = _scale(problem)
    return _proximal(
        problem,
        rows=(1.0 / scale)[None, :],
        lower=np.append(problem.lower * scale, 1.0),
        upper=np.append(problem.upper * scale, 1.0),
        mean=None,
    )


def max_sharpe(problem: Problem) -> Attempt:
    """Maximise mean / standard deviation within the bounds.

    Solved as min y' Sigma y with mean' y = 1 and bounds on y relative to its sum; w = y / sum(y).
    Infeasible when no portfolio within the bounds has a positive mean.
    """
    mean = problem.returns.mean(axis=0)
    best = _largest_mean(mean, problem)
    # The rounding error of a mean: a smaller one has no sign.
    if best <= np.finfo(np.float64).eps * float(np.abs(problem.returns).max()):
        return Attempt(reason=f"no portfolio within the bounds has a positive mean (best {best:.2g})", infeasible=True)
    N, unit = len(mean), 1.0 / _scale(problem)
    rows, lower, upper = [mean / best * unit], np.append(np.zeros(N), 1.0), np.append(np.full(N, UNBOUNDED), 1.0)
    if problem.upper < 1.0:
        rows.extend(np.diag(unit) - problem.upper * unit)
        lower, upper = np.append(lower, np.full(N, -UNBOUNDED)), np.append(upper, np.zeros(N))
    if problem.lower > 0.0:
        rows.extend(np.diag(unit) - problem.lower * unit)
        lower, upper = np.append(lower, np.zeros(N)), np.append(upper, np.full(N, UNBOUNDED))
    return _proximal(problem, np.array(rows), lower, upper, mean)


def kkt_residual(weights: Floats, problem: Problem, mean: Floats | None) -> float:
    """By how much moving weight from one asset to another still improves the objective, relative to its variance.

    The gradient is Sigma w for the minimum variance and Sigma w - (w' Sigma w / mean' w) mean for the largest ratio
    (`mean` given). At the optimum no asset above its lower bound has a larger gradient than one below its upper bound.
    """
    gradient = problem.covariance @ weights
    variance = float(gradient @ weights)
    if mean is not None:
        gradient = gradient - variance / float(mean @ weights) * mean
    reducible = gradient[weights > problem.lower]
    extendible = gradient[weights < problem.upper]
    if len(reducible) == 0 or len(extendible) == 0:
        return 0.0
    floor = VARIANCE_FLOOR * float(np.trace(problem.covariance)) / len(weights)
    return max(float(reducible.max() - extendible.min()), 0.0) / max(variance, floor)


def _scale(problem: Problem) -> Floats:
    log_volatility = 0.5 * np.log(np.diag(problem.covariance))
    return np.asarray(np.exp(log_volatility - log_volatility.mean()), dtype=np.float64)


def _largest_mean(mean: Floats, problem: Problem) -> float:
    """The largest mean of a portfolio within the bounds: the best assets filled to the cap, in turn."""
    room = problem.upper - problem.lower
    left = 1.0 - problem.lower * len(mean) - room * np.arange(len(mean))
    return float(np.sort(mean)[::-1] @ (problem.lower + np.clip(left, 0.0, room)))


def _proximal(problem: Problem, rows: Floats, lower: Floats, upper: Floats, mean: Floats | None) -> Attempt:
    """Repeat x <- argmin x'Cx / 2 + p/2 |x - x_previous|^2 until the weights satisfy the KKT conditions.

    `lower` and `upper` hold N bounds on x, then those of `rows`, the first of which is an equality.
    """
    N = len(problem.covariance)
    if N * problem.upper <= 1.0 + SNAP or N * problem.lower >= 1.0 - SNAP:
        # The bounds leave one point, which a solver may miss by rounding.
        return Attempt(np.full(N, 1.0 / N))
    volatility, scale = np.sqrt(np.diag(problem.covariance)), _scale(problem)
    correlation = problem.covariance / np.outer(volatility, volatility)
    kinds = np.zeros(len(upper), dtype=np.int32)
    kinds[N] = EQUALITY
    best = Attempt(reason="the solver found no optimum")
    for proximal in PROXIMAL_WEIGHTS:
        x, hessian = np.zeros(N), correlation + proximal * np.eye(N)
        for _ in range(MAX_PROXIMAL_STEPS):
            answer, _, flag, _ = daqp.solve(
                hessian, -proximal * x, rows, upper, lower, kinds, eps_prox=0.0, primal_tol=PRIMAL_TOLERANCE
            )
            if flag != OPTIMAL:
                break
            x = np.array(answer)
            weights = _snap(x / scale, problem)
            residual = kkt_residual(weights, problem, mean)
            if best.weights is None or residual < best.residual:
                best = Attempt(weights, residual)
            if residual <= CONVERGED:
                break
        if best.weights is not None:
            break
    return best


def _snap(y: Floats, problem: Problem) -> Floats:
    weights: Floats = np.clip(y / y.sum(), problem.lower, problem.upper)
    weights[np.abs(weights - problem.lower) <= SNAP] = problem.lower
    weights[np.abs(weights - problem.upper) <= SNAP] = problem.upper
    return weights
