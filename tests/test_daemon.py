"""A home that runs itself under the real daemon, with bars up to yesterday."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState

from resources.grid import GRID
from sleevegraph.simulated_market import simulated_bars
from tests.command_homes import sleevegraph
from tests.homes import TemporaryHome, small_market

PROJECT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
DAYS = small_market()["date"].n_unique()
PATIENCE_SECONDS = 240
"""Far more than it takes, for machines that are busy with something else."""

DONE = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)


@contextmanager
def daemon(root: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """Run the daemon, and end it with everything that it has started."""
    log = root / "daemon.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [SCRIPTS / "dagster-daemon", "run", "-w", "workspace.yaml"],
            cwd=PROJECT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_a_run(home: TemporaryHome, log: Path) -> dg.DagsterRun:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for run in home.instance.get_runs(dg.RunsFilter(job_name="rebalance")):
            if run.status in DONE:
                return run
        time.sleep(0.5)
    pytest.fail(f"no run of the rebalance job ended within {PATIENCE_SECONDS} s: {log.read_text()[-3000:]}")


def wait_for_freshness(home: TemporaryHome, path: list[str]) -> FreshnessState:
    """What the page shows of an asset as soon as the daemon knows of its materialisation."""
    key, until = dg.AssetKey(path), time.monotonic() + PATIENCE_SECONDS
    state = FreshnessState.UNKNOWN
    while state is FreshnessState.UNKNOWN and time.monotonic() < until:
        records = home.instance.get_freshness_state_records([key])
        state = records[key].freshness_state if key in records else state
        time.sleep(0.5)
    return state


@pytest.mark.slow
def test_the_daemon_runs_the_newest_rebalance_exactly_once(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    yesterday = datetime.now(tz=UTC).date() - timedelta(days=1)
    bars = simulated_bars(yesterday, symbols=24, start=yesterday - timedelta(days=DAYS - 1))
    assert home.ingest(bars).success
    due = GRID.get_last_partition_key()
    variables = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "DAGSTER_HOME": str(home.store.folders.dagster),
        "SLEEVEGRAPH_HOME": str(home.root),
        "FRESHNESS_DAEMON_INTERVAL_SECONDS": "5",
    }
    assert sleevegraph("automate", "on", "--home", home.root).exit_code == 0
    with daemon(home.root, variables) as log:
        run = wait_for_a_run(home, log)
        late = wait_for_freshness(home, ["certification_board"])
        said = sleevegraph("automate", "status", "--home", home.root).stdout
    if GRID.get_last_partition_key() != due:
        pytest.skip("midnight passed, and with it a rebalance date")
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/partition"] == due
    assert run.tags["dagster/run_key"] == f"rebalance:{due}:1"
    assert run.tags["dagster/sensor_name"] == "rebalance_sensor"
    assert late is FreshnessState.PASS
    assert "daemon                   alive" in said
    assert "no tick yet" not in said
    assert len(home.instance.get_runs(dg.RunsFilter(job_name="rebalance"))) == 1
    for meta in ("meta_benchmark", "meta_crypto_only", "meta_fractal", "meta_ma_benchmark"):
        book = (meta, "flattened_weights")
        assert home.store.lake.partitions(book) == [due]
        assert home.standing(book, str(due)) == "OK"
        assert home.receipt(book, "conservation", str(due)).passed
