"""A rebalance date is due and its bars are complete: launch exactly one run for it."""

from datetime import date, timedelta

import dagster as dg

from assets.grid import GRID
from jobs.rebalance import rebalance
from resources.lake import AssetPath, Lake
from resources.store import Store
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.completeness import bars_complete
from sleevegraph.errors import SleevegraphError
from sleevegraph.manifest import Manifest

MAX_ATTEMPTS = 3


def rebalance_sensor(manifest: Manifest) -> dg.SensorDefinition:
    """Build the sensor; a manifest's last meta stands for the whole rebalance."""
    last = (manifest.metas[-1].name, "flattened_weights")

    @dg.sensor(
        name="rebalance_sensor",
        job=rebalance,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="One run per rebalance date, as soon as the bars up to the day before are complete.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.RunRequest | dg.SkipReason:
        newest = GRID.get_last_partition_key()
        if newest is None:
            return dg.SkipReason("no rebalance date has passed yet")
        due = next_due(store.lake, last, newest)
        if due is None:
            return dg.SkipReason(f"{newest} is done; the next rebalance is {_after(newest)}")
        waiting = not_ready(store.lake, date.fromisoformat(due), manifest)
        if waiting:
            return dg.SkipReason(f"{due} waits: {waiting}")
        attempt = 1 + failures(context.instance, due)
        if attempt > MAX_ATTEMPTS:
            return dg.SkipReason(f"{due} failed {MAX_ATTEMPTS} times; look at its runs, then launch it by hand")
        # A run key counts for ever, so a failed attempt needs another one.
        return dg.RunRequest(run_key=f"rebalance:{due}:{attempt}", partition_key=due)

    return sensor


def next_due(lake: Lake, last: AssetPath, newest: str) -> str | None:
    """Return the oldest rebalance after the last one done, so that no window is left out; None when all are done."""
    done = lake.partitions(last)
    due = newest if not done else str(date.fromisoformat(done[-1]) + timedelta(days=STEP_DAYS))
    return due if due <= newest else None


def not_ready(lake: Lake, due: date, manifest: Manifest) -> str:
    """Why the bars before `due` cannot be decided on yet; empty when they can."""
    newest = lake.newest_bar()
    if newest is None or newest < due - timedelta(days=1):
        return f"the newest bar is {newest or 'absent'}, expected {due - timedelta(days=1)}"
    try:
        findings, _ = bars_complete(lake.bars_before(due), due, manifest.market.completeness)
    except SleevegraphError as error:
        return str(error)
    errors = [f"{f.code}: {f.message}" for f in findings if f.level == "ERROR"]
    return "; ".join(errors[:3])


def failures(instance: dg.DagsterInstance, due: str) -> int:
    """How many runs of the rebalance at `due` have failed."""
    return instance.get_runs_count(
        dg.RunsFilter(job_name=rebalance.name, statuses=[dg.DagsterRunStatus.FAILURE], tags={"dagster/partition": due})
    )


def _after(key: str) -> date:
    return date.fromisoformat(key) + timedelta(days=STEP_DAYS)
