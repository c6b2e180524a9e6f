"""The real daemon with PostgreSQL: a sensor asks, the queue lets go, a worker runs, and its death is noticed."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType as Type

from resources.alive import alive
from resources.postgres import POSTGRES_VARIABLE
from sleevegraph.simulated_market import simulated_bars
from tests.command_homes import sleevegraph
from tests.homes import TemporaryHome
from tests.postgres import PASSWORD, needs_postgres, postgres_server
from tests.test_daemon import DAYS, PATIENCE_SECONDS, PROJECT, daemon

pytestmark = [needs_postgres, pytest.mark.slow]


def wait_for(log: Path, what: str, found: Callable[[], dg.DagsterRun | None]) -> dg.DagsterRun:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if run := found():
            return run
        time.sleep(0.2)
    pytest.fail(f"no {what} within {PATIENCE_SECONDS} s: {log.read_text()[-3000:]}")


def test_a_rebalance_comes_through_the_queue_and_the_death_of_its_worker_is_noticed(
    new_home: Callable[[], TemporaryHome], monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server() as url:
        monkeypatch.setenv(POSTGRES_VARIABLE, url)
        home = new_home()
        yesterday = datetime.now(tz=UTC).date() - timedelta(days=1)
        home.ingest(simulated_bars(yesterday, symbols=24, start=yesterday - timedelta(days=DAYS - 1)))
        look_often(home)
        assert sleevegraph("automate", "on", "--home", home.root).exit_code == 0
        variables = os.environ | {
            "PYTHONPATH": str(PROJECT),
            "DAGSTER_HOME": str(home.store.folders.dagster),
            "SLEEVEGRAPH_HOME": str(home.root),
        }
        with daemon(home.root, variables) as log:
            run = wait_for(log, "rebalance began", lambda: at_work(home))
            assert alive(home.instance, run.run_id) is True
            os.kill(worker_of(home, run), signal.SIGKILL)
            run = wait_for(log, "dead worker was noticed", lambda: failed(home, run))
        kinds = [entry.dagster_event_type for entry in home.instance.all_logs(run.run_id)]
        turns = (Type.RUN_ENQUEUED, Type.RUN_START, Type.RUN_FAILURE)
        assert tuple(kind for kind in kinds if kind in turns) == turns
        assert run.tags["dagster/sensor_name"] == "rebalance_sensor"
        assert not (home.store.folders.dagster / "history").exists(), "nothing of it is in SQLite"
        assert PASSWORD not in log.read_text()
        home.close()


def look_often(home: TemporaryHome) -> None:
    settings = home.store.folders.dagster / "dagster.yaml"
    text = settings.read_text()
    assert "poll_interval_seconds: 30" in text
    settings.write_text(text.replace("poll_interval_seconds: 30", "poll_interval_seconds: 2"))


def at_work(home: TemporaryHome) -> dg.DagsterRun | None:
    """The rebalance, once its worker has begun the first step."""
    for run in home.instance.get_runs(dg.RunsFilter(job_name="rebalance")):
        if home.instance.get_records_for_run(run.run_id, of_type=Type.STEP_START, limit=1).records:
            return run
    return None


def worker_of(home: TemporaryHome, run: dg.DagsterRun) -> int:
    (start,) = home.instance.get_records_for_run(run.run_id, of_type=Type.STEP_START, limit=1).records
    process = start.event_log_entry.get_dagster_event().pid
    assert process is not None
    return process


def failed(home: TemporaryHome, run: dg.DagsterRun) -> dg.DagsterRun | None:
    found = home.instance.get_run_by_id(run.run_id)
    return found if found and found.status is dg.DagsterRunStatus.FAILURE else None
