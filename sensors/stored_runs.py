"""What Dagster's records say of runs: which are in progress, and how often something was tried in vain.

Everything is read anew at every tick, so neither a restart nor a moved clock makes a sensor forget, or do something twice.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg
from dagster._time import get_current_datetime

from jobs.rebalance import IN_PROGRESS, history, ingest
from resources.store import Store
from sleevegraph.alerts import Fact
from sleevegraph.backoff import spoken, wait_left

ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
LOOKED_BACK = 50
"""Runs of one date or day; nobody tries more often."""
NO_RETRY = {"dagster/max_retries": "0"}
"""Tags of a run whose sensor counts its tries: Dagster's own retries would multiply them."""
SENSOR, PARTITION, RUN_KEY = "dagster/sensor_name", "dagster/partition", "dagster/run_key"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RECENT = timedelta(days=1)
"""A run that went well and left undone what it was for was in vain, too; one of longer ago was undone by something else."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often something was tried in vain since it last went well, and when the last one ended."""

    runs: int
    """All of its runs, well or badly ended, or the highest number in their run keys where some were deleted: what tells
    one run key from the next, since the daemon drops a key that any run on record has."""
    in_vain: int
    ended: datetime | None
    run_id: str

    def not_yet(self, now: datetime, delays: Sequence[timedelta]) -> str:
        """Why the next try has to wait; empty when it is due."""
        wait = wait_left(self.in_vain, self.ended, now, delays)
        return f"tried {self.in_vain} times in vain, the next try is in {spoken(wait)}" if wait else ""


def tries(
    instance: dg.DagsterInstance,
    job: str,
    tags: Mapping[str, str],
    in_vain: Callable[[dg.RunRecord], bool],
) -> Tries:
    """Read the runs of a job with these tags, newest first by the order in which they were made, whatever the clock said."""
    wanted = dg.RunsFilter(job_name=job, tags=dict(tags))
    records = instance.get_run_records(wanted, limit=LOOKED_BACK)
    lost = list(takewhile(in_vain, records))
    last = lost[0] if lost else None
    numbers = [record.dagster_run.tags.get(RUN_KEY, "").rpartition(":")[2] for record in records]
    return Tries(
        runs=max([instance.get_runs_count(wanted), *(int(number) for number in numbers if number.isdecimal())]),
        in_vain=len(lost),
        ended=ended_at(last) if last else None,
        run_id=last.dagster_run.run_id if last else "",
    )


def ended_at(record: dg.RunRecord) -> datetime:
    """When a run ended; of one that was put on record by hand, when that was."""
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def ended_badly(record: dg.RunRecord) -> bool:
    """Whether a run failed or was cancelled."""
    return record.dagster_run.status in ENDED_BADLY


def in_vain_lately(now: datetime) -> Callable[[dg.RunRecord], bool]:
    """Whether a run failed, or went well a short while ago and left undone what it was for."""
    return lambda record: ended_badly(record) or abs(now - ended_at(record)) < RECENT


def state_of_runs(instance: dg.DagsterInstance) -> Hashable:
    """What stays the same for as long as no run begins or ends: the one made last, and all that are in progress."""
    newest = [(run.run_id, run.status.value) for run in instance.get_runs(limit=1)]
    going = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
    return (*newest, *sorted(run.run_id for run in going))


def rebalance_in_progress(instance: dg.DagsterInstance) -> str:
    """What is being rebalanced now, by whomever: a date, a range, or some assets; empty when nothing is."""
    apart = {ingest.name, history.name}
    runs = [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if run.job_name not in apart]
    if not runs:
        return ""
    tags = runs[-1].tags
    if RANGE_START in tags:
        return f"the range from {tags[RANGE_START]}"
    return tags.get(PARTITION) or f"run {runs[-1].run_id}"


def ingest_in_progress(instance: dg.DagsterInstance) -> bool:
    """Whether bars are being fetched, by whomever."""
    return instance.get_runs_count(dg.RunsFilter(job_name=ingest.name, statuses=IN_PROGRESS)) > 0


def alert_once(context: dg.SensorEvaluationContext, store: Store, fact: Fact) -> None:
    """Record a fact unless the last one was the same: ticks go on, and say it on the page.

    An outbox that takes nothing stops no rebalance: the tick's log says so, and the next tick tries again.
    """
    told = "|".join(fact.identity)
    if context.cursor == told:
        return
    try:
        store.alerts.record([fact])
    except OSError as error:
        context.log.warning("%s; nobody is told: %s", fact.reason, error)
    else:
        context.update_cursor(told)


@dataclass(slots=True)
class Remembered:
    """The last answer to a question that takes a second, for as long as the same is asked."""

    _answer: dict[Hashable, Any] = field(default_factory=dict)

    def __call__(self, asked: Hashable, answer: Callable[[], Any]) -> Any:
        """Return what was answered, or answer."""
        if asked not in self._answer:
            self._answer.clear()
            self._answer[asked] = answer()
        return self._answer[asked]


def now_of_clock() -> datetime:
    """The time by Dagster's own clock, which is private to it: ticks and partitions go by it, and its tests can stop it."""
    return get_current_datetime()
