"""A cap on what the assets of one correlation cluster weigh together."""

import numpy as np
from numpy.typing import NDArray

from sleevegraph.panel import Floats
from sleevegraph.projection import project_bounded_simplex

Labels = NDArray[np.int64]
BISECTIONS = 200
"""More than halving any interval of doubles to its last bit takes."""


def feasible_limit(labels: Labels, cap: float, limit: float) -> float:
    """The limit, or the least one that some weights satisfy: with few clusters it has to give way.

    Parameters
    ----------
    labels
        Cluster (N,) of each asset.
    cap
        Largest weight of an asset, at least 1 / N.
    limit
        Largest weight of a cluster.
    """
    room = np.sort(np.unique(labels, return_counts=True)[1] * cap)
    filled = 0.0
    for full, capacity in enumerate(room):
        level = (1.0 - filled) / (len(room) - full)
        if level <= capacity:
            return max(limit, float(level))
        filled += float(capacity)
    return max(limit, float(room[-1]))


def project_on_clusters(v: Floats, cap: float, labels: Labels, limit: float) -> Floats:
    """The w (N,) nearest to v with 0 <= w <= cap, sum 1 and no cluster above `limit`, exact up to rounding.

    w = clip(v - tau - mu_cluster, 0, cap): a cluster that wants more than the limit at the common tau is full and is
    projected on its own sum; the others share what is left.

    Parameters
    ----------
    v
        Finite, shape (N,).
    cap, limit
        As `feasible_limit` gives them: some weights satisfy both.
    labels
        Cluster (N,) of each asset.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    low, high = float(v.min()) - 1.0, float(v.max())
    for _ in range(BISECTIONS):
        tau = 0.5 * (low + high)
        wanted = np.array([np.clip(v[assets] - tau, 0.0, cap).sum() for assets in members])
        low, high = (tau, high) if np.minimum(wanted, limit).sum() >= 1.0 else (low, tau)
    full = [assets for assets, want in zip(members, wanted, strict=True) if want > limit]
    weights = np.empty(len(v))
    for assets in full:
        weights[assets] = _project_on_sum(v[assets], cap, limit)
    rest = np.setdiff1d(np.arange(len(v)), np.concatenate([np.empty(0, dtype=np.intp), *full]))
    if len(rest):
        weights[rest] = _project_on_sum(v[rest], cap, 1.0 - limit * len(full))
    return weights


def _project_on_sum(v: Floats, cap: float, total: float) -> Floats:
    """The w nearest to v with 0 <= w <= cap and a given sum."""
    if total <= 0.0:
        return np.zeros(len(v))
    return total * project_bounded_simplex(v / total, 0.0, cap / total)
