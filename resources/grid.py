"""The one partition grid of Dagster, and how it travels between Dagster's processes.

Dagster sends the partitions of every asset and every check along with them, and a daily grid minus the days that are no
rebalance is 255 kB: 400 assets and checks are beyond what its processes accept of one another (100 MB), and the page
takes seconds long before. Here the grid travels as its first and last day, and who receives it makes the exclusions anew. Every
process of Dagster that opens a home imports this, since `dagster.yaml` names resources/dagster_storage.py (in homes from
before: resources/event_log.py).

Private to Dagster: `TimeWindowPartitionsSnap.from_def`, which has no other door, and its fields.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache

import dagster as dg
from dagster._core.definitions.partitions.snap import TimeWindowPartitionsSnap
from dagster._record import record
from dagster._serdes import whitelist_for_serdes

from sleevegraph.calendar import HORIZON, START, STEP_DAYS


class Grid(dg.DailyPartitionsDefinition):
    """A daily grid that remembers its hash, which Dagster asks for thousands of times in a range run.

    The stock answer walks all of its 3,000 exclusions, 3 ms each time.
    """

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@lru_cache(maxsize=4)
def build_grid(start: date, horizon: date) -> Grid:
    """Daily windows from `start` minus every day that is no rebalance date, up to `horizon`.

    Each excluded day is listed rather than described by cron strings, since keys are looked up 4 to 10 times faster, which a
    range run does thousands of times.
    """
    days = range((horizon - start).days)
    return Grid(
        start_date=datetime.combine(start, time()),
        end_date=datetime.combine(horizon, time()),
        exclusions=[datetime.combine(start + timedelta(days=i), time()) for i in days if i % STEP_DAYS],
    )


@whitelist_for_serdes
@record
class GridSnap(TimeWindowPartitionsSnap):
    """A grid as Dagster's processes exchange it: without its exclusions."""

    def get_partitions_definition(self) -> dg.TimeWindowPartitionsDefinition:
        """Make the grid again, of the stock class: no other one may be stored with a run."""
        if self.end is None:
            raise ValueError("grid: expected an end, found none")
        return _plain(*(datetime.fromtimestamp(moment, UTC).date() for moment in (self.start, self.end)))


_stock = TimeWindowPartitionsSnap.from_def


@lru_cache(maxsize=4)
def _plain(start: date, horizon: date) -> dg.TimeWindowPartitionsDefinition:
    return _stock(build_grid(start, horizon)).get_partitions_definition()


def _from_def(partitions_def: dg.TimeWindowPartitionsDefinition) -> TimeWindowPartitionsSnap:
    snap = _stock(partitions_def)
    if not _is_grid(partitions_def):
        return snap
    return GridSnap(
        start=snap.start,
        timezone=snap.timezone,
        fmt=snap.fmt,
        end_offset=snap.end_offset,
        end=snap.end,
        cron_schedule=snap.cron_schedule,
    )


def _is_grid(partitions_def: dg.TimeWindowPartitionsDefinition) -> bool:
    if isinstance(partitions_def, Grid):
        return True
    if not partitions_def.exclusions or partitions_def.end is None:
        return False
    span = partitions_def.start.date(), partitions_def.end.date()
    return partitions_def is _plain(*span) or partitions_def == build_grid(*span)


TimeWindowPartitionsSnap.from_def = staticmethod(_from_def)

GRID = build_grid(START, HORIZON)
