"""Run a job in this process with a progress bar where Dagster would print its event log."""

import logging
from collections.abc import Sequence

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sleevegraph.errors import SleevegraphError


class _Steps(logging.Handler):
    """Counts finished steps from Dagster's own events."""

    def __init__(self, progress: Progress, task: int) -> None:
        super().__init__()
        self.progress = progress
        self.task = task

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None:
            return
        if event.event_type_value == "STEP_START":
            self.progress.update(self.task, step=event.step_key)
        if event.event_type_value in {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}:
            self.progress.advance(self.task)


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
    selection = [dg.AssetKey(asset) for asset in assets] if assets else None
    tags = {}
    if partitions:
        tags = {
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[1],
        }
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        steps = len(selection) if selection else len(job.graph.node_dict)
        task = progress.add_task(job_name, total=steps, step="")
        logger = logging.getLogger("sleevegraph.progress")
        handler = _Steps(progress, task)
        logger.handlers = [handler]
        result = job.execute_in_process(
            instance=instance,
            asset_selection=selection,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise SleevegraphError(_cause(result))


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
