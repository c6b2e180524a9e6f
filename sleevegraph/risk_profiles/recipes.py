"""Recipes that need no solver of their own: equal weight, inverse volatility and the barbell over an engine's HRP."""

from collections.abc import Callable

import numpy as np
from scipy.cluster.hierarchy import linkage

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.panel import Floats
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
    inverse = 1.0 / problem.volatility
    return Attempt(inverse / inverse.sum())


def barbell(problem: Problem, hrp: Callable[[Problem], Attempt]) -> Attempt:
    """10 % on the most antifragile member of each of up to five Ward clusters, HRP on the rest."""
    N = len(problem.covariance)
    if N < BARBELL_MIN_ASSETS:
        return Attempt(reason=f"expected at least {BARBELL_MIN_ASSETS} assets, found {N}", infeasible=True)
    clusters = _clusters(linkage(problem.distance, method="ward"), min(BARBELL_CLUSTERS, N // 2))
    scores = antifragility(problem.returns).tolist()
    barbell_end = {max(sorted(members), key=scores.__getitem__) for members in clusters}
    rest = np.array([asset for asset in range(N) if asset not in barbell_end], dtype=np.intp)
    core = hrp(problem.of(rest))
    if core.weights is None:
        return core
    weights = np.full(N, BARBELL_SHARE / len(barbell_end))
    weights[rest] = (1.0 - BARBELL_SHARE) * np.asarray(core.weights)
    return Attempt(weights)


def _clusters(tree: Floats, most: int) -> list[list[int]]:
    """Cut a linkage into at most so many clusters; merges of equal height are made together or not at all."""
    N, heights = len(tree) + 1, tree[:, 2]
    merges = int(heights.searchsorted(heights[N - 1 - most], side="right"))
    members = {asset: [asset] for asset in range(N)}
    for node, (left, right) in enumerate(tree[:merges, :2].astype(np.intp).tolist(), N):
        members[node] = members.pop(left) + members.pop(right)
    return list(members.values())
