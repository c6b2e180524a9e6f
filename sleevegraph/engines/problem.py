"""What an engine is given and what it gives back."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sleevegraph.covariance import distance_of, estimate_covariance
from sleevegraph.panel import Floats

RIDGE = 1e-8
"""Relative to the mean variance: an absolute ridge would swamp a pegged asset."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Finite returns (T, N) with T, N >= 2, their covariance (N, N) without a zero variance, feasible bounds.

    What several risk profiles of one window need is computed once, when first asked for.
    """

    returns: Floats
    covariance: Floats
    lower: float
    upper: float

    def __post_init__(self) -> None:
        """Lock what answers are judged by: an engine that works in place must not move the goal."""
        for name in ("returns", "covariance"):
            vars(self)[name] = _locked(vars(self)[name].view())

    def __setstate__(self, state: dict[str, object]) -> None:
        """Lock again what came from another process: a pickle does not keep locks."""
        vars(self).update(state)
        self.__post_init__()

    @cached_property
    def mean(self) -> Floats:
        """Mean return (N,) per observation."""
        return _locked(np.asarray(self.returns.mean(axis=0), dtype=np.float64))

    @cached_property
    def volatility(self) -> Floats:
        """Standard deviation (N,) under `covariance`."""
        return _locked(np.asarray(np.sqrt(self.covariance.diagonal()), dtype=np.float64))

    @cached_property
    def mean_variance(self) -> float:
        """Mean of the variances under `covariance`."""
        return float(self.covariance.trace()) / len(self.covariance)

    @cached_property
    def correlation(self) -> Floats:
        """Correlation matrix (N, N) of `covariance`."""
        return _locked(self.covariance / (self.volatility[:, None] * self.volatility))

    @cached_property
    def sample(self) -> Floats:
        """Sample covariance (N, N) of the returns."""
        return _locked(estimate_covariance(self.returns, "sample"))

    @cached_property
    def distance(self) -> Floats:
        """Condensed correlation distance of the returns."""
        return _locked(distance_of(self.sample))

    @cached_property
    def largest_mean(self) -> float:
        """The largest mean of a portfolio within the bounds: the best assets filled to the cap, in turn."""
        N, room = len(self.mean), self.upper - self.lower
        left = 1.0 - self.lower * N - room * np.arange(N)
        filled = self.lower + np.minimum(np.maximum(left, 0.0), room)
        return float((np.sort(self.mean)[::-1] * filled).sum())

    @cached_property
    def mean_rounding(self) -> float:
        """The rounding error of a mean: a smaller one has no sign."""
        return float(np.finfo(np.float64).eps * max(self.returns.max(), -self.returns.min()))

    def ridged(self) -> "Problem":
        """The same problem with RIDGE x mean variance added to the diagonal of the covariance."""
        return replace(self, covariance=self.covariance + np.eye(len(self.covariance)) * (RIDGE * self.mean_variance))

    def of(self, assets: NDArray[np.intp]) -> "Problem":
        """The same problem with some of the assets only; every entry of its matrices keeps its bits."""
        part = replace(self, returns=self.returns.take(assets, axis=1), covariance=_of(self.covariance, assets))
        return part.knowing(_of(self.sample, assets))

    def knowing(self, sample: Floats) -> "Problem":
        """Itself, which need not compute `sample` again."""
        vars(self)["sample"] = sample
        return self

    def variance(self, weights: Floats) -> float:
        """Variance of the portfolio, not below zero."""
        return max(float((weights * times(self.covariance, weights)).sum()), 0.0)

    def sharpe(self, weights: Floats) -> float:
        """Mean over standard deviation, per observation; infinite without risk."""
        mean = float((self.mean * weights).sum())
        variance = self.variance(weights)
        return mean / variance**0.5 if variance > 0.0 else float(np.copysign(np.inf, mean))


def _locked(array: Floats) -> Floats:
    array.flags.writeable = False
    return array


def times(matrix: Floats, vector: Floats) -> Floats:
    """Matrix times vector without BLAS, so that no number of threads changes its bits."""
    return np.asarray(np.einsum("ij,j->i", matrix, vector), dtype=np.float64)


def _of(matrix: Floats, assets: NDArray[np.intp]) -> Floats:
    return matrix.take(assets, axis=0).take(assets, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """What an engine made of a problem: weights (N,), or the reason why not. Nothing else it says is believed."""

    weights: Floats | None = None
    reason: str = ""
    infeasible: bool = False
    """The recipe does not apply to these data, so that another numerical treatment would not help."""
