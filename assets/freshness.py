"""How old an asset may get before the page says that it is late."""

from datetime import timedelta

import dagster as dg

from sleevegraph.calendar import STEP_DAYS

DAILY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=36))
"""An ingest comes soon after every midnight; the night after a failed one it is tried for hours."""
EVERY_REBALANCE = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(days=STEP_DAYS + 1), fail_window=timedelta(days=STEP_DAYS + 3)
)
"""Two days of room, as long as a rebalance waits for bars."""
