"""The weights of every cell, asset by asset: what was solved, within the sleeve's cluster cap and turnover limit."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from sleevegraph.atoms import sign_of
from sleevegraph.cluster_caps import Labels, feasible_limit, project_on_clusters
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.manifest import SleeveProfile
from sleevegraph.panel import Floats
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.solver_cells import WEIGHTED
from sleevegraph.tournament import Cell
from sleevegraph.track_record import CASH
from sleevegraph.turnover import limit_turnover

SCHEMA = pl.Schema(
    {
        "engine": pl.String(),
        "profile": pl.String(),
        "of_record": pl.Boolean(),
        "status": pl.String(),
        "reason": pl.String(),
        "cap": pl.Float64(),
        "cluster_limit": pl.Float64(),
        "turnover": pl.Float64(),
        "symbol": pl.String(),
        "logic": pl.String(),
        "direction": pl.String(),
        "cluster": pl.Int64(),
        "weight": pl.Float64(),
        "net": pl.Float64(),
    }
)
IN_CASH = "rejected"
"""The status that holds cash on purpose: nobody can solve the data."""

CHOOSING = (*SOLVED, "barbell")
"""Profiles that choose weights, which caps and limits may bend; the others are what they are."""

Book = Mapping[str, float]
"""Weight in synthetic space by symbol."""


def risk_weights(
    cells: pl.DataFrame,
    sleeve: SleeveProfile,
    clusters: Mapping[str, int],
    previous: Mapping[Cell, Book] | None = None,
) -> pl.DataFrame:
    """Weights in synthetic space and physical net weights of every cell.

    Parameters
    ----------
    cells
        Rows of `solver_cells.SCHEMA`.
    sleeve
        Gives direction, logic, the cluster cap and the turnover limit.
    clusters
        Correlation cluster of every winner.
    previous
        Weights by cell at the previous rebalance, for the turnover limit; None where there are none.

    Returns
    -------
    pl.DataFrame
        `SCHEMA`, one row per asset of a cell. A rejected cell is one CASH row; one that failed, or is unavailable or
        unsupported, is one row without a symbol: it decides nothing. `of_record` marks the cells that are traded, so
        that a later change of the manifest does not change what was decided.
    """
    rows: list[dict[str, object]] = []
    for cell in cells.iter_rows(named=True):
        before = (previous or {}).get((cell["engine"], cell["profile"]))
        rows += _rows(cell, sleeve, clusters, before)
    return pl.DataFrame(rows, schema=SCHEMA)


def books(weights: pl.DataFrame) -> dict[Cell, dict[str, float]]:
    """Weights in synthetic space by cell and symbol; cells without weights are left out."""
    found: dict[Cell, dict[str, float]] = {}
    held = weights.filter(pl.col("symbol").is_not_null() & (pl.col("symbol") != CASH))
    for engine, profile, symbol, weight in held.select("engine", "profile", "symbol", "weight").iter_rows():
        found.setdefault((engine, profile), {})[symbol] = weight
    return found


def targets(weights: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Signed physical targets of the cells of record by profile and symbol; cash is what is left.

    A profile whose solve failed has no targets: what it held before stays in force.
    """
    found: dict[str, dict[str, float]] = {}
    decided = weights.filter(pl.col("of_record") & pl.col("symbol").is_not_null())
    for profile, symbol, net in decided.select("profile", "symbol", "net").iter_rows():
        book = found.setdefault(profile, {})
        if net != 0.0:
            book[symbol] = net
    return found


def _rows(
    cell: dict[str, Any], sleeve: SleeveProfile, clusters: Mapping[str, int], before: Book | None
) -> list[dict[str, object]]:
    common = {key: cell[key] for key in ("engine", "profile", "status", "reason", "cap")}
    common["of_record"] = cell["engine"] == sleeve.risk.engine_of_record
    if cell["status"] == IN_CASH:
        return [{**common, "symbol": CASH, "weight": 1.0, "net": 0.0}]
    if cell["status"] not in WEIGHTED:
        return [common]
    symbols = [asset["symbol"] for asset in cell["weights"]]
    weights = np.array([asset["weight"] for asset in cell["weights"]])
    nearest, limit = _caps(cell, sleeve, np.array([clusters.get(symbol, -1) for symbol in symbols]))
    turnover = None
    if limit is not None:
        weights = nearest(weights)
    if sleeve.risk.turnover_limit is not None and before is not None and cell["profile"] in CHOOSING:
        held = np.array([before.get(symbol, 0.0) for symbol in symbols])
        left = sum(weight for symbol, weight in before.items() if symbol not in symbols)
        limited = limit_turnover(weights, nearest(held), held, left, sleeve.risk.turnover_limit)
        weights, turnover = limited.weights, limited.turnover
    common |= {"cluster_limit": limit, "turnover": turnover, "logic": sleeve.logic, "direction": sleeve.direction}
    sign = sign_of(sleeve.direction)
    return [
        {**common, "symbol": symbol, "cluster": clusters.get(symbol), "weight": weight, "net": weight * sign}
        for symbol, weight in zip(symbols, weights.tolist(), strict=True)
    ]


def _caps(
    cell: dict[str, Any], sleeve: SleeveProfile, labels: Labels
) -> tuple[Callable[[Floats], Floats], float | None]:
    """The projection on a cell's caps, and the cluster limit that applies to it."""
    cap, limit = cell["cap"], sleeve.risk.max_cluster_weight
    if limit is None or cell["profile"] not in CHOOSING:
        return lambda weights: project_bounded_simplex(weights, 0.0, cap), None
    limit = feasible_limit(labels, cap, limit)
    return lambda weights: project_on_clusters(weights, cap, labels, limit), limit
