"""The run queue at work: two rebalances, a range of others and an ingest are in it when the daemon looks for the first time."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pytest
from dagster import DagsterEventType as Type
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from jobs.rebalance import PRIORITY
from sensors.stored_runs import NO_RETRY, PARTITION, RANGE_END, RANGE_START
from tests.crash.aftermath import leftovers, outcome
from tests.homes import KEYS, TemporaryHome, small_market
from tests.soak.desk import CODE, DAEMON, LOCATION, PROJECT, Desk
from tests.waiting import until

MODULE = "tests.small"
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
OF_SENSOR = {**NO_RETRY, PRIORITY: "5"}
OF_REVISION = {**NO_RETRY, PRIORITY: "-5", RANGE_START: KEYS[2], RANGE_END: KEYS[3]}


class Ran(NamedTuple):
    """A run from its launch, since when it holds its lane, to its end; seconds."""

    name: str
    launched: float
    ended: float


def overlaps(runs: Sequence[Ran]) -> list[tuple[str, str]]:
    """Names of any two runs that were in progress at the same time, the earlier launch first."""
    in_order = sorted(runs, key=lambda run: run.launched)
    return [(one.name, other.name) for one, other in combinations(in_order, 2) if other.launched < one.ended]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([Ran("a", 0, 1), Ran("b", 1, 2), Ran("c", 5, 6)], []),
        ([Ran("b", 0.9, 2), Ran("a", 0, 1)], [("a", "b")]),
        ([Ran("a", 0, 9), Ran("b", 1, 2), Ran("c", 8, 10)], [("a", "b"), ("a", "c")]),
    ],
)
def test_runs_that_overlap_are_found_in_made_up_times(runs: list[Ran], expected: list[tuple[str, str]]) -> None:
    assert overlaps(runs) == expected


@pytest.mark.slow
def test_rebalances_a_range_and_an_ingest_in_the_queue_neither_mix_nor_starve(
    home: TemporaryHome, new_home: Callable[[], TemporaryHome]
) -> None:
    at_once = new_home()
    at_once.ingest(small_market().filter(pl.col("date") < pl.date(2022, 3, 11)))
    small_market().write_parquet(at_once.root / "source" / "bars.parquet")  # what the ingest finds: five days more
    ran = run_through_the_queue(
        at_once,
        {
            "range": ("rebalance", OF_REVISION),
            "first": ("rebalance", OF_SENSOR | {PARTITION: KEYS[0]}),
            "second": ("rebalance", OF_SENSOR | {PARTITION: KEYS[1]}),
            "ingest": ("ingest", NO_RETRY),
        },
    )
    grid = [ran[name] for name in ("first", "second", "range")]
    assert overlaps(grid) == [], "one rebalance continues the records of the one before"
    assert [run.name for run in sorted(grid, key=lambda run: run.launched)] == ["first", "second", "range"]
    assert overlaps([ran["ingest"], ran["first"]]), "bars do not wait for the grid, nor the grid for bars"
    assert ran["ingest"].launched < ran["second"].launched
    assert leftovers(at_once.root) == []
    assert outcome(at_once.root) == outcome(home.root)


def run_through_the_queue(home: TemporaryHome, asked: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, Ran]:
    """Ask for runs, each a job with tags, before any process is there to launch them; when each of them ran, by its name."""
    variables = {
        "PYTHONPATH": str(PROJECT),
        "DAGSTER_HOME": str(home.store.folders.dagster),
        "SLEEVEGRAPH_HOME": str(home.root),
    }
    desk = Desk(home.root, variables, MODULE)
    runs = {name: submit(home, *job) for name, job in asked.items()}
    try:
        desk.start(CODE)
        desk.start(DAEMON)
        return {name: until(partial(ended, home, desk, name, run), f"end of {name}") for name, run in runs.items()}
    finally:
        desk.close()


def submit(home: TemporaryHome, job: str, tags: Mapping[str, str]) -> str:
    """Put a run of a job into the queue as sensors do: with the job's own tags beside those that are asked for; its id."""
    definition = home.defs.resolve_job_def(job)
    server = GrpcServerCodeLocationOrigin("localhost", socket=str(home.root / "code.sock"), location_name=LOCATION)
    code = ReconstructableRepository.for_module(MODULE, "defs", str(PROJECT)).get_reconstructable_job(job)
    run = home.instance.create_run_for_job(
        definition,
        tags={**definition.run_tags, **tags},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), job),
        job_code_origin=code.get_python_origin(),
    )
    workspace: Any = None  # the queue asks for the daemon's own when it launches
    home.instance.submit_run(run.run_id, workspace)
    return run.run_id


def ended(home: TemporaryHome, desk: Desk, name: str, run_id: str) -> Ran | None:
    """When a run ran, once it has ended well."""
    desk.require_alive()
    (record,) = home.instance.get_run_records(dg.RunsFilter([run_id]))
    if record.dagster_run.status not in ENDED:
        return None
    assert record.dagster_run.status is dg.DagsterRunStatus.SUCCESS, f"{name}: {desk.said(CODE)}"
    times = {entry.dagster_event_type: entry.timestamp for entry in home.instance.all_logs(run_id)}
    return Ran(name, times[Type.RUN_STARTING], times[Type.RUN_SUCCESS])
