"""Recipes without an optimiser: equal weight, inverse volatility, HRP and barbell, before the cap."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage

from sleevegraph.covariance import correlation_distance
from sleevegraph.panel import Floats
from sleevegraph.risk_profiles.problem import Attempt, Problem
from sleevegraph.tails import antifragility

BARBELL_CLUSTERS = 5
BARBELL_SHARE = 0.10
"""What the antifragile end of the barbell holds together."""
BARBELL_MIN_ASSETS = 4


def equal_weight(problem: Problem) -> Attempt:
    """1 / N."""
    N = len(problem.covariance)
    return Attempt(np.full(N, 1.0 / N))


def inverse_volatility(problem: Problem) -> Attempt:
    """Weights proportional to 1 / volatility."""
    inverse = 1.0 / np.sqrt(np.diag(problem.covariance))
    return Attempt(inverse / inverse.sum())


def hrp(problem: Problem) -> Attempt:
    """Hierarchical risk parity: single linkage, recursive bisection, inverse-variance halves.

    References
    ----------
    López de Prado (2016), "Building diversified portfolios that outperform out of sample".
    """
    tree = linkage(correlation_distance(problem.returns), method="single")
    return _bisect(problem.covariance, leaves_list(tree).astype(np.intp))


def _bisect(covariance: Floats, order: NDArray[np.intp]) -> Attempt:
    N = len(order)
    ordered = covariance[np.ix_(order, order)]
    inverse = 1.0 / np.diag(ordered)
    weights = np.ones(N)
    pending = [(0, N)]
    while pending:
        start, stop = pending.pop()
        if stop - start < 2:  # noqa: PLR2004 - one asset cannot be halved
            continue
        middle = start + (stop - start) // 2
        left = _cluster_variance(ordered, inverse, start, middle)
        right = _cluster_variance(ordered, inverse, middle, stop)
        if left + right <= 0.0:
            return Attempt(reason=f"both halves of a cluster of {stop - start} assets have no variance")
        share = 1.0 - left / (left + right)
        weights[start:middle] *= share
        weights[middle:stop] *= 1.0 - share
        pending += [(start, middle), (middle, stop)]
    unordered = np.empty(N)
    unordered[order] = weights
    return Attempt(unordered)


def _cluster_variance(ordered: Floats, inverse: Floats, start: int, stop: int) -> float:
    weights = inverse[start:stop] / inverse[start:stop].sum()
    return max(float(weights @ ordered[start:stop, start:stop] @ weights), 0.0)


def barbell(problem: Problem) -> Attempt:
    """10 % on the most antifragile member of each of up to five Ward clusters, HRP on the rest."""
    N = len(problem.covariance)
    if N < BARBELL_MIN_ASSETS:
        return Attempt(reason=f"expected at least {BARBELL_MIN_ASSETS} assets, found {N}", infeasible=True)
    distance = correlation_distance(problem.returns)
    clusters = fcluster(linkage(distance, method="ward"), min(BARBELL_CLUSTERS, N // 2), criterion="maxclust")
    scores = antifragility(problem.returns)
    members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]
    barbell_end = np.array([assets[scores[assets].argmax()] for assets in members], dtype=np.intp)
    rest = np.setdiff1d(np.arange(N), barbell_end)
    core = hrp(
        Problem(
            np.ascontiguousarray(problem.returns[:, rest]),
            np.ascontiguousarray(problem.covariance[np.ix_(rest, rest)]),
            problem.lower,
            problem.upper,
        )
    )
    if core.weights is None:
        return core
    weights = np.empty(N)
    weights[barbell_end] = BARBELL_SHARE / len(barbell_end)
    weights[rest] = (1.0 - BARBELL_SHARE) * core.weights
    return Attempt(weights)
