"""Metas: portfolios whose assets are sleeves or other metas."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

import numpy as np
import polars as pl

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.correlation_benefit import volatility
from sleevegraph.engines.problem import times
from sleevegraph.errors import ConfigurationError, GateError
from sleevegraph.manifest import MetaProfile, SleeveProfile
from sleevegraph.panel import Floats
from sleevegraph.parity import PARAMETERS
from sleevegraph.projection import SUM_TOLERANCE, project_bounded_simplex
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.solution import Status
from sleevegraph.tree import MAX_PLACES

MAX_DEPTH = 4
"""Metas on the longest way down from a meta to a sleeve, itself included."""

MAX_SHOWN = 20
"""Names that an error lists in full."""

WITHOUT_SOLVER = ("equal_weight", "market", "benchmark")
"""At meta level the three are the same: 1/n of the children."""


@dataclass(frozen=True, slots=True)
class MetaSolution:
    """Weights of a meta's children at one rebalance, and what they rest on; mappings are by child, sorted."""

    weights: dict[str, float]
    """They sum to 1 within the meta's bounds."""
    unbounded: dict[str, float]
    """By the risk profile alone, before the bounds: `weights` is its projection on them."""
    status: Status
    """Native, or fallback with a reason."""
    reason: str
    rows_used: int
    """Days on which every child has a return."""
    rows_lost: int
    """Days on which some child has a return and another has none."""
    lost_share: float
    """Rows lost over days on which any child has a return; 0 when there are none."""
    rows_missing: dict[str, int]
    """Of the rows lost, those on which this child has no return."""
    volatility: dict[str, float | None]
    """Annualised, over the rows used; None in the warm-up."""
    meta_volatility: float | None
    """The same of the children at `weights`."""


class MetaTreeError(ConfigurationError):
    """A meta whose children or bounds cannot be as written."""

    def __init__(self, meta: str, key: str, text: str) -> None:
        self.meta, self.key, self.text = meta, key, text
        super().__init__(f"meta {meta}: {key}: {text}")


def validate_metas(sleeves: Sequence[SleeveProfile], metas: Sequence[MetaProfile]) -> tuple[MetaProfile, ...]:
    """Return the metas with children before parents, or raise MetaTreeError naming the meta and the key."""
    errors = tree_errors([sleeve.name for sleeve in sleeves], metas)
    if errors:
        raise errors[0]
    return _ordered(metas)


def tree_errors(
    sleeves: Collection[str], metas: Sequence[MetaProfile], families: Collection[str] = ()
) -> list[MetaTreeError]:
    """Everything that is wrong with the tree; of cycles, depth and size, which hide one another, the first.

    A name of `families` is only what an unknown child may have been meant for.
    """
    names = Counter([*sleeves, *(meta.name for meta in metas)])
    errors = [error for meta in metas for error in _own_errors(meta, names, families)]
    try:
        return [*errors, *_place_errors(_ordered(metas))]
    except MetaTreeError as error:
        return [*errors, error]


def _place_errors(ordered: Sequence[MetaProfile]) -> Iterator[MetaTreeError]:
    """Metas whose trees are too large to be compiled, without those above them."""
    places: dict[str, int] = {}
    for meta in ordered:
        below = [places.get(child, 1) for child in meta.children]
        places[meta.name] = found = 1 + sum(below)
        if found > MAX_PLACES >= max(below):
            advice = f"{found:,}; let fewer metas share their children"
            yield _error(meta, "children", f"at most {MAX_PLACES:,} paths down to sleeves and metas", advice)


def _own_errors(meta: MetaProfile, names: Counter[str], families: Collection[str]) -> Iterator[MetaTreeError]:
    """What a meta's own keys say, its children's keys apart."""
    if names[meta.name] > 1:
        yield _error(meta, "name", "a name that no other sleeve or meta has", f"{names[meta.name]} of them")
    unknown = sorted(child for child in set(meta.children) if child not in names)
    if unknown:
        known = sorted({*names, *families})
        near = get_close_matches(unknown[0], known, n=1)
        shown = ", ".join(known) if len(known) <= MAX_SHOWN else f"the {len(known):,} of the profiles"
        advice = f"; did you mean {near[0]}?" if near else ""
        yield _error(meta, "children", f"names among {shown}", f"{_shown(unknown)}{advice}")
    repeated = sorted(child for child, count in Counter(meta.children).items() if count > 1)
    if repeated:
        yield _error(meta, "children", "each child once", f"{_shown(repeated)} more than once")
    yield from _bound_errors(meta)
    yield from _exception_errors(meta)


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
    return f"{names[:MAX_SHOWN]}{more}"


