"""Equal risk contributions by Newton's method on the log-barrier form."""

import daqp
import numpy as np

from sleevegraph.engines.problem import Attempt, Problem, times

CONVERGED = 1e-7
"""Largest s_i / x_i of the last step; what is left after it is of the order of its square."""
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
    no_rows, kinds = np.empty((0, N)), np.zeros(N, dtype=np.int32)
    above, below = np.full(N, UNBOUNDED), np.full(N, -UNBOUNDED)
    x = np.full(N, 1.0 / np.sqrt(max(float(correlation.sum()), 1.0)))
    for _ in range(iterations):
        barrier = 1.0 / (N * x)
        hessian = correlation.copy()
        hessian.flat[:: N + 1] += barrier / x
        # A quadratic programme without constraints: daqp factorises without BLAS, so threads change no bits.
        descent = barrier - times(correlation, x)
        step, _, flag, _ = daqp.solve(hessian, descent, no_rows, above, below, kinds, eps_prox=0.0)
        if flag != OPTIMAL:
            break
        relative = step / x
        smallest, largest = float(relative.min()), float(relative.max())
        x = x - step / (1.0 + max(largest, 0.0))
        if max(largest, -smallest) <= CONVERGED or x.max() > UNBOUNDED_ABOVE:
            break
    weights = x / problem.volatility
    return Attempt(weights / weights.sum())
