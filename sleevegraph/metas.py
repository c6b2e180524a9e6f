"""Metas: portfolios whose assets are sleeves or other metas."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.errors import ConfigurationError, GateError
from sleevegraph.manifest import MetaProfile, SleeveProfile
from sleevegraph.panel import Floats
from sleevegraph.projection import SUM_TOLERANCE
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.solution import Status

MAX_DEPTH = 4
"""Metas on the longest way down from a meta to a sleeve, itself included."""

WITHOUT_SOLVER = ("equal_weight", "market", "benchmark")
"""At meta level the three are the same: 1/n of the children."""


@dataclass(frozen=True, slots=True)
class MetaSolution:
    """Weights of a meta's children at one rebalance, and what they rest on."""

    weights: dict[str, float]
    """By child, sorted; they sum to 1 within the meta's bounds."""
    status: Status
    """Native, or fallback with a reason."""
    reason: str
    rows_used: int
    """Days on which every child has a return."""
    rows_lost: int
    """Days on which some child has a return and another has none."""
    lost_share: float
    """Rows lost over days on which any child has a return; 0 when there are none."""


def validate_metas(sleeves: Sequence[SleeveProfile], metas: Sequence[MetaProfile]) -> tuple[MetaProfile, ...]:
    """Return the metas with children before parents, or raise ConfigurationError naming the meta and the key."""
    names = [*(sleeve.name for sleeve in sleeves), *(meta.name for meta in metas)]
    for meta in metas:
        if names.count(meta.name) > 1:
            raise _error(meta, "name", "a name that no other sleeve or meta has", f"{names.count(meta.name)} of them")
        unknown = sorted(set(meta.children) - set(names))
        if unknown:
            raise _error(meta, "children", f"names among {sorted(names)}", str(unknown))
        repeated = sorted({child for child in meta.children if meta.children.count(child) > 1})
        if repeated:
            raise _error(meta, "children", "each child once", f"{repeated} more than once")
        _check_bounds(meta)
    by_name = {meta.name: meta for meta in metas}
    depths: dict[str, int] = {}
    for meta in metas:
        _visit(meta, by_name, depths, ())
    return tuple(by_name[name] for name in depths)


def meta_weights(profile: str, streams: dict[str, pl.DataFrame], meta: MetaProfile, at: date) -> MetaSolution:
    """Weights of the children of `meta` at `at` by risk profile `profile`, from what they earned before.

    Parameters
    ----------
    streams
        Per child the realised daily returns [date, ret] of the same risk profile; days from `at` on are not read.

    Returns
    -------
    MetaSolution
        Equal weight as a recorded fallback when there is too little joint history or the solver has no answer.

    Raises
    ------
    GateError
        A child without a stream, or with two returns on one day: a meta needs all of its children.
    """
    children = sorted(meta.children)
    rows = _window(streams, children, meta, at)
    joint = rows[~np.isnan(rows).any(axis=1)]
    lost = len(rows) - len(joint)
    weights, status, reason = _solve(profile, joint, children, meta)
    return MetaSolution(
        weights=dict(zip(children, weights.tolist(), strict=True)),
        status=status,
        reason=reason,
        rows_used=len(joint),
        rows_lost=lost,
        lost_share=lost / len(rows) if len(rows) else 0.0,
    )


def _solve(profile: str, joint: Floats, children: list[str], meta: MetaProfile) -> tuple[Floats, Status, str]:
    equal = np.full(len(children), 1.0 / len(children))
    needed = meta.min_history_windows * STEP_DAYS
    if len(joint) < needed:
        return equal, "fallback", f"warm-up: expected at least {needed} joint days, found {len(joint)}: equal weight"
    if profile in WITHOUT_SOLVER:
        return equal, "native", ""
    solution = solve(profile, joint, cap=meta.weight_max, covariance=meta.covariance, lower=meta.weight_min)
    if solution.status in {"native", "fallback"}:
        return solution.weights, solution.status, solution.reason
    constant = [child for child, column in zip(children, joint.T, strict=True) if np.ptp(column) == 0.0]
    cause = f"; the stream does not vary: {', '.join(constant)}" if constant else ""
    return equal, "fallback", f"{solution.status}: {solution.reason}{cause}: equal weight"


def _window(streams: dict[str, pl.DataFrame], children: list[str], meta: MetaProfile, at: date) -> Floats:
    """(days, children) over every day that any child has in the lookback; NaN where one has none."""
    missing = [child for child in children if child not in streams]
    if missing:
        raise GateError(f"meta {meta.name} at {at}: expected a stream of every child, found none of {missing}")
    days = meta.lookback_windows * STEP_DAYS
    first = np.datetime64(at - timedelta(days=days), "D")
    rows = np.full((days, len(children)), np.nan)
    for column, child in enumerate(children):
        row = (streams[child]["date"].to_numpy().astype("datetime64[D]") - first).astype(np.intp)
        inside = (row >= 0) & (row < days)
        if len(np.unique(row[inside])) < inside.sum():
            raise GateError(f"meta {meta.name} at {at}: expected one return a day, found more in the stream of {child}")
        rows[row[inside], column] = streams[child]["ret"].cast(pl.Float64).to_numpy()[inside]
    known: Floats = rows[~np.isnan(rows).all(axis=1)]
    return known


def _visit(meta: MetaProfile, by_name: dict[str, MetaProfile], depths: dict[str, int], above: tuple[str, ...]) -> int:
    """Metas on the longest way down from `meta`; fills `depths` children first."""
    path = (*above, meta.name)
    if meta.name in above:
        raise _error(meta, "children", "no cycle", " -> ".join(path[path.index(meta.name) :]))
    if meta.name not in depths:
        below = [_visit(by_name[child], by_name, depths, path) for child in meta.children if child in by_name]
        depth = 1 + max(below, default=0)
        if depth > MAX_DEPTH:
            raise _error(meta, "children", f"at most {MAX_DEPTH} metas down to the sleeves", str(depth))
        depths[meta.name] = depth
    return depths[meta.name]


def _check_bounds(meta: MetaProfile) -> None:
    n, low, high = len(meta.children), meta.weight_min, meta.weight_max
    if low > high:
        raise _error(meta, "weight_min", f"at most weight_max {high:g}", f"{low:g}")
    if n * low > 1.0 + SUM_TOLERANCE:
        raise _error(meta, "weight_min", f"at most 1/{n} for {n} children", f"{low:g}")
    if n * high < 1.0 - SUM_TOLERANCE:
        raise _error(meta, "weight_max", f"at least 1/{n} for {n} children", f"{high:g}")


def _error(meta: MetaProfile, key: str, expected: str, found: str) -> ConfigurationError:
    return ConfigurationError(f"meta {meta.name}: {key}: expected {expected}, found {found}")
