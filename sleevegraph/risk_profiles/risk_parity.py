"""Equal risk contributions by Newton's method on the log-barrier form."""

import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.risk_profiles.problem import Attempt, Problem

MAX_ITERATIONS = 100
CONVERGED = 1e-13
DAMPED_ABOVE = 0.25
"""Newton decrement above which a full step might leave the positive orthant."""

UNBOUNDED_ABOVE = 1e5
"""At the answer x'Cx = 1, so a larger x means a long-only portfolio without variance, up to rounding."""


def risk_parity(problem: Problem) -> Attempt:
    """Minimise x'Cx / 2 - mean(log x) over x > 0 with C the correlation matrix; w is x / volatility, normalised.

    Working on correlations makes the answer exact for assets whose volatilities differ by orders of magnitude.
    The problem is unbounded, and the residual stays large, when a long-only portfolio has no variance at all.

    References
    ----------
    Spinu (2013), "An algorithm for computing risk parity weights".
    """
    volatility = np.sqrt(np.diag(problem.covariance))
    correlation = problem.covariance / np.outer(volatility, volatility)
    N = len(correlation)
    x = np.full(N, 1.0 / np.sqrt(max(float(correlation.sum()), 1.0)))
    best, residual = x, risk_contribution_error(x, correlation)
    for _ in range(MAX_ITERATIONS):
        gradient = correlation @ x - 1.0 / (N * x)
        step = np.linalg.solve(correlation + np.diag(1.0 / (N * x * x)), gradient)
        decrement = np.sqrt(max(N * float(gradient @ step), 0.0))
        x = x - step / (1.0 + decrement if decrement > DAMPED_ABOVE else 1.0)
        if x.max() > UNBOUNDED_ABOVE:
            break
        error = risk_contribution_error(x, correlation)
        if error < residual:
            best, residual = x, error
        if error <= CONVERGED:
            break
    weights = best / volatility
    return Attempt(weights / weights.sum(), residual)


def risk_contribution_error(x: Floats, covariance: Floats) -> float:
    """max_i |RC_i - 1/N| with RC_i = x_i (Sigma x)_i / x'Sigma x; infinite without variance."""
    contributions = x * (covariance @ x)
    total = float(contributions.sum())
    if not (total > 0.0 and (x > 0.0).all()):
        return float("inf")
    return float(np.abs(contributions / total - 1.0 / len(x)).max())
