"""The weights of every cell, asset by asset: what was solved, within the sleeve's turnover limit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from sleevegraph.atoms import sign_of
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.solver_cells import WEIGHTED, Cell
from sleevegraph.track_record import CASH
from sleevegraph.turnover import limit_turnover

SCHEMA = pl.Schema(
    {
        "engine": pl.String(),
        "profile": pl.String(),
        "status": pl.String(),
        "reason": pl.String(),
        "cap": pl.Float64(),
        "turnover": pl.Float64(),
        "symbol": pl.String(),
        "logic": pl.String(),
        "direction": pl.String(),
        "weight": pl.Float64(),
        "net": pl.Float64(),
    }
)
IN_CASH = ("rejected", "failed")
"""Statuses that hold cash: nobody can solve the data, and the last rung of the ladder."""

Book = Mapping[str, float]
"""Weight in synthetic space by symbol."""


def risk_weights(
    cells: pl.DataFrame, sleeve: SleeveProfile, previous: Mapping[Cell, Book] | None = None
) -> pl.DataFrame:
    """Weights in synthetic space and physical net weights of every cell.

    Parameters
    ----------
    cells
        Rows of `solver_cells.SCHEMA`.
    sleeve
        Gives direction, logic and the turnover limit.
    previous
        Weights by cell at the previous rebalance, for the turnover limit; None where there are none.

    Returns
    -------
    pl.DataFrame
        `SCHEMA`, one row per asset of a cell. A rejected or failed cell is one CASH row; one that is unavailable or
        unsupported is one row without a symbol.
    """
    rows: list[dict[str, object]] = []
    for cell in cells.iter_rows(named=True):
        before = (previous or {}).get((cell["engine"], cell["profile"]))
        rows += _rows(cell, sleeve, before)
    return pl.DataFrame(rows, schema=SCHEMA)


def books(weights: pl.DataFrame) -> dict[Cell, dict[str, float]]:
    """Weights in synthetic space by cell and symbol; cells without weights are left out."""
    found: dict[Cell, dict[str, float]] = {}
    held = weights.filter(pl.col("symbol").is_not_null() & (pl.col("symbol") != CASH))
    for engine, profile, symbol, weight in held.select("engine", "profile", "symbol", "weight").iter_rows():
        found.setdefault((engine, profile), {})[symbol] = weight
    return found


def targets(weights: pl.DataFrame, sleeve: SleeveProfile) -> dict[str, dict[str, float]]:
    """Signed physical targets of the engine of record by profile and symbol; cash is what is left."""
    found: dict[str, dict[str, float]] = {profile: {} for profile in RISK_PROFILES}
    of_record = pl.col("engine") == sleeve.risk.engine_of_record
    held = weights.filter(of_record & pl.col("symbol").is_not_null() & (pl.col("net") != 0.0))
    for profile, symbol, net in held.select("profile", "symbol", "net").iter_rows():
        found[profile][symbol] = net
    return found


def _rows(cell: dict[str, Any], sleeve: SleeveProfile, before: Book | None) -> list[dict[str, object]]:
    common = {key: cell[key] for key in ("engine", "profile", "status", "reason", "cap")}
    if cell["status"] in IN_CASH:
        return [{**common, "symbol": CASH, "weight": 1.0, "net": 0.0}]
    if cell["status"] not in WEIGHTED:
        return [common]
    weights, turnover = _within_limit(cell, sleeve, before)
    sign = sign_of(sleeve.direction)
    return [
        {
            **common,
            "turnover": turnover,
            "symbol": symbol,
            "logic": sleeve.logic,
            "direction": sleeve.direction,
            "weight": weight,
            "net": weight * sign,
        }
        for symbol, weight in weights.items()
    ]


def _within_limit(cell: dict[str, Any], sleeve: SleeveProfile, before: Book | None) -> tuple[Book, float | None]:
    weights = {asset["symbol"]: asset["weight"] for asset in cell["weights"]}
    limit = sleeve.risk.turnover_limit
    if limit is None or before is None:
        return weights, None
    limited = limit_turnover(
        target=np.array(list(weights.values())),
        previous=np.array([before.get(symbol, 0.0) for symbol in weights]),
        left=sum(weight for symbol, weight in before.items() if symbol not in weights),
        cap=cell["cap"],
        limit=limit,
    )
    return dict(zip(weights, limited.weights.tolist(), strict=True)), limited.turnover
