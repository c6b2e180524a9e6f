"""Runs and gates that failed become facts, and facts become messages."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from resources.deliveries import Deliveries
from resources.notifier import said, send_waiting
from resources.store import SIMULATED, Store, is_simulated
from sleevegraph.alerts import Fact, Kind

PAGE = 500
"""Events read at once."""
BUDGET_SECONDS = 15.0
"""That a tick reads events of one type; what is left is read in the next one. Dagster ends a tick after 60."""
SETTLED_SECONDS = 5.0
"""Writers that run at once may store an event after one with a higher number: a younger event is left for the next tick."""
FIGURES = 12
"""Of a verdict, that are kept with the fact."""
BLOCKED = "ERROR BLOCKED"
"""How the finding of a gate begins that only hands on what an earlier one refused."""
ENDED = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)

Event = tuple[int, dg.EventLogEntry]


def alert_sensors() -> list[dg.SensorDefinition]:
    """Return the sensors of runs, of gates, and of what still waits to be sent."""
    return [
        _sensor("run_failure_alerts", "Runs that failed or were cancelled become facts, and messages.", _of_runs),
        _sensor("check_failure_alerts", "Gates that failed become facts, and messages.", _of_gates),
        _sensor("alert_sender", "Sends the facts that wait, and tries again where a channel failed.", _nothing),
    ]


Facts = Callable[[dg.SensorEvaluationContext, "Cursor"], Iterator[list[Fact]]]
Cursor = dict[str, tuple[int, float]]
"""Number and time of the last event that was looked at, by its type; -1 where there was none."""


def _sensor(name: str, description: str, facts: Facts) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        description=description,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult:
        cursor = _cursor(context.cursor)
        found = new = 0
        for page in facts(context, cursor):
            # Kept before the cursor moves: a tick that dies reads again, and a fact that is there is only counted.
            found, new = found + len(page), new + store.alerts.record(page)
        note = f"SIMULATED: {SIMULATED}" if is_simulated(store.folders) else ""
        outcomes = send_waiting(store.alerts, datetime.now(UTC), note)
        waiting = Deliveries(store.alerts).waiting() if store.alerts.file.exists() else 0
        read = f"{found} facts, {new} of them new; " if cursor else ""
        return dg.SensorResult(
            skip_reason=read + said(outcomes, waiting), cursor=json.dumps(cursor, sort_keys=True) if cursor else None
        )

    return sensor


def _nothing(_context: dg.SensorEvaluationContext, _cursor: Cursor) -> Iterator[list[Fact]]:
    return iter(())


def _of_runs(context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[list[Fact]]:
    for kind in ENDED:
        for page in _pages(context, kind, cursor):
            wanted = dg.RunsFilter(run_ids=[entry.run_id for _, entry in page])
            runs = {run.run_id: run for run in context.instance.get_runs(wanted)}
            yield [_run_fact(entry, runs.get(entry.run_id)) for _, entry in page]


def _of_gates(context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[list[Fact]]:
    for page in _pages(context, dg.DagsterEventType.ASSET_CHECK_EVALUATION, cursor):
        yield [fact for _, entry in page for fact in _gate_facts(entry)]


def _pages(context: dg.SensorEvaluationContext, kind: dg.DagsterEventType, cursor: Cursor) -> Iterator[list[Event]]:
    """Yield the events of one type after the cursor, and move it behind each page that was used.

    The first time, those since the sensor was turned on: history is not news. Where the last one is gone, those since its time: of
    runs that were deleted, Dagster gives the numbers to the next ones.
    """
    log, until = context.instance.event_log_storage, time.monotonic() + BUDGET_SECONDS
    if kind.value not in cursor:
        cursor[kind.value] = _before(log, kind, context.last_sensor_start_time or time.time())
    elif not _is_there(log, kind, *cursor[kind.value]):
        cursor[kind.value] = _before(log, kind, cursor[kind.value][1])
    more = True
    while more and time.monotonic() < until:
        read = list(log.get_logs_for_all_runs_by_log_id(cursor[kind.value][0], kind, PAGE).items())
        page = list(_settled(read, time.time()))
        more = len(page) == PAGE
        if page:
            yield page
            cursor[kind.value] = page[-1][0], page[-1][1].timestamp


def _settled(events: Sequence[Event], now: float) -> Iterator[Event]:
    """Events up to the first that is too young; one of the far future, which a clock that was set back leaves, is not."""
    for number, entry in events:
        if abs(now - entry.timestamp) < SETTLED_SECONDS:
            return
        yield number, entry


def _cursor(text: str | None) -> Cursor:
    """Of the last tick; where it cannot be read, none: facts are counted again rather than lost."""
    try:
        return {kind: (int(number), float(at)) for kind, (number, at) in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _is_there(log: Any, kind: dg.DagsterEventType, number: int, at: float) -> bool:
    """Whether an event is still the one that had this number; before the first one, nothing can be gone."""
    if number < 0:
        return True
    following = log.get_logs_for_all_runs_by_log_id(number - 1, kind, 1)
    return any((found, entry.timestamp) == (number, at) for found, entry in following.items())


def _before(log: Any, kind: dg.DagsterEventType, when: float) -> tuple[int, float]:
    """The last event of one type before `when`, found by halving: a long history is not read."""
    low, at, high = -1, 0.0, log.get_maximum_record_id() or 0
    while low < high:
        middle = (low + high) // 2
        following = log.get_logs_for_all_runs_by_log_id(middle, kind, 1)
        number, entry = next(iter(following.items()), (high + 1, None))
        if entry is None or entry.timestamp >= when:
            high = middle
        else:
            low, at = number, entry.timestamp
    return low, at


def _run_fact(entry: dg.EventLogEntry, run: dg.DagsterRun | None) -> Fact:
    event = entry.get_dagster_event()
    tags = run.tags if run else {}
    first, last = (tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
    return Fact(
        kind=Kind.RUN_FAILED,
        name=entry.job_name or (run.job_name if run else "unknown job"),
        reason=_cause(event),
        at=datetime.fromtimestamp(entry.timestamp, UTC),
        partition=tags.get("dagster/partition", "") or (f"{first}…{last}" if first != last else first),
        run_id=entry.run_id,
    )


def _cause(event: dg.DagsterEvent) -> str:
    """What the first step that failed said, else what Dagster says of the run."""
    if event.event_type == dg.DagsterEventType.RUN_CANCELED:
        return f"expected the run to end, found it cancelled: {event.message or 'by somebody'}"
    data: Any = event.event_specific_data
    step = getattr(data, "first_step_failure_event", None)
    failure = step.step_failure_data if step else None
    if failure and failure.user_failure_data and failure.user_failure_data.description:
        return f"{step.step_key}: {failure.user_failure_data.description}"
    error = failure.error if failure else getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    said_of_it = error.message if error is not None else event.message or "no reason was recorded"
    return f"{step.step_key}: {said_of_it}" if step else said_of_it


def _gate_facts(entry: dg.EventLogEntry) -> Iterator[Fact]:
    """A fact of a verdict that stops somebody; a warning is for the page alone."""
    verdict = entry.get_dagster_event().asset_check_evaluation_data
    if verdict.passed or verdict.severity != dg.AssetCheckSeverity.ERROR:
        return
    reason = verdict.description or "failed without a finding"
    yield Fact(
        kind=Kind.CHECK_BLOCKED if reason.startswith(BLOCKED) else Kind.CHECK_FAILED,
        name=verdict.check_name,
        reason=reason,
        at=datetime.fromtimestamp(entry.timestamp, UTC),
        asset="/".join(verdict.asset_key.path),
        partition=verdict.partition or "",
        run_id=entry.run_id,
        figures=_figures(verdict.metadata),
    )


def _figures(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """The numbers of a verdict, the first few."""
    numbers = {name: value.value for name, value in metadata.items() if isinstance(value.value, int | float)}
    return dict(list(numbers.items())[:FIGURES])
