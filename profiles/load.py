"""Profile files into one typed manifest; what cannot be run as written is refused here, not at run time."""

import math
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from sleevegraph.engines.protocol import SOLVED
from sleevegraph.engines.registry import engine_named
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, RiskRules, SleeveProfile
from sleevegraph.metas import validate_metas

PROFILES = Path(__file__).resolve().parent

Profile = TypeVar("Profile", bound=BaseModel)
NamedProfile = TypeVar("NamedProfile", SleeveProfile, MetaProfile)
Location = tuple[int | str, ...]


def load_manifest(folder: Path = PROFILES) -> Manifest:
    """Read `market.toml`, `sleeves/*.toml` and `metas/*.toml` under `folder`.

    A sleeve or a meta is one file whose stem is its name: adding the file is the whole change. Sleeves
    are ordered by name, metas children first.

    Raises
    ------
    ConfigurationError
        One line with the file, the dotted key, what was expected and what was found.
    """
    market = _read(folder / "market.toml", MarketProfile)
    sleeves = _read_named(folder / "sleeves", SleeveProfile)
    if not sleeves:
        raise ConfigurationError(f"{folder / 'sleeves'}: expected at least one sleeve file, found none")
    for sleeve in sleeves:
        _require_engines(folder / "sleeves" / f"{sleeve.name}.toml", sleeve.risk)
    metas = _read_named(folder / "metas", MetaProfile)
    both = sorted({sleeve.name for sleeve in sleeves} & {meta.name for meta in metas})
    if both:
        file = folder / "metas" / f"{both[0]}.toml"
        raise ConfigurationError(f"{file}: name: expected a name that no sleeve has, found {both[0]!r}")
    return Manifest(market=market, sleeves=tuple(sleeves), metas=_ordered(folder / "metas", sleeves, metas))


def _require_engines(file: Path, risk: RiskRules) -> None:
    for name in risk.engines:
        try:
            engine_named(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: risk.engines: {error}") from error
    missing = sorted(set(SOLVED) - engine_named(risk.engine_of_record).profiles)
    if missing:
        raise ConfigurationError(
            f"{file}: risk.engine_of_record: expected an engine that has {', '.join(SOLVED)}, since it is traded under "
            f"all of them, found {risk.engine_of_record!r} without {', '.join(missing)}"
        )


def _ordered(folder: Path, sleeves: list[SleeveProfile], metas: list[MetaProfile]) -> tuple[MetaProfile, ...]:
    try:
        return tuple(validate_metas(sleeves, metas))
    except ConfigurationError as error:
        named = (folder / f"{meta.name}.toml" for meta in metas if str(error).startswith(f"meta {meta.name}:"))
        raise ConfigurationError(f"{next(named, folder)}: {error}") from error


def _read_named(folder: Path, model: type[NamedProfile]) -> list[NamedProfile]:
    profiles = []
    for file in sorted(folder.glob("*.toml")):
        profile = _read(file, model)
        if profile.name != file.stem:
            raise ConfigurationError(
                f"{file}: name: expected the file's stem {file.stem!r}, found {profile.name!r}; rename one of them"
            )
        profiles.append(profile)
    return profiles


def _read(file: Path, model: type[Profile]) -> Profile:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: expected a readable TOML file, found: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: expected TOML, found: {error}") from error
    for path, number in _non_finite(data, ()):
        raise ConfigurationError(f"{file}: {_dotted(path)}: expected a finite number, found {number}")
    try:
        # Strict, so that "252" or true is no number; by way of JSON, where an array may become a tuple.
        return model.model_validate_json(to_json(data), strict=True)
    except ValidationError as error:
        raise ConfigurationError(f"{file}: {_explained(error, model)}") from error


def _explained(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error as key, expected, found; the others are counted."""
    first, *others = error.errors(include_url=False)
    more = f" (and {len(others)} more)" if others else ""
    return _sentence(first, model) + more


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    path, message = error["loc"], error["msg"]
    key = _dotted(path)
    if error["type"] == "missing":
        return f"{key}: expected a value, found none; add the key"
    if error["type"] == "extra_forbidden":
        known = _keys(model, path[:-1])
        near = get_close_matches(str(path[-1]), known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        return f"{key}: expected a key among {', '.join(known)}, found {path[-1]!r}{advice}"
    if error["type"] == "value_error":
        # Raised by the manifest itself, which says what it expected and found.
        return ".".join(filter(None, (key, message.removeprefix("Value error, "))))
    rule = message.split(" should ", 1)[-1]  # "Input should be a valid integer", "String should match …"
    expected = rule.removeprefix("be ") if rule.startswith("be ") else f"to {rule}"
    return f"{key}: expected {expected}, found {error['input']!r}"


def _keys(model: type[BaseModel], path: Location) -> list[str]:
    """Keys of the table at `path` below `model`."""
    for part in path:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _non_finite(value: object, path: Location) -> Iterator[tuple[Location, float]]:
    """TOML knows inf and nan; as a threshold they would switch a rule off without a word."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _non_finite(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _non_finite(inner, (*path, index))


def _dotted(path: Location) -> str:
    return ".".join(map(str, path))
