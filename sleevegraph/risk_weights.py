"""Section 7 for one sleeve at one rebalance: every cell of the manifest, solved or accounted for."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_profiles import Solution, solve
from sleevegraph.risk_profiles.solution import unsolved
from sleevegraph.track_record import CASH

SCHEMA = pl.Schema(
    {
        "engine": pl.String(),
        "profile": pl.String(),
        "status": pl.String(),
        "reason": pl.String(),
        "rung": pl.String(),
        "objective": pl.Float64(),
        "residual": pl.Float64(),
        "cap_binding_share": pl.Float64(),
        "effective_n": pl.Float64(),
        "cap": pl.Float64(),
        "symbol": pl.String(),
        "logic": pl.String(),
        "direction": pl.String(),
        "weight": pl.Float64(),
        "net": pl.Float64(),
    }
)
MIN_JOINT_SHARE = 0.5
"""Of the train window, how many days all winners must have together; missing days are never filled."""

RECIPES_WITHOUT_RETURNS = ("market", "benchmark")


def expected_cells(sleeve: SleeveProfile) -> list[tuple[str, str]]:
    """Every (engine, profile) that must have a status."""
    return [(engine, profile) for engine in sleeve.risk.engines for profile in RISK_PROFILES]


def risk_weights(
    synthetic: pl.DataFrame,
    winners: Sequence[Atom],
    market: Sequence[Atom],
    benchmark: Sequence[Atom],
    sleeve: SleeveProfile,
) -> pl.DataFrame:
    """Weights in synthetic space of every cell.

    Parameters
    ----------
    synthetic
        `date` and one column per winner, named by its id, over the train window; null where missing.
        Days on which a winner has no return are left out for all.
    winners, market, benchmark
        The atoms of the solved profiles, of `market` and of `benchmark`; the last two weigh equally.
    sleeve
        Names covariance, cap and engines.

    Returns
    -------
    pl.DataFrame
        `SCHEMA`, one row per asset of a cell; a cell without weights is one CASH row (rejected) or one row
        without a symbol (failed).
    """
    joint = synthetic.select(atom.id for atom in winners).drop_nulls()
    returns = np.ascontiguousarray(joint.to_numpy())
    needed = int(MIN_JOINT_SHARE * sleeve.selection.train_days)
    rows: list[dict[str, object]] = []
    for engine, profile in expected_cells(sleeve):
        if profile in RECIPES_WITHOUT_RETURNS:
            atoms = market if profile == "market" else benchmark
            solution = solve(profile, np.zeros((1, len(atoms))), engine=engine)
        elif joint.height < needed:
            reason = f"expected at least {needed} days on which all {len(winners)} winners have a return, found {joint.height}"
            atoms, solution = winners, unsolved(len(winners), "rejected", reason)
        else:
            atoms = winners
            solution = solve(
                profile, returns, engine=engine, cap=sleeve.risk.cluster_cap, covariance=sleeve.risk.covariance
            )
        rows += _cell(engine, profile, solution, atoms, sleeve.risk.cluster_cap)
    return pl.DataFrame(rows, schema=SCHEMA)


def cash_cells(sleeve: SleeveProfile, reason: str) -> pl.DataFrame:
    """Every cell in cash on purpose, as when too few winners were found."""
    rows = [
        {
            "engine": engine,
            "profile": profile,
            "status": "cash",
            "reason": reason,
            "symbol": CASH,
            "weight": 1.0,
            "net": 0.0,
        }
        for engine, profile in expected_cells(sleeve)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def targets(weights: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Signed physical targets by profile and symbol; cash is what is left."""
    found: dict[str, dict[str, float]] = {profile: {} for profile in RISK_PROFILES}
    held = weights.filter(pl.col("symbol").is_not_null() & (pl.col("net") != 0.0))
    for profile, symbol, net in held.select("profile", "symbol", "net").iter_rows():
        found[profile][symbol] = net
    return found


def _cell(
    engine: str, profile: str, solution: Solution, atoms: Sequence[Atom], cluster_cap: float
) -> list[dict[str, object]]:
    cell: dict[str, object] = {
        "engine": engine,
        "profile": profile,
        "status": solution.status,
        "reason": solution.reason,
        "rung": solution.rung,
        "objective": _known(solution.objective),
        "residual": _known(solution.residual),
        "cap_binding_share": _known(solution.cap_binding_share),
        "effective_n": _known(solution.effective_n),
    }
    if solution.status == "rejected":
        return [{**cell, "symbol": CASH, "weight": 1.0, "net": 0.0}]
    if solution.status not in {"native", "fallback"}:
        return [cell]
    cap = max(cluster_cap, 1.0 / len(atoms))
    return [
        {
            **cell,
            "cap": cap,
            "symbol": atom.symbol,
            "logic": atom.logic,
            "direction": atom.direction,
            "weight": weight,
            "net": weight * atom.sign,
        }
        for atom, weight in zip(atoms, solution.weights.tolist(), strict=True)
    ]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
