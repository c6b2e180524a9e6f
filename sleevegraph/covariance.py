"""Covariance and correlation distance of a window of returns.

Sums of products are numpy's own loops (`einsum` without `optimize`), never BLAS: an entry then depends on its two
columns alone, and its bits neither on the number of threads nor on what stands beside it.
"""

import numpy as np
from scipy.spatial.distance import squareform

from sleevegraph.errors import ConfigurationError
from sleevegraph.panel import Floats


def estimate_covariance(returns: Floats, method: str) -> Floats:
    """Covariance matrix (N, N) of finite returns (T, N), exactly symmetric.

    Parameters
    ----------
    returns
        Finite, T >= 2.
    method
        "sample" (divisor T - 1) or "ledoit_wolf" (divisor T, shrunk towards a multiple of the identity).

    Raises
    ------
    ConfigurationError
        For another method.

    References
    ----------
    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    return asked_and_sample(returns, method)[0]


def asked_and_sample(returns: Floats, method: str) -> tuple[Floats, Floats]:
    """Return the covariance that `estimate_covariance` gives, and the sample covariance, which it needs anyway."""
    if method not in {"sample", "ledoit_wolf"}:
        raise ConfigurationError(f"covariance: expected sample or ledoit_wolf, found {method!r}; correct the manifest")
    # One contiguous row per asset, for the sums over time.
    rows = np.ascontiguousarray(np.asarray(returns, dtype=np.float64).T)
    T = rows.shape[1]
    centred = rows - (np.add.reduce(rows, axis=1) / T)[:, None]
    products = np.einsum("it,jt->ij", centred, centred)
    sample = products / (T - 1)
    return (sample if method == "sample" else _ledoit_wolf(centred, products / T)), sample


def _ledoit_wolf(centred: Floats, covariance: Floats) -> Floats:
    N, T = centred.shape
    mean_variance = float(covariance.trace()) / N
    squared_norm = float(np.einsum("ij,ij->", covariance, covariance))
    squares = np.einsum("it,it->t", centred, centred)
    estimation_error = (float(np.einsum("t,t->", squares, squares)) / T - squared_norm) / (N * T)
    dispersion = squared_norm / N - mean_variance**2
    error = min(estimation_error, dispersion)
    shrinkage = error / dispersion if error > 0.0 else 0.0
    shrunk = (1.0 - shrinkage) * covariance
    shrunk.flat[:: N + 1] += shrinkage * mean_variance
    return shrunk


def distance_of(covariance: Floats) -> Floats:
    """Condensed sqrt((1 - rho) / 2) between the assets of a covariance matrix (N, N) without a zero variance."""
    volatility = np.sqrt(covariance.diagonal())
    correlation = squareform(covariance / (volatility[:, None] * volatility), checks=False)
    # Rounded, because no leaf order may hang on the last bit: duplicated columns are then at distance zero.
    rounded = np.minimum(correlation, 1.0).round(12)
    return np.asarray(np.sqrt((1.0 - np.maximum(rounded, -1.0)) / 2.0), dtype=np.float64)
