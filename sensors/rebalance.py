"""A rebalance date is due and its bars are complete: launch exactly one run for it."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from assets.gates import flat_gates
from jobs.rebalance import rebalance
from resources.evidence import evidence_before, fetched
from resources.grid import GRID
from resources.store import Store
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.completeness import bars_complete
from sleevegraph.errors import SleevegraphError
from sleevegraph.manifest import Manifest, MetaProfile
from sleevegraph.readiness.corroboration import corroborate

MAX_ATTEMPTS = 3
NO_META = "no meta can run, so no book is due; sleevegraph profiles validate says what is wrong, or launch runs by hand"
ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
IN_PROGRESS = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def rebalance_sensor(manifest: Manifest) -> dg.SensorDefinition:
    """Build the sensor of a manifest."""

    @dg.sensor(
        name="rebalance_sensor",
        job=rebalance,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="One run per rebalance date, as soon as the bars up to the day before are complete.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.RunRequest | dg.SkipReason:
        newest = GRID.get_last_partition_key()
        if newest is None or not manifest.metas:
            return dg.SkipReason("no rebalance date has passed yet" if newest is None else NO_META)
        due = next_due(store, manifest, newest)
        if due is None:
            return dg.SkipReason(f"{newest} is done; the next rebalance is {_after(newest)}")
        waiting = not_ready(store, date.fromisoformat(due), manifest)
        if waiting:
            return dg.SkipReason(f"{due} waits: {waiting}")
        if runs_of(context.instance, due, IN_PROGRESS):
            return dg.SkipReason(f"{due} waits: a run of it is in progress")
        attempt = 1 + runs_of(context.instance, due, ENDED_BADLY)
        if attempt > MAX_ATTEMPTS:
            return dg.SkipReason(f"{due} failed {MAX_ATTEMPTS} times; look at its runs, then launch it by hand")
        # A run key counts for ever, so a failed attempt needs another one.
        return dg.RunRequest(run_key=f"rebalance:{due}:{attempt}", partition_key=due)

    return sensor


def next_due(store: Store, manifest: Manifest, newest: str) -> str | None:
    """Return the rebalance after the last one done, so that no window is left out; None when all are done.

    Done means that the flattened weights of every meta were judged.
    """
    stored = store.lake.partitions((manifest.metas[-1].name, "flattened_weights"))
    done = [key for key in stored if all(_judged(store, meta, key) for meta in manifest.metas)]
    due = str(_after(done[-1])) if done else newest
    return due if due <= newest else None


def _judged(store: Store, meta: MetaProfile, key: str) -> bool:
    return all(store.receipts.read(gate.path, gate.check, key) for gate in flat_gates(meta))


def not_ready(store: Store, due: date, manifest: Manifest) -> str:
    """Why the bars before `due` cannot be decided on yet; empty when they can.

    A defect that nobody can correct is for a person: launched by hand, the run is blocked by its gate, the last certified
    weights stay in force, and the next rebalance gets its turn.
    """
    lake, rules = store.lake, manifest.market.completeness
    newest = lake.newest_bar()
    if newest is None or newest < due - timedelta(days=1):
        return f"the newest bar is {newest or 'absent'}, expected {due - timedelta(days=1)}"
    try:
        bars = lake.bars_before(due)
        findings, _ = bars_complete(bars, due, rules)
        if fetched(store) and not any(f.level == "ERROR" for f in findings):
            # Last, since it takes a second: what else is known of the bars.
            beside = corroborate(bars, due, rules.max_defect_share, evidence_before(store, due))
            findings, _ = bars_complete(bars, due, rules, beside)
    except SleevegraphError as error:
        return str(error)
    errors = [f"{f.code}: {f.message}" for f in findings if f.level == "ERROR"]
    return "; ".join(errors[:3])


def runs_of(instance: dg.DagsterInstance, due: str, statuses: Sequence[dg.DagsterRunStatus]) -> int:
    """How many runs of the rebalance at `due` have one of the statuses."""
    wanted = dg.RunsFilter(job_name=rebalance.name, statuses=statuses, tags={"dagster/partition": due})
    return instance.get_runs_count(wanted)


def _after(key: str) -> date:
    return date.fromisoformat(key) + timedelta(days=STEP_DAYS)
