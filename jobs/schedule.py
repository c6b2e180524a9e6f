"""The alternative to the sensor: by the clock alone, whatever the bars."""

from datetime import date, timedelta

import dagster as dg

from assets.certification_board import BOARD
from jobs.rebalance import IN_PROGRESS, rebalance
from resources.store import Store
from sleevegraph.calendar import START, STEP_DAYS, grid_dates


@dg.schedule(
    cron_schedule="0 1 * * *",
    job=rebalance,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Ticks daily at 01:00 UTC and runs every rebalance date that is over and not done. Use it or the sensor, not both.",
)
def rebalance_schedule(context: dg.ScheduleEvaluationContext, store: Store) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the rebalances after the last one stored, up to yesterday, in order; of a home without one, the newest.

    Not only yesterday's: after a clock was set forward, or days without power, Dagster makes up for the last few ticks alone. It
    makes up for them at once, so a date that is under way is not requested again; one that failed is, a day later.
    """
    # UTC has no daylight saving, so every day has exactly one 01:00.
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date()
    stored = store.lake.partitions(BOARD)
    over = grid_dates(date.fromisoformat(stored[-1]) + timedelta(days=STEP_DAYS) if stored else START, yesterday)
    due = [str(day) for day in (over if stored else over[-1:])]
    waiting = [day for day in due if not _under_way(context.instance, day)]
    if not waiting:
        return dg.SkipReason(
            f"{', '.join(due)} under way" if due else f"no rebalance date up to {yesterday} is left to do"
        )
    return [dg.RunRequest(run_key=day, partition_key=day) for day in waiting]


def _under_way(instance: dg.DagsterInstance, day: str) -> bool:
    wanted = dg.RunsFilter(job_name=rebalance.name, statuses=IN_PROGRESS, tags={"dagster/partition": day})
    return instance.get_runs_count(wanted) > 0
