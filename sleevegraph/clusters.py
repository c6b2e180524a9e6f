"""Section 5: which candidates move together."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from sleevegraph.errors import MissingFeatureError
from sleevegraph.panel import Floats

Labels = NDArray[np.intp]


def cluster(
    stream: Floats, lookbacks: tuple[int, ...] = (60, 120, 200), threshold: float = 0.45, max_clusters: int = 25
) -> Labels:
    """Label N streams (T, N) by Ward linkage on their averaged correlation distance.

    The distance sqrt((1 - rho) / 2) is averaged over the last `lookbacks` rows; where returns are missing,
    rho is taken over the days that both streams have. The tree is cut at `threshold`, or where that gives
    more than `max_clusters` at so many clusters.

    Returns
    -------
    Labels
        (N,) of 1 … k, numbered by first appearance in the order of the columns.

    Raises
    ------
    MissingFeatureError
        When two streams have no correlation over any lookback.
    """
    columns = stream.shape[1]
    if columns <= 1:
        return np.ones(columns, dtype=np.intp)
    tree = linkage(_mean_distance(stream, lookbacks), method="ward")
    labels = fcluster(tree, threshold, criterion="distance")
    if labels.max() > max_clusters:
        labels = fcluster(tree, max_clusters, criterion="maxclust")
    _, first, index = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index] + 1


def _mean_distance(stream: Floats, lookbacks: tuple[int, ...]) -> Floats:
    """Condensed distances averaged over the lookbacks that know the pair."""
    pairs = np.triu_indices(stream.shape[1], 1)
    layers = np.stack([_distance(stream[-lookback:])[pairs] for lookback in lookbacks])
    known = np.isfinite(layers)
    layers_known = known.sum(axis=0)
    if not layers_known.all():
        pair = int(np.argmin(layers_known))
        raise MissingFeatureError(
            f"clusters: columns {pairs[0][pair]} and {pairs[1][pair]}: expected a correlation over one of the last "
            f"{lookbacks} days, found none; look at their bars in the train window"
        )
    mean: Floats = np.where(known, layers, 0.0).sum(axis=0) / layers_known
    # The order of these sums may depend on the matrix's shape: no label may hang on the last bit.
    return mean.round(12)


def _distance(stream: Floats) -> Floats:
    """Correlation distance (N, N) over pairwise complete rows; NaN where there is no correlation."""
    known = np.isfinite(stream)
    there = known.astype(np.float64)
    total = np.where(known, stream, 0.0)
    # Correlation ignores a shift; near zero mean the moments below lose no digits.
    values = np.where(known, stream - total.sum(axis=0) / np.maximum(there.sum(axis=0), 1.0), 0.0)
    count = _gram(there, there)
    sums = _gram(values, there)
    variance = count * _gram(values * values, there) - sums * sums
    covariance = count * _gram(values, values) - sums * sums.T
    scale = np.sqrt(np.maximum(variance, 0.0) * np.maximum(variance.T, 0.0))
    sound = scale > 0
    rho = np.clip(covariance / np.where(sound, scale, 1.0), -1.0, 1.0)
    return np.where(sound, np.sqrt(0.5 * (1.0 - rho)), np.nan)


def _gram(left: Floats, right: Floats) -> Floats:
    """Sums of products over rows, in plain loops: at this size a BLAS's threads cost more than they save."""
    product: Floats = np.einsum("ti,tj->ij", left, right)
    return product