def _ordered(metas: Sequence[MetaProfile]) -> tuple[MetaProfile, ...]:
    """Children before parents, as the metas come; MetaTreeError of a cycle or a tree that is too deep."""
    by_name = {meta.name: meta for meta in metas}
    below = {meta.name: [child for child in meta.children if child in by_name] for meta in metas}
    try:
        sorted_names = tuple(TopologicalSorter(below).static_order())
    except CycleError as error:
        cycle = error.args[1][::-1]  # which names a child before its parent
        more = (
            [f"({len(cycle) - MAX_SHOWN - 1:,} more)", cycle[-1]] if len(cycle) > MAX_SHOWN + 1 else cycle[MAX_SHOWN:]
        )
        found = " -> ".join([*cycle[:MAX_SHOWN], *more])
        raise _error(by_name[cycle[0]], "children", "no cycle", found) from None
    depths: dict[str, int] = {}
    for name in sorted_names:
        depths[name] = depth = 1 + max((depths[child] for child in below[name]), default=0)
        if depth > MAX_DEPTH:
            raise _error(by_name[name], "children", f"at most {MAX_DEPTH} metas down to the sleeves", str(depth))
    order: dict[str, None] = {}
    for meta in metas:
        _place(meta.name, below, order)
    return tuple(by_name[name] for name in order)


def _place(name: str, below: Mapping[str, Sequence[str]], order: dict[str, None]) -> None:
    """Add a meta after its children; no deeper than trees may be."""
    if name not in order:
        for child in below[name]:
            _place(child, below, order)
        order[name] = None


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
    known = ~np.isnan(rows)
    joint = rows[known.all(axis=1)]
    lost = len(rows) - len(joint)
    unbounded, status, reason = _solve(profile, joint, children, meta)
    weights = _bounded(unbounded, meta)
    alone, together = _volatilities(joint, weights, meta)
    return MetaSolution(
        weights=dict(zip(children, weights.tolist(), strict=True)),
        unbounded=dict(zip(children, unbounded.tolist(), strict=True)),
        status=status,
        reason=reason,
        rows_used=len(joint),
        rows_lost=lost,
        lost_share=lost / len(rows) if len(rows) else 0.0,
        rows_missing=dict(zip(children, (~known).sum(axis=0).tolist(), strict=True)),
        volatility=dict(zip(children, alone, strict=True)),
        meta_volatility=together,
    )


def _solve(profile: str, joint: Floats, children: list[str], meta: MetaProfile) -> tuple[Floats, Status, str]:
    """Long-only weights without bounds, which are for `_bounded`."""
    equal = np.full(len(children), 1.0 / len(children))
    needed = meta.min_history_windows * STEP_DAYS
    if len(joint) < needed:
        return equal, "fallback", f"warm-up: expected at least {needed} joint days, found {len(joint)}: equal weight"
    if profile in WITHOUT_SOLVER:
        return equal, "native", ""
    solution = solve(profile, joint, covariance=meta.covariance)
    if solution.status in {"native", "fallback"}:
        return solution.weights, solution.status, solution.reason
    constant = [child for child, column in zip(children, joint.T, strict=True) if np.ptp(column) == 0.0]
    cause = f"; the stream does not vary: {', '.join(constant)}" if constant else ""
    return equal, "fallback", f"{solution.status}: {solution.reason}{cause}: equal weight"


def _bounded(weights: Floats, meta: MetaProfile) -> Floats:
    """The nearest weights within the bounds; those that are, to the bit as they were."""
    if meta.weight_min <= weights.min() and weights.max() <= meta.weight_max:
        return weights
    return project_bounded_simplex(weights, meta.weight_min, meta.weight_max)


def _volatilities(joint: Floats, weights: Floats, meta: MetaProfile) -> tuple[list[float | None], float | None]:
    """Of every child, and of all at these weights; None where nothing was solved from these days."""
    if len(joint) < meta.min_history_windows * STEP_DAYS:
        return [None] * len(weights), None
    found = volatility(np.column_stack([joint, times(joint, weights)])).tolist()
    return found[:-1], found[-1]


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


def _bound_errors(meta: MetaProfile) -> Iterator[MetaTreeError]:
    n, low, high = len(meta.children), meta.weight_min, meta.weight_max
    if low > high:
        yield _error(meta, "weight_min", f"at most weight_max {high:g}", f"{low:g}")
    if n * low > 1.0 + SUM_TOLERANCE:
        yield _error(meta, "weight_min", f"at most 1/{n} for {n} children", f"{low:g}")
    if n * high < 1.0 - SUM_TOLERANCE:
        yield _error(meta, "weight_max", f"at least 1/{n} for {n} children", f"{high:g}")


def _exception_errors(meta: MetaProfile) -> Iterator[MetaTreeError]:
    unknown = sorted(set(meta.parity_exceptions) - set(PARAMETERS))
    if unknown:
        yield _error(meta, "parity_exceptions", f"keys among {', '.join(PARAMETERS)}", _shown(unknown))
    for key, reason in sorted(meta.parity_exceptions.items()):
        if not reason.strip():
            yield _error(meta, f"parity_exceptions.{key}", "the reason why the children may differ in it", "none")


def _error(meta: MetaProfile, key: str, expected: str, found: str) -> MetaTreeError:
    return MetaTreeError(meta.name, key, f"expected {expected}, found {found}")
