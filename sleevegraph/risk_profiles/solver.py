"""From returns to weights under one risk profile by one engine: the only door to the solvers."""

from typing import get_args

import numpy as np
import numpy.typing as npt

from sleevegraph.covariance import asked_and_sample
from sleevegraph.engines.problem import Problem, times
from sleevegraph.engines.protocol import SOLVED, Engine
from sleevegraph.engines.registry import engine_named
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import RISK_PROFILES, Covariance
from sleevegraph.panel import Floats
from sleevegraph.projection import SUM_TOLERANCE
from sleevegraph.risk_profiles.ladder import climb
from sleevegraph.risk_profiles.solution import Solution, solved, unsolved

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
        The name of an installed engine.
    cap
        Largest weight; max(cap, 1 / N) applies.
    covariance
        "sample" or "ledoit_wolf", the same matrix for every engine. Correlation distances are those of the sample.
    lower
        Smallest weight; with it, cap is not widened to 1 / N.

    Returns
    -------
    Solution
        `rejected` for returns that are not a finite non-empty matrix, and, where the profile looks at risk,
        for a single observation or a column without variance; `unavailable` where the engine cannot be imported and
        `unsupported` where it has no such recipe.

    Raises
    ------
    ConfigurationError
        For an unknown profile, engine or covariance, and for bounds that no weights satisfy.
    """
    _require_settings(profile, cap, covariance, lower)
    solver = engine_named(engine)
    matrix, reason = _finite_matrix(returns)
    N = matrix.shape[1]
    if reason:
        return unsolved(N, "rejected", reason)
    _require_feasible(N, cap, lower)
    if N == 1 or profile in EQUALLY_WEIGHTED:
        return equally_weighted(profile, matrix, max(cap, 1.0 / N))
    posed = pose(matrix, cap=cap, covariance=covariance, lower=lower)
    return unsolved(N, "rejected", posed) if isinstance(posed, str) else solve_posed(profile, posed, solver)


def pose(returns: npt.ArrayLike, *, cap: float, covariance: str, lower: float = 0.0) -> Problem | str:
    """One window as a problem that every engine can be given, or why nobody can solve it."""
    matrix, reason = _finite_matrix(returns)
    if reason:
        return reason
    T, N = matrix.shape
    if T < MIN_OBSERVATIONS:
        return f"expected at least {MIN_OBSERVATIONS} observations, found {T}"
    asked, sample = asked_and_sample(matrix, covariance)
    reason = _without_risk(matrix, sample.diagonal())
    return reason or Problem(matrix, asked, lower, max(cap, 1.0 / N)).knowing(sample)


def solve_posed(profile: str, problem: Problem, engine: Engine) -> Solution:
    """Solve one of the profiles that look at risk by one engine, whose status says how that went."""
    N = len(problem.covariance)
    reason = unsupported(profile, engine)
    if reason:
        return unsolved(N, "unsupported", reason)
    try:
        engine.load()
    except Exception as error:  # noqa: BLE001 - a broken installation raises whatever it likes
        return unsolved(N, "unavailable", f"{error}; {install_hint(engine)}")
    return climb(profile, problem, engine)


def unsupported(profile: str, engine: Engine) -> str:
    """Why the engine has no such recipe, or an empty string: a barbell is a recipe over its hrp."""
    needed = "hrp" if profile == "barbell" else profile
    if needed not in SOLVED or needed in engine.profiles:
        return ""
    return f"{engine.name} has no {needed}; it has {', '.join(sorted(engine.profiles))}"


def install_hint(engine: Engine) -> str:
    """What to do where an engine cannot be imported."""
    return f"install {engine.requirement} (pip install {engine.requirement}) or take {engine.name} out of risk.engines"


def _require_settings(profile: str, cap: float, covariance: str, lower: float) -> None:
    for key, found, known in (
        ("profile", profile, RISK_PROFILES),
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
    if not max(float(matrix.max()), -float(matrix.min())) <= MAX_RETURN:
        bad = np.flatnonzero(~(np.abs(matrix) <= MAX_RETURN).all(axis=0))
        return matrix, f"non-finite returns in {len(bad)} columns, first {bad[0]}"
    return matrix, ""


def _without_risk(matrix: Floats, variance: Floats) -> str:
    ordered = np.sort(variance)
    median = 0.5 * float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])
    constant = (RELATIVE_CONSTANT * np.abs(matrix).max(axis=0)) ** 2
    floor = max(RELATIVE_VARIANCE_FLOOR * median, MIN_VARIANCE)
    flat = variance <= np.maximum(constant, floor)
    if flat.any():
        first = int(flat.argmax())
        return f"zero variance in {int(flat.sum())} columns, first {first} ({variance[first]:.2g})"
    return ""


def equally_weighted(profile: str, matrix: Floats, upper: float) -> Solution:
    """1 / N, with the variance that it had where there is more than one observation."""
    T, N = matrix.shape
    weights = np.full(N, 1.0 / N)
    return solved(
        weights,
        cap=upper,
        reason="",
        rung="equal_weight" if profile in EQUALLY_WEIGHTED else profile,
        objective=_variance(times(matrix, weights)) if T >= MIN_OBSERVATIONS else float("nan"),
        residual=0.0,
    )


def _variance(values: Floats) -> float:
    centred = values - values.sum() / len(values)
    return float((centred * centred).sum()) / (len(values) - 1)
