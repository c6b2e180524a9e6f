"""Section 7 for one sleeve at one rebalance: every (engine, risk profile) of the manifest, solved or accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.engines.problem import Problem
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.engines.registry import engine_named
from sleevegraph.errors import LakeError
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_profiles.solution import Solution, unsolved
from sleevegraph.risk_profiles.solver import equally_weighted, pose, unsupported

Cell = tuple[str, str]
"""(engine, risk profile)."""

SCHEMA = pl.Schema(
    {
        "engine": pl.String(),
        "profile": pl.String(),
        "status": pl.String(),
        "rung": pl.String(),
        "reason": pl.String(),
        "solved_by": pl.String(),
        "solve_ms": pl.Float64(),
        "objective": pl.Float64(),
        "residual": pl.Float64(),
        "cap": pl.Float64(),
        "cap_binding_share": pl.Float64(),
        "effective_n": pl.Float64(),
        "agreement": pl.Float64(),
        "weights": pl.List(pl.Struct({"symbol": pl.String(), "weight": pl.Float64()})),
    }
)
TELEMETRY = ("solve_ms",)
"""Columns that differ from run to run; everything else of native is the same bit for bit."""

MIN_ASSETS = 3
MIN_JOINT_SHARE = 0.5
"""Of the train window, how many days all winners must have together; missing days are never filled."""
WINNERS_NOT_NEEDED = ("market", "benchmark")
WEIGHTED = ("native", "fallback")
"""Statuses with weights."""


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


def cash_cells(sleeve: SleeveProfile, reason: str) -> pl.DataFrame:
    """Every cell rejected: too few winners for anybody to solve, so that the sleeve holds cash."""
    nobody: dict[str, list[str]] = {profile: [] for profile in RISK_PROFILES}
    nothing = unsolved(0, "rejected", reason)
    return cells_frame(Tournament(sleeve, nobody, {}, dict.fromkeys(RISK_PROFILES, nothing)), {})


def cells_frame(tournament: Tournament, outcomes: Mapping[Cell, Outcome]) -> pl.DataFrame:
    """Return `SCHEMA`, one row per expected cell.

    Raises
    ------
    LakeError
        When the outcomes are not exactly those of the tournament's tasks: no cell may be silent.
    """
    sleeve = tournament.sleeve
    _require_exactly(sleeve, tournament.tasks, outcomes)
    solutions = {cell: _solution(cell, tournament, outcomes) for cell in expected_cells(sleeve)}
    rows = []
    for cell, found in solutions.items():
        outcome = outcomes.get(cell)
        rows.append(
            {
                **_row(cell, found, tournament),
                "solve_ms": outcome.milliseconds if outcome else None,
                "agreement": _agreement(cell[1], found, solutions.get(("native", cell[1]))),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _equal(profile: str, symbols: Sequence[str], sleeve: SleeveProfile) -> Solution:
    if not symbols:
        return unsolved(0, "rejected", f"no symbol to hold for {profile}")
    return equally_weighted(profile, np.zeros((1, len(symbols))), _cap(len(symbols), sleeve))


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


def _require_exactly(sleeve: SleeveProfile, tasks: Mapping[Cell, Task], outcomes: Mapping[Cell, Outcome]) -> None:
    missing, unexpected = sorted(set(tasks) - set(outcomes)), sorted(set(outcomes) - set(tasks))
    if missing or unexpected:
        raise LakeError(
            f"{sleeve.name}/solver_cells: expected an outcome of each of {len(tasks)} solves, found none of "
            f"{_names(missing)} and unasked {_names(unexpected)}; a cell may fail, but not be silent"
        )


def _names(cells: Sequence[Cell]) -> str:
    return ", ".join("/".join(cell) for cell in cells) or "nothing"


def _solution(cell: Cell, tournament: Tournament, outcomes: Mapping[Cell, Outcome]) -> Solution:
    engine, profile = cell
    known = tournament.known.get(profile)
    if known is not None and known.status == "rejected":
        return known
    assets = len(tournament.assets[profile])
    if engine in tournament.unavailable:
        return unsolved(assets, "unavailable", tournament.unavailable[engine])
    reason = unsupported(profile, engine_named(engine))
    if reason:
        return unsolved(assets, "unsupported", reason)
    return known if known is not None else outcomes[_solved_at(cell, tournament)].solution


def _solved_at(cell: Cell, tournament: Tournament) -> Cell:
    """The cell whose solve a cell shows: its own, but for the barbell."""
    if cell[1] != "barbell":
        return cell
    return next(task for task in tournament.tasks if task[1] == "barbell")


def _row(cell: Cell, found: Solution, tournament: Tournament) -> dict[str, object]:
    engine, profile = cell
    symbols, weighted = tournament.assets[profile], found.status in WEIGHTED
    answered = weighted or found.status == "failed"
    solver = _solved_at(cell, tournament)[0] if answered and profile not in tournament.known else ""
    return {
        "engine": engine,
        "profile": profile,
        "status": found.status,
        "rung": found.rung,
        "reason": found.reason,
        "solved_by": solver,
        "objective": _finite(found.objective),
        "residual": _finite(found.residual),
        "cap": _cap(len(symbols), tournament.sleeve) if weighted else None,
        "cap_binding_share": found.cap_binding_share if weighted else None,
        "effective_n": found.effective_n if weighted else None,
        "weights": [
            {"symbol": symbol, "weight": weight} for symbol, weight in zip(symbols, found.weights.tolist(), strict=True)
        ]
        if weighted
        else [],
    }


def _cap(assets: int, sleeve: SleeveProfile) -> float:
    return max(sleeve.risk.cluster_cap, 1.0 / assets)


def _agreement(profile: str, found: Solution, native: Solution | None) -> float | None:
    """Largest difference of a weight from that of the native engine, where both solved the profile as asked."""
    if profile not in SOLVED or native is None or not found.status == native.status == "native":
        return None
    return float(np.abs(found.weights - native.weights).max())


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
