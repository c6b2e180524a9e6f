"""How far weights are from solving their problem, measured without asking who solved it."""

import numpy as np

from sleevegraph.engines.problem import Problem, times
from sleevegraph.panel import Floats

VARIANCE_FLOOR = 1e-4
"""Violations are relative to the portfolio's variance, or to this share of the mean variance if larger."""


def residual_of(profile: str, weights: Floats, problem: Problem) -> float:
    """KKT violation of a convex profile, risk-contribution error of risk_parity, 0 of a closed form."""
    if profile == "min_variance":
        return kkt_residual(weights, problem, None)
    if profile == "max_sharpe":
        return kkt_residual(weights, problem, problem.mean)
    if profile == "risk_parity":
        return risk_contribution_error(weights, problem.covariance)
    return 0.0


def kkt_residual(weights: Floats, problem: Problem, mean: Floats | None) -> float:
    """By how much moving weight from one asset to another still improves the objective, relative to its variance.

    The gradient is Sigma w for the minimum variance and Sigma w - (w' Sigma w / mean' w) mean for the largest ratio
    (`mean` given). At the optimum no asset above its lower bound has a larger gradient than one below its upper bound.
    """
    gradient = times(problem.covariance, weights)
    variance = float((gradient * weights).sum())
    if mean is not None:
        gradient = gradient - variance / float((mean * weights).sum()) * mean
    reducible = gradient[weights > problem.lower]
    extendible = gradient[weights < problem.upper]
    if len(reducible) == 0 or len(extendible) == 0:
        return 0.0
    violation = float(reducible.max() - extendible.min())
    return max(violation, 0.0) / max(variance, VARIANCE_FLOOR * problem.mean_variance)


def risk_contribution_error(x: Floats, covariance: Floats) -> float:
    """max_i |RC_i - 1/N| with RC_i = x_i (Sigma x)_i / x'Sigma x; infinite without variance."""
    contributions = x * times(covariance, x)
    total = float(contributions.sum())
    if not (total > 0.0 and x.min() > 0.0):
        return float("inf")
    return float(np.abs(contributions / total - 1.0 / len(x)).max())
