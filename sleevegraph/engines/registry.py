"""Every engine by name: the five that come with the library, and those that other distributions add."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sleevegraph.engines.cvxportfolio_engine import Cvxportfolio
from sleevegraph.engines.native import Native
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import ENTRY_POINTS, SOLVED, Engine
from sleevegraph.engines.pypfopt_engine import PyPortfolioOpt
from sleevegraph.engines.riskfolio_engine import Riskfolio
from sleevegraph.engines.skfolio_engine import Skfolio
from sleevegraph.errors import ConfigurationError

LOOSEST_RESIDUAL, LARGEST_DUST = 1e-3, 1e-6
"""What an added engine may ask for at most."""

BUILT_IN: Mapping[str, Engine] = {
    engine.name: engine for engine in (Native(), Skfolio(), Riskfolio(), Cvxportfolio(), PyPortfolioOpt())
}
WANTED = ("name", "profiles", "module", "requirement", "max_residual", "dust", "load", "attempt")
"""What an added object must have, as `Engine` says."""


@dataclass(frozen=True)
class Unimportable:
    """Stands for an added engine that cannot be imported, so that its cells say so."""

    name: str
    requirement: str
    error: str
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = ""
    max_residual: float = 0.0
    dust: float = 0.0

    def load(self) -> None:
        """Raise what importing it raised."""
        raise ImportError(self.error)

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Refuse: an engine is loaded before it solves."""
        del profile, problem, tighter
        raise ImportError(self.error)


def engine_names() -> tuple[str, ...]:
    """Names that a manifest may use, the built-in ones first."""
    return (*BUILT_IN, *sorted(set(_added()) - set(BUILT_IN)))


@cache
def engine_named(name: str) -> Engine:
    """Return the engine of that name.

    Raises
    ------
    ConfigurationError
        For a name that nobody provides or more than one does, and for an entry point that gives no engine.
    """
    entries = _added().get(name, [])
    providers = ["sleevegraph"] * (name in BUILT_IN) + [_distribution(entry) for entry in entries]
    if len(providers) > 1:
        raise ConfigurationError(
            f"engine {name}: expected one provider, found {', '.join(providers)} (entry point group {ENTRY_POINTS}); "
            f"uninstall all but one of them, or have the added engine renamed"
        )
    if name in BUILT_IN:
        return BUILT_IN[name]
    if not entries:
        raise ConfigurationError(_unknown(name))
    return _loaded(entries[0])


def _added() -> dict[str, list[EntryPoint]]:
    added = defaultdict(list)
    for entry in entry_points(group=ENTRY_POINTS):
        added[entry.name].append(entry)
    return dict(added)


def _distribution(entry: EntryPoint) -> str:
    return str(entry.dist.name) if entry.dist else entry.value


def _unknown(name: str) -> str:
    known = engine_names()
    near = get_close_matches(name, known, n=1)
    return (
        f"engine: expected one of {', '.join(known)}, found {name!r}"
        f"{f' (did you mean {near[0]}?)' if near else ''}; "
        f"correct the name, or install the distribution that adds it (entry point group {ENTRY_POINTS})"
    )


def _loaded(entry: EntryPoint) -> Engine:
    where = f"engine {entry.name}: entry point {entry.value} of {_distribution(entry)}"
    try:
        found = entry.load()
    except AttributeError as error:
        raise ConfigurationError(f"{where}: expected an engine there, found none: {error}") from error
    except Exception as error:  # noqa: BLE001 - a broken installation raises whatever it likes
        return Unimportable(entry.name, _distribution(entry), f"{type(error).__name__}: {error}")
    engine: Engine = _instance(found, where)
    missing = [attribute for attribute in WANTED if not hasattr(engine, attribute)]
    if missing:
        raise ConfigurationError(
            f"{where}: expected an object with {', '.join(WANTED)}, found a {type(engine).__name__} "
            f"without {', '.join(missing)}"
        )
    if engine.name != entry.name or not engine.profiles or not set(engine.profiles) <= set(SOLVED):
        raise ConfigurationError(
            f"{where}: expected name {entry.name!r} and profiles among {', '.join(SOLVED)}, "
            f"found name {engine.name!r} and profiles {', '.join(sorted(engine.profiles)) or 'none'}"
        )
    if not (0.0 < engine.max_residual <= LOOSEST_RESIDUAL and 0.0 <= engine.dust <= LARGEST_DUST):
        raise ConfigurationError(
            f"{where}: expected max_residual in (0, {LOOSEST_RESIDUAL:g}] and dust in [0, {LARGEST_DUST:g}], "
            f"found {engine.max_residual} and {engine.dust}; a looser one would let noise pass as solved"
        )
    return engine


def _instance(found: Any, where: str) -> Any:
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise ConfigurationError(f"{where}: expected an engine, or a class without arguments: {error}") from error
