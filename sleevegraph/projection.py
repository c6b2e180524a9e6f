"""Euclidean projection on weights that sum to one within bounds.

A cap by projection moves every free weight by the same amount; clipping and renormalising would not be
the nearest portfolio and may break the cap again.
"""

import numpy as np
import numpy.typing as npt

from sleevegraph.errors import ConfigurationError
from sleevegraph.panel import Floats

SUM_TOLERANCE = 1e-12
"""Rounding allowed in n x bound: 0.1 ten times adds to slightly less than one."""
ROUNDING = 1e-14
"""Of a sum of weights."""


def project_bounded_simplex(v: Floats, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Floats:
    """The w (N,) nearest to v with lower <= w <= upper and sum 1, exact up to rounding.

    w = clip(v - tau, lower, upper), where the sum is piecewise linear and non-increasing in tau: find
    its piece among the sorted breakpoints, then solve that piece.

    Parameters
    ----------
    v
        Finite, shape (N,).
    lower, upper
        Scalars or shape (N,).

    Raises
    ------
    ConfigurationError
        When no weights satisfy the bounds or v is not finite.

    References
    ----------
    Wang and Lu (2015), "Projection onto the capped simplex".
    """
    values = np.ascontiguousarray(v, dtype=np.float64)
    low, high = (np.full(values.shape, bound, dtype=np.float64) for bound in (lower, upper))
    _require_feasible(values, low, high)
    # The first pass brings the free values to the size of weights; where that rounded them, a second one repairs it.
    values = values - _threshold(values, low, high)
    weights = _clipped(values, low, high)
    if abs(float(weights.sum()) - 1.0) > ROUNDING:
        weights = _clipped(values - _threshold(values, low, high), low, high)
    return weights


def projection_residual(weights: Floats, v: Floats, lower: npt.ArrayLike, upper: npt.ArrayLike) -> float:
    """How far weights (N,) are from being the projection of v: 0 for the projection itself, and for nothing else.

    The largest violation of the Karush-Kuhn-Tucker conditions: sum 1, bounds kept, and one tau with w = v - tau between
    the bounds, v - tau <= w at a lower and v - tau >= w at an upper one. NaN where a value is not a number.
    """
    low, high = (np.full(weights.shape, bound, dtype=np.float64) for bound in (lower, upper))
    moved = v - weights
    may_grow, may_shrink = weights < high, weights > low
    violations = [abs(float(weights.sum()) - 1.0), float((low - weights).max()), float((weights - high).max()), 0.0]
    if may_grow.any() and may_shrink.any():
        violations.append(float(moved[may_grow].max() - moved[may_shrink].min()))
    return float(np.max(violations))


def _threshold(values: Floats, low: Floats, high: Floats) -> float:
    breakpoints = np.concatenate([values - low, values - high])
    breakpoints.sort()
    first, last = 0, len(breakpoints) - 1
    while last - first > 1:
        middle = (first + last) // 2
        if _clipped(values - breakpoints[middle], low, high).sum() >= 1.0:
            first = middle
        else:
            last = middle
    inside = 0.5 * (breakpoints[first] + breakpoints[last])
    shifted = values - inside
    free = int(((shifted > low) & (shifted < high)).sum())
    if free == 0:
        return float(breakpoints[last])
    return float(inside + (_clipped(shifted, low, high).sum() - 1.0) / free)


def _clipped(values: Floats, low: Floats, high: Floats) -> Floats:
    # np.clip costs as much as the whole search in weights of a dozen assets.
    return np.asarray(np.minimum(np.maximum(values, low), high), dtype=np.float64)


def _require_feasible(values: Floats, low: Floats, high: Floats) -> None:
    if not np.isfinite(values).all():
        raise ConfigurationError(f"projection: expected finite values, found {values.tolist()}")
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ConfigurationError(
            f"projection: expected finite bounds, found {low.tolist()} and {high.tolist()}; 0 and 1 bound nothing"
        )
    if (low > high).any() or low.sum() > 1.0 + SUM_TOLERANCE or high.sum() < 1.0 - SUM_TOLERANCE:
        raise ConfigurationError(
            f"projection of {len(values)} weights: expected bounds with sum(lower) <= 1 <= sum(upper) and "
            f"lower <= upper, found sums {low.sum():g} and {high.sum():g}; widen the bounds"
        )
