"""From returns to weights under one risk profile: the only door to the recipes."""

from typing import get_args

import numpy as np
import numpy.typing as npt

from sleevegraph.covariance import estimate_covariance
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import RISK_PROFILES, Covariance
from sleevegraph.panel import Floats
from sleevegraph.projection import SUM_TOLERANCE
from sleevegraph.risk_profiles.ladder import climb
from sleevegraph.risk_profiles.problem import Problem
from sleevegraph.risk_profiles.solution import Solution, solved, unsolved

ENGINES = ("native",)
EQUALLY_WEIGHTED = ("equal_weight", "market", "benchmark")
"""Profiles that need finite returns, but neither a covariance nor variance."""

RELATIVE_VARIANCE_FLOOR = 1e-12
"""Of the median variance."""
RELATIVE_CONSTANT = 1e-13
"""A standard deviation below this share of the column's size is the rounding of a constant."""
MIN_VARIANCE = 1e-300
"""So that its reciprocal is finite."""
MIN_OBSERVATIONS = 2
MAX_RETURN = 1e60
"""So that fourth powers are finite."""


def solve(
    profile: str,
    returns: npt.ArrayLike,
    *,
    engine: str = "native",
    cap: float = 1.0,
    covariance: str = "sample",
    lower: float = 0.0,
) -> Solution:
    """Long-only weights of one risk profile, summing to 1; never raises because of the data.

    Parameters
    ----------
    profile
        One of the eight; `market` and `benchmark` are equal weight over the columns given.
    returns
        Synthetic returns (T, N), finite.
    engine
        "native".
    cap
        Largest weight; max(cap, 1 / N) applies.
    covariance
        "sample" or "ledoit_wolf". Correlation distances are those of the sample.
    lower
        Smallest weight; with it, cap is not widened to 1 / N.

    Returns
    -------
    Solution
        `rejected` for returns that are not a finite non-empty matrix, and, where the profile looks at risk,
        for a single observation or a column without variance.

    Raises
    ------
    ConfigurationError
        For an unknown profile, engine or covariance, and for bounds that no weights satisfy.
    """
    _require_settings(profile, engine, cap, covariance, lower)
    matrix, reason = _finite_matrix(returns)
    N = matrix.shape[1]
    if reason:
        return unsolved(N, "rejected", reason)
    _require_feasible(N, cap, lower)
    upper = max(cap, 1.0 / N)
    if N == 1 or profile in EQUALLY_WEIGHTED:
        return _equally_weighted(profile, matrix, upper)
    reason = _without_risk(matrix)
    if reason:
        return unsolved(N, "rejected", reason)
    return climb(profile, Problem(matrix, estimate_covariance(matrix, covariance), lower, upper))


def _require_settings(profile: str, engine: str, cap: float, covariance: str, lower: float) -> None:
    for key, found, known in (
        ("profile", profile, RISK_PROFILES),
        ("engine", engine, ENGINES),
        ("covariance", covariance, get_args(Covariance)),
    ):
        if found not in known:
            raise ConfigurationError(f"solve: {key}: expected one of {', '.join(known)}, found {found!r}")
    if not 0.0 < cap <= 1.0:
        raise ConfigurationError(f"solve: cap: expected a number in (0, 1], found {cap!r}")
    if not 0.0 <= lower <= cap:
        raise ConfigurationError(f"solve: lower: expected a number in [0, cap {cap:g}], found {lower!r}")


def _require_feasible(N: int, cap: float, lower: float) -> None:
    if lower > 0.0 and (N * lower > 1.0 + SUM_TOLERANCE or N * cap < 1.0 - SUM_TOLERANCE):
        raise ConfigurationError(
            f"solve: bounds: expected {N} x lower <= 1 <= {N} x cap, found lower {lower:g} and cap {cap:g}"
        )


def _finite_matrix(returns: npt.ArrayLike) -> tuple[Floats, str]:
    """A C-contiguous copy-or-view, and why it cannot be solved by anybody (empty when it can)."""
    try:
        matrix = np.ascontiguousarray(returns, dtype=np.float64)
    except (TypeError, ValueError) as error:
        return np.empty((0, 0)), f"returns are not numbers: {error}"
    if np.ndim(returns) != 2:  # noqa: PLR2004 - a matrix has two dimensions
        return np.empty((0, 0)), f"expected a (T, N) matrix, found shape {matrix.shape}"
    if matrix.size == 0:
        return matrix, f"expected observations of assets, found shape {matrix.shape}"
    bad = np.flatnonzero(~(np.abs(matrix) <= MAX_RETURN).all(axis=0))
    if len(bad):
        return matrix, f"non-finite returns in {len(bad)} columns, first {bad[0]}"
    return matrix, ""


def _without_risk(matrix: Floats) -> str:
    if len(matrix) < MIN_OBSERVATIONS:
        return f"expected at least {MIN_OBSERVATIONS} observations, found {len(matrix)}"
    variance = matrix.var(axis=0, ddof=1)
    constant = (RELATIVE_CONSTANT * np.abs(matrix).max(axis=0)) ** 2
    floor = max(RELATIVE_VARIANCE_FLOOR * float(np.median(variance)), MIN_VARIANCE)
    flat = np.flatnonzero(variance <= np.maximum(constant, floor))
    if len(flat):
        return f"zero variance in {len(flat)} columns, first {flat[0]} ({variance[flat[0]]:.2g})"
    return ""


def _equally_weighted(profile: str, matrix: Floats, upper: float) -> Solution:
    N = matrix.shape[1]
    weights = np.full(N, 1.0 / N)
    enough = len(matrix) >= MIN_OBSERVATIONS
    return solved(
        weights,
        cap=upper,
        reason="",
        rung="equal_weight" if profile in EQUALLY_WEIGHTED else profile,
        objective=float(np.var(matrix @ weights, ddof=1)) if enough else float("nan"),
        residual=0.0,
    )
