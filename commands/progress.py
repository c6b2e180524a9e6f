"""Run a job with a progress bar where Dagster would print its event log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sleevegraph.errors import SleevegraphError

STARTED_BY = "sleevegraph/started_by"
"""Tag of a run that other processes compute: an id by which its events are found."""
POLL_SECONDS = 0.5

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ENDED = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SKIPPED}


def quiet_run(
    defs: dg.Definitions,
    job_name: str,
    assets: Sequence[str] | None,
    instance: dg.DagsterInstance,
    console: Console,
    *,
    partitions: tuple[str, str] | None = None,
    elsewhere: Any = None,
) -> None:
    """Run a job, or some assets of it; a failed run is a SleevegraphError that names the first cause.

    It runs in this process, or, where the same job is given as one that other processes can build, by its executor.
    """
    job = defs.resolve_job_def(job_name)
    selection = [dg.AssetKey.from_user_string(asset) for asset in assets] if assets else None
    tags = {"dagster/max_runtime": "0"}  # the daemon's limit is for runs that nobody watches
    if partitions:
        first, last = partitions
        tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    run_id = str(uuid4())
    with _bar(console) as progress:
        steps = len(selection) if selection else len(job.graph.node_dict)
        task = progress.add_task(job_name, total=steps, step="")
        if elsewhere is None:
            instance.add_event_listener(run_id, partial(_show, progress, task))
            result = job.execute_in_process(
                run_id=run_id,
                instance=instance,
                asset_selection=selection,
                tags=tags,
                raise_on_error=False,
                run_config=_QUIET,
            )
        else:
            tags[STARTED_BY] = run_id
            with _polled(instance, run_id, progress, task):
                result = dg.execute_job(elsewhere, instance, asset_selection=selection, tags=tags, run_config=_QUIET)
    if not result.success:
        raise SleevegraphError(_cause(result))


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}"),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show(progress: Progress, task: TaskID, entry: dg.EventLogEntry) -> None:
    """Move the bar as Dagster stores an event."""
    event = entry.dagster_event
    if event is not None and event.event_type is dg.DagsterEventType.STEP_START:
        progress.update(task, step=event.step_key)
    elif event is not None and event.event_type in _ENDED:
        progress.advance(task)


@contextmanager
def _polled(instance: dg.DagsterInstance, mark: str, progress: Progress, task: TaskID) -> Iterator[None]:
    """Move the bar as other processes store events, which Dagster tells nobody of."""
    if progress.disable:
        yield
        return
    over = Event()

    def poll() -> None:
        shown = 0
        while not over.wait(POLL_SECONDS):
            for run in instance.get_runs(dg.RunsFilter(tags={STARTED_BY: mark}), limit=1):
                events = instance.all_logs(run.run_id, of_type={dg.DagsterEventType.STEP_START, *_ENDED})
                for entry in events[shown:]:
                    _show(progress, task, entry)
                shown = len(events)

    thread = Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cause(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> str:
    failures = [event for event in result.all_events if event.is_step_failure]
    if not failures:
        return _cause_of_run(result)
    error = _first(failures[0].step_failure_data.error)
    message = failures[0].step_failure_data.user_failure_data
    text = message.description if message and message.description else (error.message if error else "")
    step, text = failures[0].step_key, text.strip()
    return text if text.startswith(step.replace("__", "/")) else f"{step}: {text}"


def _cause_of_run(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> str:
    """Why a run failed of which no step did, such as one that found nobody to compute it."""
    for event in result.all_events:
        if event.is_job_failure and event.job_failure_data.error is not None:
            return _first(event.job_failure_data.error).message.strip()
    return f"run {result.run_id} failed; see the Dagster UI"


def _first(error: Any) -> Any:
    """The error that the others were raised from."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error
