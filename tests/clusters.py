"""Workers of Celery in processes of their own, for a home."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from definitions import build_definitions
from resources.executors import CELERY, DASK, EXECUTOR_VARIABLE, chosen_executor
from resources.home import HOME_VARIABLE, Home
from sleevegraph.manifest import Manifest
from tests.homes import LONG, small_manifest

PROJECT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 60
REDIS = shutil.which("redis-server")


def celery_environment(root: Path, broker: str = "") -> dict[str, str]:
    """What runs and workers of a home need; without a broker's URL with a folder as broker."""
    url = broker or f"filesystem://{Home(root).dagster / 'celery'}"
    return of_home(root) | {EXECUTOR_VARIABLE: CELERY, "SLEEVEGRAPH_BROKER": url, "PYTHONPATH": str(PROJECT)}


@contextmanager
def redis_broker() -> Iterator[str]:
    """URL of a Redis server with a password, in memory alone, that ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "of-redis"]
    with subprocess.Popen([str(REDIS), *options], stdout=subprocess.DEVNULL) as server:
        try:
            yield f"redis://:of-redis@127.0.0.1:{port}/0"  # whoever connects at once tries again
        finally:
            server.terminate()


def dask_environment(root: Path) -> dict[str, str]:
    """What runs of a home need for a cluster on this machine, whose workers inherit it."""
    return of_home(root) | {EXECUTOR_VARIABLE: DASK}


def of_home(root: Path) -> dict[str, str]:
    """What names a home."""
    return {HOME_VARIABLE: str(root), "DAGSTER_HOME": str(Home(root).dagster)}


@contextmanager
def celery_workers(root: Path, count: int = 2, broker: str = "") -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start workers of a home, and end those that are left."""
    Home(root).dagster.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        yield [stack.enter_context(celery_worker(root, number, broker)) for number in range(1, count + 1)]


@contextmanager
def celery_worker(root: Path, number: int, broker: str) -> Iterator[subprocess.Popen[bytes]]:
    """One worker, in a session of its own so that all of it can be ended; what it says is in `worker_N.log` of the home."""
    command = [sys.executable, "-m", "celery", "-A", "resources.celery_worker", "worker", "-n", f"{number}@%h"]
    with (root / f"worker_{number}.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "-l", "WARNING"],
            env=os.environ | celery_environment(root, broker),
            cwd=PROJECT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@cache
def one_sleeve_definitions(_executor: str = "") -> dg.Definitions:
    """The long sleeve of the small manifest alone: half the steps."""
    whole = small_manifest()
    return build_definitions(
        Manifest(market=whole.market, sleeves=tuple(s for s in whole.sleeves if s.name == LONG), metas=())
    )


def one_sleeve_job(name: str, executor: str) -> dg.JobDefinition:
    """A job of one sleeve with the executor of the environment, as any process can build it.

    Dagster remembers by its arguments what was built, so the executor is one of them.
    """
    return one_sleeve_definitions(executor).resolve_job_def(name)


def rebuildable(function: Callable[..., dg.JobDefinition], *arguments: str) -> Any:
    """A job that a function of this module makes, for other processes."""
    named = (*arguments, os.environ.get(EXECUTOR_VARIABLE, ""))
    return dg.build_reconstructable_job(
        __name__, function.__name__, named, reconstructor_working_directory=str(PROJECT)
    )


def failing_job(_executor: str) -> dg.JobDefinition:
    """Two assets, the first of which fails."""

    @dg.asset
    def broken() -> None:
        raise ValueError("planted")

    @dg.asset(deps=[broken])
    def below() -> None:
        pass

    job = dg.define_asset_job("failing", [broken, below])
    return dg.Definitions(assets=[broken, below], jobs=[job], executor=chosen_executor()).resolve_job_def("failing")


def began(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    """Steps of a run that somebody began."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
    return {str(entry.dagster_event.step_key) for entry in events if entry.dagster_event}


def failure_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a run failed, or the first of its steps."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for entry in instance.all_logs(run_id, of_type=kind):
            data: Any = entry.dagster_event and entry.dagster_event.event_specific_data
            if data and data.error:
                return str(data.error.to_string())
    return ""
