"""Runs in Dagster's storage that no process makes, and runs that were long ago."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg

from tests.homes import TemporaryHome


def made_run(home: TemporaryHome, status: dg.DagsterRunStatus, key: str = "") -> str:
    """A run that failed, or one in any other status that Dagster stores as it is told; its id."""
    failed = status is dg.DagsterRunStatus.FAILURE
    run = home.instance.create_run_for_job(
        home.defs.resolve_job_def("rebalance"),
        status=None if failed else status,
        tags={"dagster/partition": key} if key else {},
    )
    if failed:
        home.instance.report_run_failed(run)
    return run.run_id


def age(home: TemporaryHome, days: float, *runs: str) -> None:
    """Let runs, by default all, have ended so many days ago."""
    ended = datetime.now(UTC) - timedelta(days=days)
    chosen = runs or [record.dagster_run.run_id for record in home.instance.get_run_records()]
    with (
        closing(sqlite3.connect(home.store.folders.dagster / "history" / "runs.db", timeout=60)) as connection,
        connection,
    ):
        for run in chosen:
            values = (ended.timestamp(), ended.strftime("%Y-%m-%d %H:%M:%S.%f"), run)
            connection.execute("UPDATE runs SET end_time = ?, update_timestamp = ? WHERE run_id = ?", values)
