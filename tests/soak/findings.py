"""What must hold of the runs of a soak, as a function of what was recorded of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from resources.run_history import IN_PROGRESS
from tests.soak.exchange import at

_PARTITION = "dagster/partition"
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_TOLERANCE = timedelta(seconds=2)
"""The driver's clock is rounded to whole seconds."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the job `rebalance`, by the clock of the desk."""

    run_id: str
    first: date
    last: date
    status: dg.DagsterRunStatus
    started: datetime | None
    is_range: bool
    """Whether it decides past rebalances anew, after a revision."""


def ran(instance: dg.DagsterInstance, day: date | None = None) -> list[Ran]:
    """Runs of the job `rebalance` in the order in which they were made: all, or those of one date alone."""
    tags = {_PARTITION: str(day)} if day else {}
    records = instance.get_run_records(dg.RunsFilter(job_name="rebalance", tags=tags))
    return [_ran(record) for record in reversed(records)]


def _ran(record: dg.RunRecord) -> Ran:
    tags = record.dagster_run.tags
    started = datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None
    first = tags.get(_PARTITION) or tags[_FIRST]
    last = tags.get(_PARTITION) or tags[_LAST]
    run = record.dagster_run
    return Ran(run.run_id, date.fromisoformat(first), date.fromisoformat(last), run.status, started, _FIRST in tags)


def findings(runs: Sequence[Ran], dates: Sequence[date], published: Mapping[date, datetime]) -> list[str]:
    """Every breach of: each date exactly once, in order, none early, nothing left over; empty when all is well.

    `published` says when the bars of each day came. Ranges after a revision are apart: none may be early or left over.
    """
    good = [run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS and not run.is_range]
    times = Counter(run.first for run in good)
    found = [f"MISSING {day}: expected one run that went well, found none" for day in dates if not times[day]]
    found += [f"AGAIN {day}: expected one run that went well, found {n}" for day, n in times.items() if n > 1]
    found += [f"UNKNOWN {day}: not a rebalance of these years" for day in times if day not in set(dates)]
    if [run.first for run in good] != sorted(run.first for run in good):
        found.append(f"ORDER: expected dates in order, found {[str(run.first) for run in good]}")
    found += [f"UNFINISHED {run.first}: run {run.run_id} is {run.status}" for run in runs if run.status in IN_PROGRESS]
    return found + [line for run in runs for line in _early(run, published)]


def _early(run: Ran, published: Mapping[date, datetime]) -> list[str]:
    """A rebalance at P is due when P is over, and rests on bars up to the day before P."""
    if run.started is None:
        return []
    needed, due = run.last - timedelta(days=1), at(run.last + timedelta(days=1))
    came = published.get(needed)
    found = [] if run.started >= due else [f"EARLY {run.last}: due {due}, started {run.started}"]
    if came is None or run.started < came - _TOLERANCE:
        found.append(f"EARLY {run.last}: bars of {needed} came {came or 'never'}, started {run.started}")
    return found
