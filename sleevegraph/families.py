"""Families: a template and lists of parameters, whose product is sleeves."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from pydantic import Field

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Name, Rules

FAMILY_ASSETS_LIMIT = 40
"""Sleeves of a family that become assets of their own; those of a larger one share theirs."""

MAX_SLEEVES = 10_000
"""Of one family."""

MAX_NAME = 80
"""Characters of a sleeve's name."""

LABEL = "label"
"""Key of a table among the values of a parameter: what stands for it in the names."""

_LEGAL = re.compile(r"[a-z0-9_]+")
_UNCOUNTED = 10**15

Location = tuple[int | str, ...]
"""Keys and places in lists, from the root of a file or a profile."""


class Defect(NamedTuple):
    """What is wrong at a place of a family's file."""

    at: Location
    text: str


class FamilyError(ConfigurationError):
    """A family that cannot be expanded, with all of its defects."""

    def __init__(self, name: str, defects: Sequence[Defect]) -> None:
        self.defects = tuple(defects)
        first = self.defects[0]
        super().__init__(f"family {name}: {'.'.join(map(str, first.at))}: {first.text}")


class FamilyProfile(Rules):
    """A family as it is written."""

    name: Name
    template: dict[str, Any]
    """A sleeve's profile without a name."""
    parameters: dict[str, Any] = Field(min_length=1)
    """By dotted key the list of its values; a value that is a table with a `label` sets the keys in it instead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a parameter."""

    at: Location
    label: str
    sets: Mapping[tuple[str, ...], Any]
    """By path in a sleeve's profile."""
    labelled: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One sleeve of a family, not validated yet."""

    name: str
    profile: dict[str, Any]
    """With its name; members share the tables in which they do not differ."""
    choices: tuple[Choice, ...]
    """One of each parameter."""


def expand(family: FamilyProfile) -> tuple[Member, ...]:
    """Return a sleeve for each element of the product of the parameters, the last of which varies fastest.

    Raises
    ------
    FamilyError
        For a name in the template, a list that is empty or repeats a value, a value that no name can be made of,
        two parameters for one key, more than MAX_SLEEVES sleeves, a name that is too long, and equal names.
    """
    parameters, defects = [], []
    if "name" in family.template:
        defects.append(Defect(("template", "name"), "expected no name, since sleeves are named by their parameters"))
    for key, values in family.parameters.items():
        choices, wrong = _choices(key, values)
        parameters.append(choices)
        defects += wrong
    defects += _collisions(parameters)
    if not defects:
        defects += _oversized(family.name, parameters)
    if defects:
        raise FamilyError(family.name, defects)
    members = _product(family, parameters)
    counts = Counter(member.name for member in members)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        text = f"expected sleeves of different names, found {twice!r} {counts[twice]} times; give a value another label"
        raise FamilyError(family.name, [Defect(("parameters",), text)])
    return members


def origin(template: Mapping[str, Any], choices: Sequence[Choice], path: Location) -> Location:
    """Where in a family's file the value at `path` of a member's profile comes from."""
    found = [(choice, key) for choice in choices for key in choice.sets if path[: len(key)] == key]
    if not found and not _has(template, path):
        found = [(choice, key) for choice in choices for key in choice.sets if key[: len(path)] == path]
    if not found:
        return ("template", *path)
    choice, key = found[0]
    return (*choice.at, *(path if choice.labelled else path[len(key) :]))


def label_of(value: object) -> str:
    """What stands for a plain value in a name: 0.35 is 0p35, -1 is m1, true is true, ["A", "B"] is a_b.

    Not every value has a legal one.
    """
    if isinstance(value, list):
        return "_".join(map(label_of, value))
    if isinstance(value, float):
        written = f"{value:.0f}" if value.is_integer() and abs(value) < _UNCOUNTED else repr(value)
    else:
        written = str(value).lower()
    if isinstance(value, int | float):
        written = written.replace("+", "").replace("-", "m").replace(".", "p")
    return written


def _choices(key: str, values: object) -> tuple[list[Choice], list[Defect]]:
    at = ("parameters", key)
    if isinstance(values, dict):
        text = f'expected a list of values, found a table; write the whole key in quotes, as "{key}.{next(iter(values), "key")}" = [...]'
        return [], [Defect(at, text)]
    if not isinstance(values, list) or not values:
        return [], [Defect(at, f"expected a list of at least one value, found {values!r}")]
    choices, defects = [], []
    labels: dict[str, object] = {}
    contents: dict[str, str] = {}
    for place, value in enumerate(values):
        choice = _choice((*at, place), key, value)
        if isinstance(choice, Defect):
            defects.append(choice)
            continue
        written = json.dumps(sorted(choice.sets.items(), key=lambda item: item[0]), sort_keys=True)
        if choice.label in labels:
            other = labels[choice.label]
            text = f"each value once, found {value!r} again"
            if other != value:
                text = f"values of different labels, found {other!r} and {value!r}, both {choice.label!r}; label them"
            defects.append(Defect(choice.at, f"expected {text}"))
        elif written in contents:
            text = f"expected each value once, found that of {contents[written]!r} again as {choice.label!r}"
            defects.append(Defect(choice.at, text))
        labels.setdefault(choice.label, value)
        contents.setdefault(written, choice.label)
        choices.append(choice)
    return choices, defects


def _choice(at: Location, key: str, value: object) -> Choice | Defect:
    if not isinstance(value, dict):
        choice = Choice(at, label_of(value), {tuple(key.split(".")): value}, labelled=False)
        advice = f"; write it as {{ {LABEL} = ..., {key} = ... }}"
    elif LABEL not in value:
        return Defect(at, f"expected a {LABEL} beside the keys that the table sets, found {', '.join(value) or 'none'}")
    else:
        keys = {name: inner for name, inner in value.items() if name != LABEL}
        label = value[LABEL]
        choice = Choice(at, label if isinstance(label, str) else "", dict(_leaves(keys, ())), labelled=True)
        advice = ""
    if not _LEGAL.fullmatch(choice.label):
        found = value[LABEL] if isinstance(value, dict) else value
        return Defect(at, f"expected a {LABEL} of the characters a-z, 0-9 and _, found {found!r}{advice}")
    if any(path[0] == "name" for path in choice.sets):
        return Defect(at, "expected no name, since sleeves are named by their parameters")
    return choice


def _collisions(parameters: Sequence[Sequence[Choice]]) -> Iterator[Defect]:
    """Keys that two parameters set: one would win, and the names would lie."""
    owners: dict[tuple[str, ...], str] = {}
    above: dict[tuple[str, ...], str] = {}
    for choices in parameters:
        paths = dict.fromkeys(path for choice in choices for path in choice.sets)
        for path in paths:
            parts = (path[:length] for length in range(1, len(path) + 1))
            taken = next((owners[part] for part in parts if part in owners), above.get(path))
            if taken is not None:
                text = f"expected keys that no other parameter sets, found {'.'.join(path)} also in {taken}"
                yield Defect(choices[0].at[:2], text)
        for path in paths:
            owners[path] = str(choices[0].at[1])
            above |= {path[:length]: owners[path] for length in range(1, len(path))}


def _oversized(name: str, parameters: Sequence[Sequence[Choice]]) -> Iterator[Defect]:
    """Too many sleeves or too long a name, counted without building any."""
    count = prod(map(len, parameters))
    if count > MAX_SLEEVES:
        found = f"{count:,}" if count < _UNCOUNTED else f"more than {_UNCOUNTED:,}"
        factors = " x ".join(str(len(choices)) for choices in parameters[:10])
        more = " x ..." if parameters[10:] else ""
        text = f"expected at most {MAX_SLEEVES:,} sleeves, found {found} ({factors}{more}); shorten a list or split it"
        yield Defect(("parameters",), text)
    longest = "_".join([name, *(max((choice.label for choice in choices), key=len) for choices in parameters)])
    if len(longest) > MAX_NAME:
        text = f"expected names of at most {MAX_NAME} characters, found {longest!r} of {len(longest)}; shorten a label"
        yield Defect(("parameters",), text)


def _product(family: FamilyProfile, parameters: Sequence[Sequence[Choice]]) -> tuple[Member, ...]:
    members = [Member(family.name, family.template, ())]
    for choices in parameters:
        members = [
            Member(f"{member.name}_{choice.label}", _with(member.profile, choice.sets), (*member.choices, choice))
            for member in members
            for choice in choices
        ]
    return tuple(Member(member.name, {"name": member.name, **member.profile}, member.choices) for member in members)


def _with(profile: dict[str, Any], sets: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """A profile with other values at some paths; only the tables on the way to them are copied."""
    for path, value in sets.items():
        profile = _placed(profile, path, value)
    return profile


def _placed(table: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    first, *rest = path
    inner = table.get(first)
    return {**table, first: _placed(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value}


def _leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _has(table: object, path: Location) -> bool:
    for part in path:
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True
