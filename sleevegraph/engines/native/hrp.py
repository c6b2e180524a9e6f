"""Hierarchical risk parity."""

from functools import cache

import numpy as np
from scipy.cluster.hierarchy import linkage

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.panel import Floats


def hrp(problem: Problem) -> Attempt:
    """Hierarchical risk parity: single linkage, recursive bisection, inverse-variance halves.

    References
    ----------
    López de Prado (2016), "Building diversified portfolios that outperform out of sample".
    """
    order = _leaves(linkage(problem.distance, method="single"))
    covariance = problem.covariance.take(order, axis=0).take(order, axis=1)
    inverse = 1.0 / covariance.diagonal()
    return _bisect(covariance * inverse[:, None] * inverse, inverse, order)


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


def _bisect(scaled: Floats, inverse: Floats, order: list[int]) -> Attempt:
    """Split the weight of every cluster between its halves, from the pairs upwards.

    `scaled` holds the covariance of i and j over both variances, so that the variance of a cluster under its
    inverse-variance weights is the sum of its block over the squared sum of `inverse`. A block is those of the halves
    plus what they share: nothing is subtracted, so volatilities that differ by orders of magnitude lose no digits.
    Lists, because a block of a dozen numbers is summed faster than numpy is called.
    """
    rows, blocks, sums = scaled.tolist(), inverse.tolist(), inverse.tolist()
    weights = [1.0] * len(order)
    for start, middle, stop in _splits(len(order)):
        left = max(blocks[start] / sums[start] / sums[start], 0.0)
        right = max(blocks[middle] / sums[middle] / sums[middle], 0.0)
        if left + right <= 0.0:
            return Attempt(reason=f"both halves of a cluster of {stop - start} assets have no variance")
        to_left, to_right = right / (left + right), left / (left + right)
        weights[start:middle] = [weight * to_left for weight in weights[start:middle]]
        weights[middle:stop] = [weight * to_right for weight in weights[middle:stop]]
        shared = sum([sum(row[middle:stop]) for row in rows[start:middle]])
        blocks[start] += blocks[middle] + 2.0 * shared
        sums[start] += sums[middle]
    unordered = np.empty(len(order))
    unordered[order] = weights
    return Attempt(unordered)


@cache
def _splits(N: int) -> tuple[tuple[int, int, int], ...]:
    """(start, middle, stop) of every cluster of the bisection, each after its halves."""
    pending, found = [(0, N)], []
    while pending:
        start, stop = pending.pop()
        middle = (start + stop) // 2
        if start < middle:
            found.append((start, middle, stop))
            pending += [(start, middle), (middle, stop)]
    return tuple(reversed(found))
