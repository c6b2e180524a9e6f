"""What differs between profiles, and between folders of them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from sleevegraph.manifest import Manifest, MetaProfile, SleeveProfile
from sleevegraph.signals import Function, Signal
from sleevegraph.signals.table import Scores

MAX_SHOWN = 10
"""Items of a list that a line names."""

_ABSENT = object()


def key_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """By dotted key `old -> new`; of lists that differ in their items `+new, -old`."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    pairs = {
        key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in (*old, *(key for key in new if key not in old))
    }
    return {key: _change(*pair) for key, pair in pairs.items() if pair[0] != pair[1]}


def manifest_changes(before: Manifest, after: Manifest) -> Iterator[str]:
    """One line per profile that came or went and per key that changed.

    A family that came or went is one line, and so is a change that several sleeves of a family share.
    """
    yield from (
        f"~ market: {line}"
        for line in _said(before.market.model_dump(mode="json"), after.market.model_dump(mode="json"))
    )
    old, new = ({family.name: family.sleeves for family in manifest.families} for manifest in (before, after))
    told: set[str] = set()
    for sign, here, there in (("-", old, new), ("+", new, old)):
        for name in sorted(set(here) - set(there)):
            yield f"{sign} family {name}: {len(here[name]):,} sleeves"
            told.update(here[name])
    owners = {sleeve: name for name, sleeves in new.items() for sleeve in sleeves}
    yield from _profile_changes("sleeve", before.sleeves, after.sleeves, owners, told)
    yield from _profile_changes("meta", before.metas, after.metas, {}, set())


def signal_changes(before: Mapping[str, Signal], after: Mapping[str, Signal]) -> Iterator[str]:
    """One line per logic of which the code or the scores are others, whatever the profiles say of it.

    Raises
    ------
    SignalError
        When a scores file cannot be read.
    """
    for logic in sorted(before.keys() & after.keys()):
        old, new = before[logic], after[logic]
        if isinstance(old, Function) and isinstance(new, Function) and old.source != new.source:
            yield f"~ signal {logic}: code of {new.file}: {old.source[:12]} -> {new.source[:12]} (SHA-256)"
        if isinstance(old, Scores) and isinstance(new, Scores):
            rows, found = (scores.read().drop("row") for scores in (old, new))
            came, went = _lacking(found, rows), _lacking(rows, found)
            if came or went:
                yield f"~ signal {logic}: scores: +{came:,} rows, -{went:,} rows"


def _lacking(rows: pl.DataFrame, other: pl.DataFrame) -> int:
    """How many rows another table has not got."""
    return rows.join(other, on=rows.columns, how="anti", nulls_equal=True).height


def _profile_changes(
    kind: str,
    before: Sequence[SleeveProfile] | Sequence[MetaProfile],
    after: Sequence[SleeveProfile] | Sequence[MetaProfile],
    owners: Mapping[str, str],
    told: set[str],
) -> Iterator[str]:
    old, new = {profile.name: profile for profile in before}, {profile.name: profile for profile in after}
    yield from (f"- {kind} {name}" for name in sorted(set(old) - set(new) - told))
    yield from (f"+ {kind} {name}" for name in sorted(set(new) - set(old) - told))
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(set(old) & set(new)):
        if old[name] != new[name]:
            for line in _said(old[name].model_dump(mode="json"), new[name].model_dump(mode="json")):
                alike[owners.get(name, name), line].append(name)
    for (owner, line), names in alike.items():
        yield (
            f"~ {kind} {names[0]}: {line}" if len(names) == 1 else f"~ {len(names):,} sleeves of family {owner}: {line}"
        )


def _said(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key}: {change}" for key, change in key_changes(before, after).items())


def _change(before: object, after: object) -> str:
    if isinstance(before, list) and isinstance(after, list):
        signed = [("+", item) for item in after if item not in before] + [
            ("-", item) for item in before if item not in after
        ]
        shown = [f"{sign}{_shown(item)}" for sign, item in signed[:MAX_SHOWN]]
        if len(signed) > MAX_SHOWN:
            shown.append(f"and {len(signed) - MAX_SHOWN:,} more")
        if signed:
            return ", ".join(shown)
    return f"{_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> str:
    if value is None or value is _ABSENT:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _leaves(value: object, path: str) -> Iterator[tuple[str, Any]]:
    """Values that are no tables, by dotted key; an absent table has no keys."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif value is not None:
        yield path, value
