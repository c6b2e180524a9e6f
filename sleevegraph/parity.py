"""Parity: what a meta's children earned compares only if they were run by the same parameters.

Compared are train window, lookbacks and costs of every sleeve and meta below. The step and the universe's lookback are
the same for all by construction.
"""

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.findings import Finding
from sleevegraph.manifest import Manifest, MetaProfile, SleeveProfile

COSTS = ("ledger.slippage", "ledger.commission", "ledger.borrow")
SLEEVE_PARAMETERS = ("selection.train_days", "selection.cluster_lookbacks", *COSTS)
META_PARAMETERS = ("lookback_windows", *COSTS)
PARAMETERS = tuple(dict.fromkeys((*SLEEVE_PARAMETERS, *META_PARAMETERS)))
"""Dotted keys that are compared, of sleeves and of metas, and that `parity_exceptions` may name."""
SHOWN = 5
"""Names in a message; the receipt has all of them."""

Values = dict[str, Any]
"""Of one parameter by sleeve and meta, sorted; as they read back from JSON."""


def parameters(meta: MetaProfile, manifest: Manifest) -> dict[str, Any]:
    """By key the one value that everybody below `meta` has, or, where they differ, the values by name.

    A key that nobody below has is left out.
    """
    values = _values(meta, manifest)
    return {key: found if _differ(found) else next(iter(found.values())) for key, found in values.items()}


def parity(meta: MetaProfile, manifest: Manifest) -> tuple[list[Finding], dict[str, Any]]:
    """Judge the parameters of everybody below `meta`.

    Returns
    -------
    list of Finding
        PARAMETER_MISMATCH (error): values differ without a documented reason. STALE_EXCEPTION (warning): a reason is
        given where they do not. The finding's symbol is the key.
    dict
        Figures: `same` by key, `shared` by construction, and of every documented difference its reason and values.
    """
    findings, same, documented = [], {}, {}
    for key, values in _values(meta, manifest).items():
        reason = meta.parity_exceptions.get(key, "")
        if not _differ(values):
            same[key] = next(iter(values.values()))
        elif reason:
            documented[key] = {"because": reason, "values": _by_value(values)}
        else:
            text = f"expected one value below {meta.name}, found {_listed(values)}"
            advice = "give them one, or say in parity_exceptions why they differ"
            findings.append(Finding("ERROR", "PARAMETER_MISMATCH", key, f"{text}; {advice}"))
    findings += [
        Finding("WARN", "STALE_EXCEPTION", key, f"expected a difference below {meta.name}, found none; take it out")
        for key in sorted(set(meta.parity_exceptions) - set(documented))
    ]
    shared = {"step_days": STEP_DAYS, "universe.lookback_days": manifest.market.universe.lookback_days}
    return findings, {"same": same, "shared": shared, **({"documented": documented} if documented else {})}


def _values(meta: MetaProfile, manifest: Manifest) -> dict[str, Values]:
    below = set(meta.children)
    for node in reversed(manifest.metas):  # parents before children
        below |= set(node.children) if node.name in below else set()
    compared: dict[str, tuple[SleeveProfile | MetaProfile, tuple[str, ...]]] = {}
    compared |= {profile.name: (profile, SLEEVE_PARAMETERS) for profile in manifest.sleeves}
    compared |= {profile.name: (profile, META_PARAMETERS) for profile in manifest.metas}
    found: dict[str, Values] = {}
    for name in sorted(below & compared.keys()):
        profile, keys = compared[name]
        for key in keys:
            value = attrgetter(key)(profile)
            found.setdefault(key, {})[name] = list(value) if isinstance(value, tuple) else value
    return {key: found[key] for key in PARAMETERS if key in found}


def _differ(values: Values) -> bool:
    first = next(iter(values.values()))
    return any(value != first for value in values.values())


def _by_value(values: Values) -> dict[str, list[str]]:
    """Names by value."""
    ordered = sorted(values.items(), key=lambda item: (str(item[1]), item[0]))
    return {value: [name for name, _ in group] for value, group in groupby(ordered, key=lambda item: str(item[1]))}


def _listed(values: Mapping[str, Any]) -> str:
    parts = []
    for value, names in _by_value(dict(values)).items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        parts.append(f"{value} of {', '.join(names[:SHOWN])}{more}")
    return "; ".join(parts)
