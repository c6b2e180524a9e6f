"""The alternative to the sensor: by the clock alone, whatever the bars."""

from datetime import timedelta

import dagster as dg

from jobs.rebalance import rebalance
from sleevegraph.calendar import on_grid


@dg.schedule(
    cron_schedule="0 1 * * *",
    job=rebalance,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Ticks daily at 01:00 UTC and runs on the day after a rebalance date. Use it or the sensor, not both.",
)
def rebalance_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the rebalance of yesterday, if yesterday was a rebalance date."""
    # Dagster's own schedule for a partitioned job would ask for the last rebalance on each of the ten days after it.
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date()
    if not on_grid(yesterday):
        return dg.SkipReason(f"{yesterday} is no rebalance date")
    return dg.RunRequest(run_key=str(yesterday), partition_key=str(yesterday))
