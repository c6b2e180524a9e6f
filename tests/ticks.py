"""One tick of a sensor at a moment of our choosing, and runs as they are on record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.test_utils import freeze_time

from tests.homes import TemporaryHome


def moment(text: str) -> datetime:
    """A moment in UTC: a day means noon."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def tick(
    home: TemporaryHome, sensor: str, at: str, cursor: str | None = None
) -> tuple[list[dg.RunRequest], str, str | None]:
    """What a sensor asks for, what it says where it asks for nothing, and its cursor."""
    with freeze_time(moment(at)):
        built = dg.build_sensor_context(
            instance=home.instance, definitions=home.defs, resources={"store": home.store}, cursor=cursor
        )
        with built as context:
            evaluated = home.defs.resolve_sensor_def(sensor).evaluate_tick(context)
    assert evaluated.run_requests is not None
    return list(evaluated.run_requests), evaluated.skip_message or "", context.cursor


def on_record(
    home: TemporaryHome,
    status: dg.DagsterRunStatus,
    ended: str,
    *,
    job: str = "rebalance",
    **tags: str,
) -> str:
    """A run as Dagster has it on record: it started a minute before it ended, or is still going on."""
    at = moment(ended)
    with freeze_time(at - timedelta(minutes=1)):
        run = home.instance.add_run(dg.DagsterRun(job_name=job, tags={f"dagster/{key}": tags[key] for key in tags}))
        report(home, run, dg.DagsterEventType.RUN_START)
    events: dict[Any, dg.DagsterEventType] = {
        dg.DagsterRunStatus.SUCCESS: dg.DagsterEventType.RUN_SUCCESS,
        dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterRunStatus.CANCELED: dg.DagsterEventType.RUN_CANCELED,
    }
    with freeze_time(at):
        if status in events:
            report(home, run, events[status])
    return run.run_id


def report(home: TemporaryHome, run: dg.DagsterRun, event: dg.DagsterEventType) -> None:
    """Let Dagster note an event of a run now."""
    home.instance.report_dagster_event(dg.DagsterEvent(event.value, run.job_name), run.run_id)
