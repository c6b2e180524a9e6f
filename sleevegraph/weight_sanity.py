"""Judge solved weights against what a solve promises, and certify the sleeve that holds them."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import polars as pl

from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, RiskRules
from sleevegraph.risk_profiles.solution import Status
from sleevegraph.risk_weights import CHOOSING
from sleevegraph.solver_cells import WEIGHTED
from sleevegraph.tournament import Cell
from sleevegraph.track_record import CASH

IN_CASH = ("rejected",)
"""Statuses that hold the one row CASH with weight 1."""
WITHOUT_ANSWER = ("failed", "unavailable")
STATUSES = get_args(Status)
CERTIFIED, DEGRADED = "CERTIFIED", "DEGRADED"
NATIVE = "native"
"""The engine that certifies."""
TOLERANCE = 1e-9


def weight_sanity(cells: pl.DataFrame, expected: Sequence[Cell], risk: RiskRules) -> list[Finding]:
    """Every defect of one sleeve's weights at one rebalance; an ERROR blocks.

    Parameters
    ----------
    cells
        Long rows [engine, profile, status, reason, symbol, weight, cap, cluster, cluster_limit] in synthetic space; a
        cell without weights is one row whose symbol is null.
    expected
        The (engine, profile) pairs that must be there, and no others.
    risk
        The caps that the manifest sets: what a row says of its own cap must be that.

    Returns
    -------
    list of Finding
        CELL_MISSING, CELL_UNEXPECTED, STATUS_UNKNOWN, WEIGHT_NOT_FINITE, WEIGHT_NEGATIVE, CAP_EXCEEDED,
        CLUSTER_CAP_EXCEEDED, DUPLICATE_ASSET and OPTIMIZER_NOT_NORMALIZED are errors. CELL_FAILED is a warning, because the
        solver-failure guardrail decides how many are too many.
    """
    found = _by_cell(cells)
    findings = [_error("CELL_MISSING", "", cell, "expected, found no row") for cell in expected if cell not in found]
    findings += [_error("CELL_UNEXPECTED", "", cell, "not an expected cell") for cell in found if cell not in expected]
    for cell, rows in found.items():
        findings += _judge(cell, rows, risk)
    return findings


def certification(cells: pl.DataFrame, findings: Sequence[Finding], of_record: str = NATIVE) -> tuple[str, list[str]]:
    """CERTIFIED when native and the engine of record solved all eight profiles as asked and no finding is an error.

    Otherwise DEGRADED with the reasons.
    """
    found = _by_cell(cells)
    reasons = []
    for engine in dict.fromkeys((NATIVE, of_record)):
        for profile in RISK_PROFILES:
            rows, cell = found.get((engine, profile), []), f"{engine}/{profile}"
            if not rows:
                reasons.append(f"{cell}: no cell")
            reasons += sorted({f"{cell}: {r['status']}: {r['reason']}" for r in rows if r["status"] != "native"})
    reasons += [f"{f.code} {f.symbol}: {f.message}" for f in findings if f.level == "ERROR"]
    return (DEGRADED if reasons else CERTIFIED), reasons


def _by_cell(cells: pl.DataFrame) -> dict[Cell, list[dict[str, object]]]:
    found: dict[Cell, list[dict[str, object]]] = {}
    for row in cells.iter_rows(named=True):
        found.setdefault((row["engine"], row["profile"]), []).append(row)
    return found


def _error(code: str, symbol: str, cell: Cell, text: str) -> Finding:
    return Finding("ERROR", code, symbol, f"{cell[0]}/{cell[1]}: {text}")


def _judge(cell: Cell, rows: list[dict[str, object]], risk: RiskRules) -> list[Finding]:
    statuses = sorted({str(row["status"]) for row in rows})
    status = statuses[0]
    if len(statuses) > 1 or status not in STATUSES:
        return [
            _error("STATUS_UNKNOWN", "", cell, f"expected one status among {', '.join(STATUSES)}, found {statuses}")
        ]
    findings = []
    held = [row for row in rows if row["symbol"] is not None]
    if status in WITHOUT_ANSWER:
        findings.append(Finding("WARN", "CELL_FAILED", "", f"{cell[0]}/{cell[1]}: {status}: {rows[0]['reason']}"))
    counts = Counter(str(row["symbol"]) for row in held)
    for symbol, times in counts.items():
        if times > 1:
            findings.append(_error("DUPLICATE_ASSET", symbol, cell, f"expected one row, found {times}"))
        if status in IN_CASH and symbol != CASH:
            findings.append(_error("CELL_UNEXPECTED", symbol, cell, f"a {status} cell holds {CASH} only"))
    for row in held:
        findings += _judge_weight(cell, row, capped=status in WEIGHTED)
    if held or status in (*WEIGHTED, *IN_CASH):
        findings += _judge_sum(cell, held)
    return findings + (_judge_caps(cell, held, risk) if status in WEIGHTED else []) + _judge_clusters(cell, held)


def _judge_caps(cell: Cell, held: list[dict[str, object]], risk: RiskRules) -> list[Finding]:
    """A row that says a wider cap than the manifest would pass any judge that believes it."""
    cap = max(risk.cluster_cap, 1.0 / max(len(held), 1))
    found = {_finite(row["cap"]) for row in held} - {None}
    findings = [_error("CAP_UNKNOWN", "", cell, f"expected the cap {cap:g}, found {found}")] if found - {cap} else []
    if risk.max_cluster_weight is not None and cell[1] in CHOOSING and any(r["cluster_limit"] is None for r in held):
        findings.append(
            _error("CAP_UNKNOWN", "", cell, f"expected a cluster limit of {risk.max_cluster_weight:g} or more")
        )
    return findings


def _judge_clusters(cell: Cell, held: list[dict[str, object]]) -> list[Finding]:
    sums: dict[object, float] = {}
    limit = next((limit for row in held if (limit := _finite(row["cluster_limit"])) is not None), None)
    if limit is None:
        return []
    for row in held:
        sums[row["cluster"]] = sums.get(row["cluster"], 0.0) + (_finite(row["weight"]) or 0.0)
    return [
        _error("CLUSTER_CAP_EXCEEDED", "", cell, f"cluster {label}: expected at most {limit:g}, found {total:.12g}")
        for label, total in sums.items()
        if total > limit + TOLERANCE
    ]


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _judge_weight(cell: Cell, row: dict[str, object], *, capped: bool) -> list[Finding]:
    symbol, weight, cap = str(row["symbol"]), _finite(row["weight"]), _finite(row["cap"])
    if weight is None:
        return [_error("WEIGHT_NOT_FINITE", symbol, cell, f"found {row['weight']}")]
    if weight < 0.0:
        return [_error("WEIGHT_NEGATIVE", symbol, cell, f"found {weight:g}; solvers are long-only in synthetic space")]
    if capped and (cap is None or weight > cap + TOLERANCE):
        return [_error("CAP_EXCEEDED", symbol, cell, f"expected at most {row['cap']}, found {weight:.12g}")]
    return []


def _judge_sum(cell: Cell, held: list[dict[str, object]]) -> list[Finding]:
    weights = [_finite(row["weight"]) for row in held]
    total = math.fsum(w for w in weights if w is not None)
    if None in weights or abs(total - 1.0) <= TOLERANCE:
        return []
    text = f"expected weights that add to 1, found {total:.12g} over {len(held)} assets"
    return [_error("OPTIMIZER_NOT_NORMALIZED", "", cell, text)]
