"""The solver-failure guardrail: how many cells of a sleeve failed over the last windows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, RiskRules

FAILURES = ("failed", "unavailable")
SHOWN_REASONS = 3

Windows = Mapping[date, pl.DataFrame | None]
"""Stored cells by rebalance; None where the sleeve should have a record and has none."""


@dataclass(frozen=True, slots=True)
class FailureRate:
    """The guardrail's verdict and its figures."""

    findings: list[Finding]
    windows: int
    expected: int
    """Cells that could have been solved: all but the unsupported ones."""
    failed: dict[str, int]
    """Failures by engine, status and reason, most frequent first; a cell without a record among them."""
    share: float
    stood_in: int
    """Cells that another recipe answered: no failures, but no solves as asked either."""


def failure_rate(windows: Windows, at: date, rules: RiskRules) -> FailureRate:
    """Failed and unavailable cells over the expected ones, less the unsupported.

    Parameters
    ----------
    windows
        By rebalance up to `at` the rows of `solver_cells.SCHEMA`. Each window expects every risk profile of every engine
        of the manifest, and before `at` of those that its record names at all: one that joined later is not missing there.
    at
        The rebalance that is judged.
    rules
        Engines, engine of record and the largest share.

    Returns
    -------
    FailureRate
        With errors NO_RECORDS, SOLVER_FAILURE_RATE (more than the largest share), and ENGINE_OF_RECORD_UNAVAILABLE (no
        profile of the sleeve would be decided); and a warning STAND_INS above the same share.
    """
    failed: Counter[str] = Counter()
    expected = stood_in = 0
    for day, cells in windows.items():
        found = {} if cells is None else _by_cell(cells)
        for engine in rules.engines if day == at else _entered(found, rules):
            for profile in RISK_PROFILES:
                status, reason = found.get((engine, profile), ("failed", "no record"))
                expected += status != "unsupported"
                stood_in += status == "fallback"
                if status in FAILURES:
                    failed[f"{engine} {status}: {reason}"] += 1
    share = sum(failed.values()) / expected if expected else 1.0
    verdict = FailureRate([], len(windows), expected, dict(failed.most_common()), share, stood_in)
    verdict.findings.extend([*_too_many(verdict, rules), *_of_record(windows.get(at), rules), *_joined(windows, rules)])
    return verdict


def _by_cell(cells: pl.DataFrame) -> dict[tuple[str, str], tuple[str, str]]:
    rows = cells.select("engine", "profile", "status", "reason").iter_rows()
    return {(engine, profile): (status, reason) for engine, profile, status, reason in rows}


def _entered(found: Mapping[tuple[str, str], object], rules: RiskRules) -> list[str]:
    named = {engine for engine, _ in found}
    return [engine for engine in rules.engines if engine in named] if named else list(rules.engines)


def _too_many(verdict: FailureRate, rules: RiskRules) -> list[Finding]:
    if verdict.expected == 0:
        return [Finding("ERROR", "NO_RECORDS", "", "expected solver cells of at least one window, found none")]
    found = []
    counted = f"of {verdict.expected} expected cells of the last {verdict.windows} windows"
    if verdict.share > rules.max_failure_share:
        why = "; ".join(f"{count} x {reason}" for reason, count in list(verdict.failed.items())[:SHOWN_REASONS])
        text = f"{sum(verdict.failed.values())} {counted} failed ({verdict.share:.1%} > {rules.max_failure_share:.0%}): {why}"
        found.append(Finding("ERROR", "SOLVER_FAILURE_RATE", "", text))
    if verdict.stood_in > rules.max_failure_share * verdict.expected:
        text = f"{verdict.stood_in} {counted} hold a stand-in ({verdict.stood_in / verdict.expected:.1%})"
        found.append(Finding("WARN", "STAND_INS", "", text))
    return found


def _joined(windows: Windows, rules: RiskRules) -> list[Finding]:
    """An engine that some records do not name: a failing one could hide behind a new name, so it is said."""
    stored = [cells for cells in windows.values() if cells is not None]
    counts = {engine: sum(engine in cells["engine"] for cells in stored) for engine in rules.engines}
    return [
        Finding("WARN", "ENGINE_JOINED", "", f"{engine} is in {count} of the last {len(stored)} records")
        for engine, count in counts.items()
        if count < len(stored)
    ]


def _of_record(cells: pl.DataFrame | None, rules: RiskRules) -> list[Finding]:
    if cells is None:
        return []
    of_record = (pl.col("engine") == rules.engine_of_record) & (pl.col("status") == "unavailable")
    reasons = cells.filter(of_record)["reason"].unique().to_list()
    text = f"the engine of record, {rules.engine_of_record}, is unavailable: "
    return [Finding("ERROR", "ENGINE_OF_RECORD_UNAVAILABLE", "", text + reason) for reason in reasons]
