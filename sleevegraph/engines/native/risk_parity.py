"""Equal risk contributions by Newton's method on the log-barrier form."""

import daqp
import numpy as np

from sleevegraph.engines.problem import Attempt, Problem, times
from sleevegraph.engines.residuals import contribution_error
from sleevegraph.panel import Floats

CONVERGED = 1e-13
UNBOUNDED_ABOVE = 1e5
"""At the answer x'Cx = 1, so a larger x means a long-only portfolio without variance, up to rounding."""
UNBOUNDED, OPTIMAL = 1e30, 1
"""daqp's infinity and exit flag."""


def risk_parity(problem: Problem, iterations: int) -> Attempt:
    """Minimise x'Cx / 2 - mean(log x) over x > 0 with C the correlation matrix; w is x / volatility, normalised.

    Working on correlations makes the answer exact for assets whose volatilities differ by orders of magnitude.
    The problem is unbounded, and the residual stays large, when a long-only portfolio has no variance at all.

    A Newton step s is taken 1 / (1 + r) of the way, where r is the largest s_i / x_i that shrinks x. As
    -log(1 - u) <= u + u^2 / (2 (1 - u)), that always lowers the objective and never leaves x > 0; near the answer
    r vanishes with s, so convergence stays quadratic.

    References
    ----------
    Spinu (2013), "An algorithm for computing risk parity weights".
    """
    correlation = problem.correlation
    N = len(correlation)
    x = np.full(N, 1.0 / np.sqrt(max(float(correlation.sum()), 1.0)))
    product = times(correlation, x)
    best, least = x, contribution_error(x, product)
    no_rows, free, kinds = np.empty((0, N)), np.full(N, UNBOUNDED), np.zeros(N, dtype=np.int32)
    for _ in range(iterations):
        if least <= CONVERGED:
            break
        barrier = 1.0 / (N * x)
        hessian = correlation.copy()
        hessian.flat[:: N + 1] += barrier / x
        # A quadratic programme without constraints: daqp factorises without BLAS, so threads change no bits.
        step, _, flag, _ = daqp.solve(hessian, barrier - product, no_rows, free, -free, kinds, eps_prox=0.0)
        if flag != OPTIMAL:
            break
        x = x - step / (1.0 + max(float((step / x).max()), 0.0))
        if x.max() > UNBOUNDED_ABOVE:
            break
        product = times(correlation, x)
        error = contribution_error(x, product)
        if error < least:
            best, least = x, error
    weights = best / problem.volatility
    return Attempt(weights / weights.sum())
