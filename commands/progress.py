"""Run a job in this process with a progress bar where Dagster would print its event log."""

from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sleevegraph.errors import SleevegraphError

_ENDED = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SKIPPED}


def quiet_run(
    defs: dg.Definitions,
    job_name: str,
    assets: Sequence[str] | None,
    instance: dg.DagsterInstance,
    console: Console,
    *,
    partitions: tuple[str, str] | None = None,
) -> None:
    """Run a job, or some assets of it; a failed run is a SleevegraphError that names the first cause."""
    job = defs.resolve_job_def(job_name)
    selection = [dg.AssetKey.from_user_string(asset) for asset in assets] if assets else None
    tags = {}
    if partitions:
        tags = {
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[1],
        }
    run_id = str(uuid4())
    with _bar(console) as progress:
        steps = len(selection) if selection else len(job.graph.node_dict)
        task = progress.add_task(job_name, total=steps, step="")
        instance.add_event_listener(run_id, partial(_show, progress, task))
        result = job.execute_in_process(
            run_id=run_id,
            instance=instance,
            asset_selection=selection,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
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


def _cause(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.is_step_failure]
    if not failures:
        return f"run {result.run_id} failed; see the Dagster UI"
    error = failures[0].step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    message = failures[0].step_failure_data.user_failure_data
    text = message.description if message and message.description else (error.message if error else "")
    step, text = failures[0].step_key, text.strip()
    return text if text.startswith(step.replace("__", "/")) else f"{step}: {text}"
