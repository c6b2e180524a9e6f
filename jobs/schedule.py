"""The alternative to the sensor: by the clock alone, whatever the bars."""

import dagster as dg

from jobs.rebalance import rebalance

rebalance_schedule = dg.build_schedule_from_partitioned_job(
    rebalance,
    name="rebalance_schedule",
    hour_of_day=1,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Ticks daily at 01:00 UTC and runs on the day after a rebalance date. Use it or the sensor, not both.",
)
