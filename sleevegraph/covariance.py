"""Covariance and correlation distance of a window of returns."""

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
    if method not in {"sample", "ledoit_wolf"}:
        raise ConfigurationError(f"covariance: expected sample or ledoit_wolf, found {method!r}; correct the manifest")
    observations = np.ascontiguousarray(returns, dtype=np.float64)
    centred = observations - observations.mean(axis=0)
    if method == "sample":
        return _symmetric(centred.T @ centred / (len(centred) - 1))
    return _ledoit_wolf(centred)


def _ledoit_wolf(centred: Floats) -> Floats:
    T, N = centred.shape
    covariance = centred.T @ centred / T
    mean_variance = float(np.trace(covariance)) / N
    squared_norm = float((covariance**2).sum())
    squares = centred**2
    estimation_error = (float((squares.sum(axis=1) ** 2).sum()) / T - squared_norm) / (N * T)
    dispersion = squared_norm / N - mean_variance**2
    error = min(estimation_error, dispersion)
    shrinkage = error / dispersion if error > 0.0 else 0.0
    shrunk = (1.0 - shrinkage) * covariance
    shrunk[np.diag_indices(N)] += shrinkage * mean_variance
    return _symmetric(shrunk)


def _symmetric(matrix: Floats) -> Floats:
    # BLAS does not promise that (i, j) and (j, i) are added in the same order.
    return (matrix + matrix.T) / 2.0


def correlation_distance(returns: Floats) -> Floats:
    """Condensed sqrt((1 - rho) / 2) between the columns of finite, non-constant returns (T, N)."""
    covariance = estimate_covariance(returns, "sample")
    volatility = np.sqrt(np.diag(covariance))
    # Rounded, because no leaf order may hang on the last bit: duplicated columns are then at distance zero.
    correlation = np.clip(covariance / np.outer(volatility, volatility), -1.0, 1.0).round(12)
    return np.asarray(squareform(np.sqrt((1.0 - correlation) / 2.0), checks=False), dtype=np.float64)
