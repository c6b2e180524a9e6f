"""Hierarchical risk parity."""

import numpy as np
from scipy.cluster.hierarchy import linkage

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.panel import Floats

Half = tuple[float, float, list[float]]
"""What a cluster hands up: w'Sigma w and the sum of its unscaled inverse-variance weights w, and its own weights."""


def hrp(problem: Problem) -> Attempt:
    """Hierarchical risk parity: single linkage, recursive bisection, inverse-variance halves.

    References
    ----------
    López de Prado (2016), "Building diversified portfolios that outperform out of sample".
    """
    order = _leaves(linkage(problem.distance, method="single"))
    covariance = problem.covariance.take(order, axis=0).take(order, axis=1)
    inverse = 1.0 / covariance.diagonal()
    scaled = covariance * inverse[:, None] * inverse
    weights = _bisect(scaled.tolist(), inverse.tolist(), 0, len(order))[2]
    if not weights:
        return Attempt(reason="both halves of a cluster have no variance")
    unordered = np.empty(len(order))
    unordered[order] = weights
    return Attempt(unordered)


def _leaves(tree: Floats) -> list[int]:
    """The leaves of a linkage from left to right."""
    children = tree[:, :2].astype(np.intp).tolist()
    N = len(children) + 1
    order, pending = [], [2 * N - 2]
    while pending:
        node = pending.pop()
        if node < N:
            order.append(node)
        else:
            left, right = children[node - N]
            pending += (right, left)
    return order


def _bisect(scaled: list[list[float]], inverse: list[float], start: int, stop: int) -> Half:
    """Weights of the assets from start to stop; none when both halves of some cluster have no variance.

    The variance of a cluster is that of its halves plus what they share, so each entry of the matrix is added once.
    Nothing is subtracted: sums over volatilities that differ by orders of magnitude lose no digits.
    """
    if stop - start == 1:
        return scaled[start][start], inverse[start], [1.0]
    middle = (start + stop) // 2
    left, left_sum, left_weights = _bisect(scaled, inverse, start, middle)
    right, right_sum, right_weights = _bisect(scaled, inverse, middle, stop)
    left_variance = max(left / left_sum / left_sum, 0.0)
    right_variance = max(right / right_sum / right_sum, 0.0)
    shared = sum([sum(row[middle:stop]) for row in scaled[start:middle]])
    total = left + right + 2.0 * shared
    if left_variance + right_variance <= 0.0 or not (left_weights and right_weights):
        return total, left_sum + right_sum, []
    share = right_variance / (left_variance + right_variance)
    weights = [share * weight for weight in left_weights]
    return total, left_sum + right_sum, weights + [(1.0 - share) * weight for weight in right_weights]
