"""Judge a meta's child weights against what a meta promises."""

from collections import Counter
from collections.abc import Mapping
from math import fsum, isfinite, nan

import polars as pl

from sleevegraph.child_figures import lost_too_much
from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.projection import projection_residual

TOLERANCE = 1e-9
STATUSES = ("native", "fallback")


def child_weights(rows: pl.DataFrame, meta: MetaProfile) -> list[Finding]:
    """Every defect of one meta's child weights at one rebalance.

    Parameters
    ----------
    rows
        `meta_book.WEIGHTS_SCHEMA`.
    meta
        Its children and bounds.

    Returns
    -------
    list of Finding
        PROFILE_MISSING, CHILD_LOST, CHILD_UNKNOWN, CHILD_DUPLICATE, STATUS_UNKNOWN, WEIGHT_NOT_FINITE, OUT_OF_BOUNDS,
        CHILD_WEIGHTS_NOT_NORMALIZED, and of a profile without any of these NOT_PROJECTED: its weights are not the
        projection on the bounds of those that it had without them. The finding's symbol is the child. WARN: ROWS_LOST, of a
        profile of which the join of the children's dates lost more than the meta's share of the days.
    """
    findings = []
    parts = {str(name): part for (name,), part in rows.partition_by("profile", as_dict=True).items()}
    for profile in RISK_PROFILES:
        if profile not in parts:
            findings.append(_error("PROFILE_MISSING", "", profile, "expected weights of every child, found no row"))
            continue
        found = list(parts[profile].select("child", "weight", "status").iter_rows())
        own = [*_names(profile, Counter(child for child, _, _ in found), meta), *_values(profile, found, meta)]
        findings += own or _projection(profile, parts[profile], meta)
    unknown = sorted(set(parts) - set(RISK_PROFILES))
    findings += [_error("PROFILE_MISSING", "", name, "is no risk profile") for name in unknown]
    return findings + [Finding("WARN", "ROWS_LOST", "", line) for line in lost_too_much(rows, meta)]


def _names(profile: str, counts: Mapping[str, int], meta: MetaProfile) -> list[Finding]:
    lost, unknown = sorted(set(meta.children) - set(counts)), sorted(set(counts) - set(meta.children))
    return [
        *(_error("CHILD_LOST", child, profile, "a meta needs all of its children, found no weight") for child in lost),
        *(_error("CHILD_UNKNOWN", child, profile, f"expected children {list(meta.children)}") for child in unknown),
        *(
            _error("CHILD_DUPLICATE", child, profile, f"expected one weight, found {times}")
            for child, times in counts.items()
            if times > 1
        ),
    ]


def _values(profile: str, found: list[tuple[str, float, str]], meta: MetaProfile) -> list[Finding]:
    findings = []
    for child, weight, status in found:
        if status not in STATUSES:
            text = f"expected a status among {', '.join(STATUSES)}, found {status!r}"
            findings.append(_error("STATUS_UNKNOWN", child, profile, text))
        if weight is None or not isfinite(weight):
            findings.append(_error("WEIGHT_NOT_FINITE", child, profile, f"found {weight}"))
        elif not meta.weight_min - TOLERANCE <= weight <= meta.weight_max + TOLERANCE:
            text = f"expected a weight within {meta.weight_min:g} and {meta.weight_max:g}, found {weight:.12g}"
            findings.append(_error("OUT_OF_BOUNDS", child, profile, text))
    total = fsum(weight for _, weight, _ in found if weight is not None and isfinite(weight))
    if not abs(total - 1.0) <= TOLERANCE:
        text = f"expected child weights that sum to 1, found {total:.12g}"
        findings.append(_error("CHILD_WEIGHTS_NOT_NORMALIZED", "", profile, text))
    return findings


def _projection(profile: str, rows: pl.DataFrame, meta: MetaProfile) -> list[Finding]:
    weights, unbounded = (rows[name].cast(pl.Float64).fill_null(nan).to_numpy() for name in ("weight", "unbounded"))
    residual = projection_residual(weights, unbounded, meta.weight_min, meta.weight_max)
    if residual <= TOLERANCE:
        return []
    text = f"expected the projection on the bounds of the weights without them, found a residual of {residual:.3g}"
    return [_error("NOT_PROJECTED", "", profile, text)]


def _error(code: str, child: str, profile: str, text: str) -> Finding:
    return Finding("ERROR", code, child, f"{profile}: {text}")
