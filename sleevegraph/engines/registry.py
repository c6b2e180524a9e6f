"""Every engine by name: the five that come with the library, and those that other distributions add."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from sleevegraph.engines.native import Native
from sleevegraph.engines.protocol import ENTRY_POINTS, SOLVED, Engine
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.riskfolio_engine import Riskfolio
from sleevegraph.engines.skfolio_engine import Skfolio
from sleevegraph.errors import ConfigurationError

BUILT_IN: dict[str, Engine] = {e.name: e for e in (Native(), Skfolio(), Riskfolio())}


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
        """Never reached: an engine is loaded first."""
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
        For a name that nobody provides, and for an entry point that cannot be loaded or gives no engine.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    entry = _added().get(name)
    if entry is None:
        raise ConfigurationError(
            f"engine: expected one of {', '.join(engine_names())}, found {name!r}; "
            f"correct the name, or install the distribution that adds it (entry point group {ENTRY_POINTS})"
        )
    return _loaded(entry)


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _loaded(entry: EntryPoint) -> Engine:
    where = f"engine {entry.name}: entry point {entry.value}"
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        return Unimportable(entry.name, entry.dist.name if entry.dist else entry.module, str(error))
    engine: Engine = found() if isinstance(found, type) else found
    wanted = ("name", "profiles", "module", "requirement", "max_residual", "dust", "load", "attempt")
    missing = [attribute for attribute in wanted if not hasattr(engine, attribute)]
    if missing:
        raise ConfigurationError(f"{where}: expected an object with {', '.join(wanted)}, found none of {missing}")
    if engine.name != entry.name or not engine.profiles or not set(engine.profiles) <= set(SOLVED):
        raise ConfigurationError(
            f"{where}: expected name {entry.name!r} and profiles among {', '.join(SOLVED)}, "
            f"found {engine.name!r} and {sorted(engine.profiles)}"
        )
    return engine
