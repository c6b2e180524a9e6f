"""Runs whose process dies."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from resources.alive import alive, lock_file, mark_restored
from resources.run_launcher import WatchedRunLauncher
from sleevegraph.simulated_market import simulated_bars
from tests.homes import TemporaryHome
from tests.ticks import on_record, report, tick

PROJECT = Path(__file__).resolve().parent.parent
DUE = "2022-03-21"
PATIENCE_SECONDS = 240


def monitored(home: TemporaryHome) -> None:
    """One look of Dagster's monitoring daemon."""
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), home.instance) as context:
        assert not any(execute_run_monitoring_iteration(context, logging.getLogger("monitoring")))


def started(home: TemporaryHome) -> dg.DagsterRun:
    """The rebalance, once its process has stored something of it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for run in home.instance.get_runs(dg.RunsFilter(job_name="rebalance", tags={"dagster/partition": DUE})):
            if home.store.lake.has(("universe",), DUE):
                return run
        time.sleep(0.05)
    pytest.fail(f"no rebalance began within {PATIENCE_SECONDS} s")


def test_a_run_whose_process_was_killed_is_failed_at_the_next_look_and_asked_for_again(
    new_home: Callable[[], TemporaryHome],
) -> None:
    home = new_home()
    home.ingest(simulated_bars(date(2022, 3, 20), symbols=24))
    assert isinstance(home.instance.run_launcher, WatchedRunLauncher)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rebalance_driver", str(home.root), DUE],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        run = started(home)
        assert alive(home.instance, run.run_id) is True
        monitored(home)
        assert status_of(home, run) is dg.DagsterRunStatus.STARTED, "its process lives"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert status_of(home, run) is dg.DagsterRunStatus.STARTED
    assert tick(home, "rebalance_sensor", "2022-03-22")[1].startswith(f"{DUE} is in progress")
    monitored(home)
    assert status_of(home, run) is dg.DagsterRunStatus.FAILURE
    assert not lock_file(home.instance, run.run_id).exists()
    (request,), *_ = tick(home, "rebalance_sensor", "2022-03-22")
    assert request.run_key == f"rebalance:{DUE}:2"


def status_of(home: TemporaryHome, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return found_status(home, run.run_id)


def found_status(home: TemporaryHome, run_id: str) -> dg.DagsterRunStatus:
    found = home.instance.get_run_by_id(run_id)
    assert found is not None
    return found.status


def test_a_run_that_ends_leaves_no_lock_and_one_of_another_machine_is_not_judged(
    new_home: Callable[[], TemporaryHome],
) -> None:
    home = new_home()
    folder = lock_file(home.instance, "x").parent
    run_id = on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-21")
    assert alive(home.instance, run_id) is True
    run = home.instance.get_run_by_id(run_id)
    assert run is not None
    report(home, run, dg.DagsterEventType.RUN_SUCCESS)
    assert list(folder.iterdir()) == []
    foreign = home.instance.add_run(dg.DagsterRun(job_name="rebalance", status=dg.DagsterRunStatus.STARTED))
    monitored(home)
    assert status_of(home, foreign) is dg.DagsterRunStatus.STARTED


def test_a_run_without_a_lock_that_began_before_its_home_was_restored_is_failed_at_the_next_look(
    new_home: Callable[[], TemporaryHome],
) -> None:
    home, now = new_home(), datetime.now(tz=UTC)
    earlier, later = ((now + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    cut_off, locked, foreign = (on_record(home, dg.DagsterRunStatus.STARTED, at) for at in (earlier, earlier, later))
    for run_id in (cut_off, foreign):
        lock_file(home.instance, run_id).unlink()
    undated = home.instance.add_run(dg.DagsterRun(job_name="rebalance", status=dg.DagsterRunStatus.STARTED)).run_id
    every = (cut_off, locked, foreign, undated)
    monitored(home)
    assert [found_status(home, run_id) for run_id in every] == [dg.DagsterRunStatus.STARTED] * 4
    mark_restored(Path(home.store.folders.dagster))
    monitored(home)
    found = [found_status(home, run_id) for run_id in every]
    assert found == [dg.DagsterRunStatus.FAILURE] + [dg.DagsterRunStatus.STARTED] * 3


@pytest.mark.parametrize("by_a_sensor", [True, False])
def test_dagster_launches_a_killed_run_again_unless_a_sensor_counts_its_tries(
    new_home: Callable[[], TemporaryHome], *, by_a_sensor: bool
) -> None:
    home = new_home()
    tags: Mapping[str, str] = {}
    if by_a_sensor:
        home.ingest(simulated_bars(date(2022, 3, 20), symbols=24))
        (request,), *_ = tick(home, "rebalance_sensor", "2022-03-22")
        tags = request.tags
    run = home.instance.add_run(dg.DagsterRun(job_name="rebalance", tags=dict(tags)))
    report(home, run, dg.DagsterEventType.RUN_START)
    home.instance.report_run_failed(run, "its process is gone")
    failed = home.instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert auto_reexecution_should_retry_run(home.instance, failed, RunFailureReason.UNKNOWN) is not by_a_sensor
    assert not auto_reexecution_should_retry_run(home.instance, failed, RunFailureReason.STEP_FAILURE)
