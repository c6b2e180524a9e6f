"""The tournament of one sleeve at one rebalance: what is asked of which engine, and what needs none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.engines.problem import Problem
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.engines.registry import engine_named
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_profiles.solution import Solution, unsolved
from sleevegraph.risk_profiles.solver import equally_weighted, pose, unsupported

Cell = tuple[str, str]
"""(engine, risk profile)."""

MIN_ASSETS = 3
MIN_JOINT_SHARE = 0.5
"""Of the train window, how many days all winners must have together; missing days are never filled."""
WINNERS_NOT_NEEDED = ("market", "benchmark")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One solve."""

    engine: str
    profile: str
    problem: Problem
    time_limit: float
    """Seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a task, and how long it took; no time where its process was ended."""

    solution: Solution
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tournament:
    """What one rebalance asks of the engines."""

    sleeve: SleeveProfile
    assets: Mapping[str, list[str]]
    """Symbols, sorted, by risk profile."""
    unavailable: Mapping[str, str]
    """By engine that cannot be imported the reason."""
    known: Mapping[str, Solution]
    """By risk profile what needs no engine: equal weights, and the reason why nobody can solve it."""
    tasks: Mapping[Cell, Task] = field(default_factory=dict)


def expected_cells(sleeve: SleeveProfile) -> list[Cell]:
    """Every (engine, profile) that must have a status, in the order of the manifest."""
    return [(engine, profile) for engine in sleeve.risk.engines for profile in RISK_PROFILES]


def enter(
    synthetic: pl.DataFrame,
    winners: Sequence[Atom],
    market: Sequence[str],
    benchmark: Sequence[str],
    sleeve: SleeveProfile,
    unavailable: Mapping[str, str],
) -> Tournament:
    """Pose a window to every engine of the sleeve.

    Parameters
    ----------
    synthetic
        `date` and one column per winner, named by its id, over the train window; null where missing.
        Days on which a winner has no return are left out for all.
    winners
        The atoms of the solved profiles, in any order: they are solved in the order of their symbols.
    market, benchmark
        The symbols of `market` and of `benchmark`, which weigh equally.
    sleeve
        Names engines, covariance, caps and the time limit.
    unavailable
        By engine that cannot be imported the reason.
    """
    atoms = sorted(winners, key=lambda atom: atom.symbol)
    symbols = [atom.symbol for atom in atoms]
    assets = dict.fromkeys(RISK_PROFILES, symbols)
    assets |= {"market": sorted(market), "benchmark": sorted(benchmark)}
    known = {profile: _equal(profile, assets[profile], sleeve) for profile in WINNERS_NOT_NEEDED}
    problem = _posed(synthetic, atoms, sleeve)
    if isinstance(problem, str):
        rejected = unsolved(len(atoms), "rejected", problem)
        known |= {profile: rejected for profile in RISK_PROFILES if profile not in known}
        return Tournament(sleeve, assets, unavailable, known)
    known["equal_weight"] = equally_weighted("equal_weight", problem.returns, problem.upper)
    cells = [cell for cell in expected_cells(sleeve) if _solves(*cell, sleeve, unavailable)]
    tasks = {(e, p): Task(e, p, problem, sleeve.risk.time_limit_seconds) for e, p in cells}
    return Tournament(sleeve, assets, unavailable, known, tasks)


def cap_of(assets: int, sleeve: SleeveProfile) -> float:
    """Largest weight of one of so many assets."""
    return max(sleeve.risk.cluster_cap, 1.0 / assets)


def _equal(profile: str, symbols: Sequence[str], sleeve: SleeveProfile) -> Solution:
    if not symbols:
        return unsolved(0, "rejected", f"no symbol to hold for {profile}")
    return equally_weighted(profile, np.zeros((1, len(symbols))), cap_of(len(symbols), sleeve))


def _posed(synthetic: pl.DataFrame, atoms: Sequence[Atom], sleeve: SleeveProfile) -> Problem | str:
    if len(atoms) < MIN_ASSETS:
        return f"expected at least {MIN_ASSETS} assets, found {len(atoms)}"
    joint = synthetic.select(atom.id for atom in atoms).drop_nulls()
    needed = int(MIN_JOINT_SHARE * sleeve.selection.train_days)
    if joint.height < needed:
        return f"expected at least {needed} days on which all {len(atoms)} winners have a return, found {joint.height}"
    return pose(joint.to_numpy(), cap=sleeve.risk.cluster_cap, covariance=sleeve.risk.covariance)


def _solves(engine: str, profile: str, sleeve: SleeveProfile, unavailable: Mapping[str, str]) -> bool:
    """Whether a cell is a solve of its own; a barbell is computed once, by one engine."""
    if profile == "barbell":
        return engine == _barbell_engine(sleeve, unavailable)
    return profile in SOLVED and engine not in unavailable and not unsupported(profile, engine_named(engine))


def _barbell_engine(sleeve: SleeveProfile, unavailable: Mapping[str, str]) -> str | None:
    """The engine of record, or the first that can where it cannot."""
    ordered = (sleeve.risk.engine_of_record, *sleeve.risk.engines)
    able = (e for e in ordered if e not in unavailable and not unsupported("barbell", engine_named(e)))
    return next(able, None)
