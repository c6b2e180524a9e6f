"""Guarantee: no sleeve trades on weights of solvers that mostly fail."""

from datetime import date, timedelta
from functools import cache

import polars as pl

from assets.gates import cells_gates
from assets.keys import stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.lake import AssetPath, Lake, Status
from resources.store import Store
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.manifest import SleeveProfile
from sleevegraph.solver_guardrail import failure_rate


def solver_failure_rate_check(sleeve: SleeveProfile) -> PartitionCheck:
    """Count failed and unavailable cells over the last windows of the manifest."""
    path = stage(sleeve.name, "solver_cells")
    count = sleeve.risk.failure_windows

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        cells = cache(lambda day: _cells(store.lake, path, day))  # neighbouring rebalances look at the same windows

        def judge(key: str) -> Judgement:
            at = date.fromisoformat(key)
            windows = {day: cells(day) for day in _window_dates(store.lake, path, at, count)}
            solved = {day: found for day, found in windows.items() if found is None or not found.is_empty()}
            rate = failure_rate(solved, at, sleeve.risk)
            figures = {
                "failure_share": rate.share,
                "expected_cells": rate.expected,
                "windows": rate.windows,
                "failures": rate.failed,
                "stand_ins": rate.stood_in,
            }
            return Judgement(rate.findings, figures)

        return judge

    def earlier(store: Store, key: str) -> list[str]:
        days = _window_dates(store.lake, path, date.fromisoformat(key), count)
        return [f"{'/'.join(path)}@{day}" for day in days if str(day) != key]

    return PartitionCheck(
        *cells_gates(sleeve),
        prepare,
        inputs=[stage(sleeve.name, "synthetic_returns")],
        windows=earlier,
        description="Failed and unavailable cells over the expected ones of the last 24 windows; more than 25 % blocks.",
    )


def _window_dates(lake: Lake, path: AssetPath, at: date, count: int) -> list[date]:
    """Up to `count` rebalances that end at `at`, none before the record begins."""
    first = at - timedelta(days=(count - 1) * STEP_DAYS)
    begun = date.fromisoformat(lake.partitions(path)[0])
    return list(grid_dates(max(first, begun), at))


def _cells(lake: Lake, path: AssetPath, day: date) -> pl.DataFrame | None:
    """Stored cells; empty where a gate stood before the solvers, None where there is no record at all."""
    if not lake.has(path, str(day)):
        return None
    status, _ = lake.standing(path, str(day))
    cells = lake.read(path, str(day))
    return cells.clear() if status is Status.BLOCKED else cells
