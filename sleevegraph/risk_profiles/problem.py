"""What a recipe is given and what it gives back."""

from dataclasses import dataclass, replace

import numpy as np

from sleevegraph.panel import Floats

RIDGE = 1e-8
"""Relative to the mean variance: an absolute ridge would swamp a pegged asset."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Finite returns (T, N) with T, N >= 2, their covariance (N, N) without a zero variance, feasible bounds."""

    returns: Floats
    covariance: Floats
    lower: float
    upper: float

    def ridged(self) -> "Problem":
        """The same problem with RIDGE x mean variance added to the diagonal of the covariance."""
        N = len(self.covariance)
        return replace(self, covariance=self.covariance + np.eye(N) * (RIDGE * np.trace(self.covariance) / N))

    def variance(self, weights: Floats) -> float:
        """Variance of the portfolio, not below zero."""
        return max(float(weights @ self.covariance @ weights), 0.0)

    def sharpe(self, weights: Floats) -> float:
        """Mean over standard deviation, per observation; infinite without risk."""
        mean = float(self.returns.mean(axis=0) @ weights)
        variance = self.variance(weights)
        return mean / variance**0.5 if variance > 0.0 else float(np.copysign(np.inf, mean))


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """What one recipe made of a problem: weights (N,) and their residual, or the reason why not."""

    weights: Floats | None = None
    residual: float = 0.0
    reason: str = ""
    infeasible: bool = False
    """The problem has no answer, so that another numerical treatment would not find one."""
