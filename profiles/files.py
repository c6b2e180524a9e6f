"""One profile file: read, validated, and refused with the line of the key that is wrong."""

import datetime as dt
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from profiles.lines import lines_of
from sleevegraph.errors import ConfigurationError

Profile = TypeVar("Profile", bound=BaseModel)
Location = tuple[int | str, ...]

_DEEPEST = 100
"""Tables and lists in one another: what validates them bears no more than 200."""
_TIMES = (dt.date, dt.time)
_PARAMETER = ".signal.parameters."
"""In the path of a signal's parameter; in a family it may be a part of one key."""
_LINE = re.compile(r" ?\(at line (\d+)")
_KEYED = re.compile(r"([a-z_.]+): (.*)", re.DOTALL)


class ProfilesError(ConfigurationError):
    """Profile files that cannot be run as written: the first defect, and how many there are besides."""

    def __init__(self, defects: Sequence[str]) -> None:
        self.defects = tuple(dict.fromkeys(defects))
        first, *others = self.defects
        super().__init__(first + (f" (and {len(others)} more)" if others else ""))


class Finding(NamedTuple):
    """One thing that a model has to say of a file's data."""

    at: Location
    text: str
    kind: str
    """Of pydantic's errors."""


@dataclass(frozen=True)
class ProfileFile:
    """A TOML file, parsed."""

    path: Path
    text: str
    data: dict[str, Any]

    def refused(self, at: Location, text: str) -> str:
        """One line: the file, the line of the key or of the table where it is missing, the key, and what is wrong."""
        known = at
        while known and known not in self._lines:
            known = known[:-1]
        return f"{self.path}:{self._lines.get(known, 1)}: {dotted(at)}: {text}"

    @cached_property
    def _lines(self) -> Mapping[Location, int]:
        return lines_of(self.text)


def read(path: Path) -> ProfileFile:
    """Read a TOML file of finite numbers, or raise ProfilesError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        file = ProfileFile(path, text, tomllib.loads(text))
        wrong = [file.refused(at, defect) for at, defect in _unusable(file.data, ())]
    except OSError as error:
        raise ProfilesError([f"{path}: expected a readable TOML file, found: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        number, said = undecodable(error)
        raise ProfilesError([f"{path}:{number}: {said}"]) from error
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        where = line.group(1) if line else text.count("\n") + 1  # else it is "at end of document"
        raise ProfilesError([f"{path}:{where}: expected TOML, found: {error}"]) from error
    except RecursionError as error:
        raise ProfilesError([f"{path}:1: expected TOML, found tables or lists that are nested too deeply"]) from error
    if wrong:
        raise ProfilesError(wrong)
    return file


def undecodable(error: UnicodeDecodeError) -> tuple[int, str]:
    """The line, from 1, of a file that is no text, and what is wrong there."""
    line = len((error.object[: error.start] + b"x").splitlines())
    return line, f"expected UTF-8 text, found byte 0x{error.object[error.start]:02x}; save the file as UTF-8"


def named(file: ProfileFile, model: type[Profile], data: Mapping[str, Any] | None = None) -> Profile:
    """Validate a file whose stem is the profile's name; `data` in place of the file's own."""
    profile = validated(file, model, data)
    name, stem = str(getattr(profile, "name", "")), file.path.stem
    if name != stem:
        text = f"expected the file's stem {stem!r}, found {name!r}; rename one of them"
        raise ProfilesError([file.refused(("name",), text)])
    return profile


def validated(file: ProfileFile, model: type[Profile], data: Mapping[str, Any] | None = None) -> Profile:
    """The file's data as a model, or ProfilesError with everything that is wrong with it."""
    content = file.data if data is None else data
    try:
        # Strict, so that "252" or true is no number; by way of JSON, where an array may become a tuple.
        return model.model_validate_json(to_json(content), strict=True)
    except ValidationError as error:
        found = findings(error.errors(include_url=False), model, content)
        raise ProfilesError([file.refused(finding.at, finding.text) for finding in found]) from error


def findings(errors: Sequence[ErrorDetails], model: type[BaseModel], data: object) -> list[Finding]:
    """What a model says of `data`: key, what was expected, what was found."""
    by_key: dict[Location, list[ErrorDetails]] = {}
    for error in errors:
        at = error["loc"] if error["type"] == "missing" else _within(error["loc"], data)
        by_key.setdefault(at, []).append(error)
    return [finding for at, found in by_key.items() for finding in _findings_at(at, found, model)]


def dotted(path: Location) -> str:
    """A path as it is written in TOML."""
    return ".".join(map(str, path))


def _findings_at(at: Location, errors: Sequence[ErrorDetails], model: type[BaseModel]) -> Iterator[Finding]:
    rules = []
    for error in errors:
        kind, message = error["type"], error["msg"]
        if kind == "missing":
            yield Finding(at, "expected a value, found none; add the key", kind)
        elif kind == "extra_forbidden":
            known = _keys(model, at[:-1])
            near = get_close_matches(str(at[-1]), known, n=1)
            advice = f"; did you mean {near[0]}?" if near else ""
            yield Finding(at, f"expected a key among {', '.join(known)}, found {at[-1]!r}{advice}", kind)
        elif kind == "value_error":
            # Raised by the manifest itself, which says what it expected and found.
            text = message.removeprefix("Value error, ")
            keyed = _KEYED.fullmatch(text)
            key, text = keyed.groups() if keyed else ("", text)
            yield Finding((*at, *filter(None, key.split("."))), text, kind)
        else:
            rule = message.split(" should ", 1)[-1]  # "Input should be a valid integer", "String should match …"
            rules.append(rule.removeprefix("be ") if rule.startswith("be ") else f"to {rule}")
    if rules:  # more than one where a value may be of several types
        yield Finding(at, f"expected {' or '.join(rules)}, found {errors[-1]['input']!r}", "rule")


def _within(path: Location, data: Any) -> Location:
    """The part of `path` that the data has: behind it pydantic names the types of a union."""
    for depth, part in enumerate(path):
        if not (part in data if isinstance(data, Mapping) else isinstance(data, list) and isinstance(part, int)):
            return path[:depth]
        data = data[part]
    return path


def _keys(model: type[BaseModel], path: Location) -> list[str]:
    """Keys of the table at `path` below `model`."""
    for part in path:
        if isinstance(part, str):
            inner = next(_models(model.model_fields[part].annotation), None)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Models in an annotation such as `SignalRules | None` or `tuple[Rename, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _unusable(value: object, path: Location) -> Iterator[tuple[Location, str]]:
    """What TOML knows and no profile can use, though its validation would not see it."""
    if len(path) > _DEEPEST:
        raise RecursionError
    # Infinity as a threshold would switch a rule off without a word, and a date as a parameter become a text.
    if isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a finite number, found {value}"
    elif isinstance(value, _TIMES) and _PARAMETER in f".{dotted(path)}":
        yield path, f"expected a number, a text or true/false, found the date or time {value}; quote it for a text"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _unusable(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unusable(inner, (*path, index))
