"""What may be pruned: partitions that nothing reads any more, and runs of which nothing newer is shown."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sleevegraph.calendar import STEP_DAYS

NEWEST_KEPT = 3
"""Rebalances that keep everything, whatever their age: reports look at the one before, ledgers at what it decided."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rebalances of one asset that may go, and those that are old enough but have to stay."""

    removable: list[str]
    unproven: list[str]
    """No bundle vouches for what was decided there."""


def needed_since(cut: date, stored: Sequence[str], in_force: Iterable[date], reach: int) -> date:
    """Return the oldest rebalance that has to stay.

    Parameters
    ----------
    cut
        Everything from here on stays.
    stored
        Rebalances that are stored, ascending.
    in_force
        Rebalances whose decisions are in force.
    reach
        Steps back on the grid that a rebalance which stays reads, or that a verdict on it rests on; 0 where only the own
        rebalance reads.
    """
    newest = [date.fromisoformat(key) for key in stored[-NEWEST_KEPT:]]
    return min([cut, *newest, *in_force]) - timedelta(days=reach * STEP_DAYS)


def split(stored: Sequence[str], since: date, proven: Mapping[str, bool], reach: int) -> Split:
    """Divide what is older than `since` by whether the bundle of its rebalance is `proven`.

    Only what lies before the first unproven one, and before what that reads, may go. Those that stay follow one another
    without a hole: a window would count it as a failure, and what is older than all that are stored is known to be pruned.
    """
    old = [key for key in stored if key < str(since)]
    unproven = [key for key in old if not proven.get(key, False)]
    first = str(date.fromisoformat(unproven[0]) - timedelta(days=reach * STEP_DAYS)) if unproven else str(since)
    return Split([key for key in old if key < first], [key for key in old if key >= first])


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that is over."""

    run_id: str
    ended: datetime


Told = Mapping[tuple[str, ...], str]
"""Run by what it was the last to tell of: kind of event, asset or check, and last the partition, empty without any."""


def removable_runs(runs: Iterable[EndedRun], newest_told: Told, cut: datetime, kept: Collection[str]) -> list[str]:
    """Return the runs that ended before `cut` and of which a page needs nothing.

    A page needs the newest event of a partition from `cut` on, of one of the rebalances `kept`, and of an asset without
    partitions.
    """
    needed = {
        run
        for (*_, partition), run in newest_told.items()
        if _last_day(partition) >= str(cut.date()) or partition in kept
    }
    return [run.run_id for run in runs if run.ended < cut and run.run_id not in needed]


def _last_day(partition: str) -> str:
    """Of a day itself, of a month its end; what has no partition never ends."""
    if not partition:
        return "9999-12-31"
    return f"{partition}-31" if len(partition) == len("2024-01") else partition
