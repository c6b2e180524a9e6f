"""Celery's and Dask's processes compute what one process computes; one that dies ends its run, and the next run repairs."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from threading import Thread
from time import sleep

import dagster as dg
import pytest
from celery import Celery
from rich.console import Console

from bench.executors import Contents, decided, differences
from commands.progress import quiet_run
from resources import celery_steps
from resources.folder_broker import folder_settings
from sleevegraph.errors import SleevegraphError
from tests.clusters import (
    REDIS,
    began,
    celery_environment,
    celery_workers,
    dask_environment,
    failing_job,
    failure_of,
    one_sleeve_definitions,
    one_sleeve_job,
    rebuildable,
    redis_broker,
)
from tests.homes import KEYS, TemporaryHome, copied_home, environment, made_home, remove_homes, small_market
from tests.waiting import PATIENCE_SECONDS

KEY = KEYS[0]
UPSTREAM = ["corroboration", "universe", "technical_ratings"]


@pytest.fixture(scope="module")
def _with_bars() -> Iterator[Path]:
    """Root of a home of one sleeve that has its bars, and that nobody has open."""
    home = made_home(one_sleeve_definitions())
    assert home.ingest(small_market()).success
    home.close()
    yield home.root
    shutil.rmtree(home.root)


@pytest.fixture(scope="module")
def expected(_with_bars: Path) -> Iterator[Contents]:
    """What one process decides at KEY."""
    home = copied_home(_with_bars, one_sleeve_definitions())
    assert home.run_one(KEY).success
    yield decided(home.root)
    remove_homes([home])


@pytest.fixture
def other(_with_bars: Path) -> Iterator[TemporaryHome]:
    """A home of one's own with the same bars."""
    home = copied_home(_with_bars, one_sleeve_definitions())
    yield home
    remove_homes([home])


def spread(home: TemporaryHome, assets: list[str] | None = None) -> str:
    """Run the rebalance at KEY with the executor of the environment; what a terminal shows."""
    console = Console(file=StringIO(), force_terminal=True, width=120)
    quiet_run(
        home.defs,
        "rebalance",
        assets,
        home.instance,
        console,
        partitions=(KEY, KEY),
        elsewhere=rebuildable(one_sleeve_job, "rebalance"),
    )
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def newest_run(home: TemporaryHome) -> dg.DagsterRun:
    (run,) = home.instance.get_runs(dg.RunsFilter(job_name="rebalance"), limit=1)
    return run


@pytest.fixture
def broker() -> Iterator[str]:
    """URL of a broker; empty, where there is none, for the folder of the home, which the other tests use."""
    with redis_broker() if REDIS else nullcontext("") as url:
        yield url


@pytest.mark.slow
def test_two_workers_of_celery_decide_what_one_process_decides(
    other: TemporaryHome, expected: Contents, broker: str
) -> None:
    with environment(**celery_environment(other.root, broker)), celery_workers(other.root, broker=broker):
        shown = spread(other)
    assert len(expected) > 40
    assert differences(decided(other.root), expected) == []
    bars = re.findall(r"rebalance .*?(\d+)/(\d+) ", shown)
    assert bars, "a bar that says how many steps are over"
    assert int(bars[-1][0]) > int(bars[-1][1]) / 2
    run = newest_run(other)
    events = other.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    worked = {found[0] for entry in events if (found := re.findall(r'"?([12])@', str(entry.dagster_event)))}
    assert worked == {"1", "2"}
    assert re.findall("celery|redis", str(run.run_config)) == []
    assert list((other.root / "dagster_home").glob("celery/results/*")) == []


@pytest.mark.slow
def test_dask_decides_what_one_process_decides(other: TemporaryHome, expected: Contents) -> None:
    with environment(**dask_environment(other.root)):
        spread(other)
    assert differences(decided(other.root), expected) == []


def test_dask_does_not_begin_what_depends_on_a_failed_step(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    with environment(**dask_environment(home.root)):
        result = dg.execute_job(rebuildable(failing_job), home.instance)
    assert began(home.instance, result.run_id) == {"broken"}
    assert "planted" in failure_of(home.instance, result.run_id)


def kill_when_a_step_begins(home: TemporaryHome, worker: "subprocess.Popen[bytes]") -> None:
    while not home.instance.get_runs(dg.RunsFilter(job_name="rebalance")) or not home.instance.all_logs(
        newest_run(home).run_id, of_type=dg.DagsterEventType.STEP_START
    ):
        sleep(0.02)
    os.killpg(worker.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_its_run_with_the_reason_and_the_next_run_repairs(
    other: TemporaryHome, expected: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_steps, "LOST_SECONDS", 4.0)
    monkeypatch.setattr(celery_steps, "ASK_SECONDS", 1.0)
    with environment(**celery_environment(other.root)):
        with celery_workers(other.root, 1) as (worker,):
            killer = Thread(target=kill_when_a_step_begins, args=(other, worker))
            killer.start()
            with pytest.raises(SleevegraphError, match=r"expected a worker of Celery to compute \w+, found that"):
                spread(other, UPSTREAM)
            killer.join()
        assert newest_run(other).status is dg.DagsterRunStatus.FAILURE
        monkeypatch.setattr(celery_steps, "LOST_SECONDS", 60.0)
        with celery_workers(other.root, 1):
            spread(other, UPSTREAM)
    made = {path for path in expected if path.split("/")[1] in UPSTREAM and path.startswith("lake/")}
    found = decided(other.root)
    assert len(made) == len(UPSTREAM)
    assert {path: found[path] for path in made} == {path: expected[path] for path in made}


def test_each_message_of_a_folder_is_taken_once_and_whole(tmp_path: Path) -> None:
    app = Celery("messages", broker_connection_retry=False)
    app.config_from_object(folder_settings(tmp_path))
    sent, taken = 300, []

    def take() -> None:
        with app.connection_for_read() as connection, connection.SimpleQueue("work") as queue:
            while len(taken) < sent:
                try:
                    message = queue.get(timeout=0.2)
                except queue.Empty:
                    continue
                taken.append(message.payload["number"])
                message.ack()

    readers = [Thread(target=take) for _ in range(3)]
    with app.connection_for_write() as connection, connection.SimpleQueue("work") as queue:
        for reader in readers:  # after the queue is there: kombu knows its queues by process, not by thread
            reader.start()
        for number in range(sent):
            queue.put({"number": number, "text": "x" * 20_000})
    for reader in readers:
        reader.join(PATIENCE_SECONDS)
    assert sorted(taken) == list(range(sent))
    assert list((tmp_path / "messages").iterdir()) == list((tmp_path / "taken").iterdir()) == []
