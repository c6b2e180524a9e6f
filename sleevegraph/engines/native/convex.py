"""Minimum variance and the tangency portfolio by an active-set solver, verified by their KKT conditions.

The solver sees x = weight x volatility, so that its Hessian is the correlation matrix: assets whose
volatilities differ by orders of magnitude are solved as exactly as others. A singular Hessian (fewer
observations than assets, duplicated assets) is handled by proximal steps, which converge to a solution
of the problem itself, not of a regularised one; from a start at zero they pick the one nearest to zero.
"""

import daqp
import numpy as np

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.residuals import kkt_residual
from sleevegraph.panel import Floats

PROXIMAL_WEIGHTS = (1e-9, 1e-7)
"""Relative to unit variance; the second only where the solver cannot factorise with the first."""
CONVERGED = 1e-12
PRIMAL_TOLERANCE = 1e-12
SNAP = 1e-11
"""A weight this close to a bound is on it."""
ONE, UNBOUNDED = np.ones(1), 1e30
OPTIMAL, EQUALITY = 1, 5
"""daqp's exit flag and constraint type."""


def min_variance(problem: Problem, steps: int) -> Attempt:
    """Minimise w' Sigma w within the bounds."""
    scale = _scale(problem)
    lower, upper = (np.concatenate((bound * scale, ONE)) for bound in (problem.lower, problem.upper))
    return _proximal(problem, scale, (1.0 / scale)[None, :], lower, upper, None, steps)


def max_sharpe(problem: Problem, steps: int) -> Attempt:
    """Maximise mean / standard deviation within the bounds.

    Solved as min y' Sigma y with mean' y = 1 and bounds on y relative to its sum; w = y / sum(y).
    Only asked where some portfolio within the bounds has a positive mean.
    """
    scale = _scale(problem)
    N, unit = len(scale), 1.0 / scale
    blocks = [(problem.mean / problem.largest_mean * unit)[None, :]]
    lower, upper = [np.zeros(N), ONE], [np.full(N, UNBOUNDED), ONE]
    if problem.upper < 1.0:
        blocks.append(_beyond(problem.upper, unit))
        lower, upper = [*lower, np.full(N, -UNBOUNDED)], [*upper, np.zeros(N)]
    if problem.lower > 0.0:
        blocks.append(_beyond(problem.lower, unit))
        lower, upper = [*lower, np.zeros(N)], [*upper, np.full(N, UNBOUNDED)]
    rows = np.concatenate(blocks)
    return _proximal(problem, scale, rows, np.concatenate(lower), np.concatenate(upper), problem.mean, steps)


def _beyond(bound: float, unit: Floats) -> Floats:
    """Rows that give, of each asset, y less the bound x the sum of y."""
    rows = np.empty((len(unit), len(unit)))
    rows[:] = -bound * unit
    rows.flat[:: len(unit) + 1] += unit
    return rows


def _scale(problem: Problem) -> Floats:
    log_volatility = np.log(problem.volatility)
    return np.asarray(np.exp(log_volatility - log_volatility.sum() / len(log_volatility)), dtype=np.float64)


def _proximal(
    problem: Problem, scale: Floats, rows: Floats, lower: Floats, upper: Floats, mean: Floats | None, steps: int
) -> Attempt:
    """Repeat x <- argmin x'Cx / 2 + p/2 |x - x_previous|^2 until the weights satisfy the KKT conditions.

    `lower` and `upper` hold N bounds on x, then those of `rows`, the first of which is an equality.
    """
    N = len(scale)
    kinds = np.zeros(len(upper), dtype=np.int32)
    kinds[N] = EQUALITY
    best, least = Attempt(reason="the solver found no optimum"), np.inf
    for proximal in PROXIMAL_WEIGHTS:
        x, hessian = np.zeros(N), problem.correlation.copy()
        hessian.flat[:: N + 1] += proximal
        for step in range(steps):
            answer, _, flag, _ = daqp.solve(
                hessian, -proximal * x, rows, upper, lower, kinds, eps_prox=0.0, primal_tol=PRIMAL_TOLERANCE
            )
            if flag != OPTIMAL:
                break
            x = np.array(answer)
            if step == 0:
                continue  # What the first step is off by is known: the proximal term.
            weights = _snap(x / scale, problem)
            residual = kkt_residual(weights, problem, mean)
            if residual < least:
                best, least = Attempt(weights), residual
            if residual <= CONVERGED:
                break
        if best.weights is not None:
            break
    return best


def _snap(y: Floats, problem: Problem) -> Floats:
    lower, upper = problem.lower, problem.upper
    weights: Floats = np.minimum(np.maximum(y / y.sum(), lower), upper)
    weights[weights <= lower + SNAP] = lower
    weights[weights >= upper - SNAP] = upper
    return weights
