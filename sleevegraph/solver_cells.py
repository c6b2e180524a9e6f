"""Section 7 for one sleeve at one rebalance: every (engine, risk profile) of the manifest, solved or accounted for."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from sleevegraph.engines.protocol import SOLVED
from sleevegraph.engines.registry import engine_named
from sleevegraph.errors import LakeError
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_profiles.solution import Solution, unsolved
from sleevegraph.risk_profiles.solver import unsupported
from sleevegraph.tournament import Cell, Outcome, Task, Tournament, cap_of, expected_cells

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

WEIGHTED = ("native", "fallback")
"""Statuses with weights."""


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
        "cap": cap_of(len(symbols), tournament.sleeve) if weighted else None,
        "cap_binding_share": found.cap_binding_share if weighted else None,
        "effective_n": found.effective_n if weighted else None,
        "weights": [
            {"symbol": symbol, "weight": weight} for symbol, weight in zip(symbols, found.weights.tolist(), strict=True)
        ]
        if weighted
        else [],
    }


def _agreement(profile: str, found: Solution, native: Solution | None) -> float | None:
    """Largest difference of a weight from that of the native engine, where both solved the profile as asked."""
    if profile not in SOLVED or native is None or not found.status == native.status == "native":
        return None
    return float(np.abs(found.weights - native.weights).max())


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
