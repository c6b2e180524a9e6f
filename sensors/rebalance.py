"""A rebalance date is due and its bars are complete: launch exactly one run for it.

Dates go in order, since each continues the records of the one before. Where one failed for good, the later ones wait for it:
run without it they could only fail. Exactly once: a date is due while the lake lacks it or its verdicts, and no run of the grid is in
progress; the run key numbers its runs on record, so a tick that is repeated asks for the run that is there.
"""

from datetime import date, datetime, timedelta

import dagster as dg

from assets.keys import UNIVERSE
from jobs.rebalance import PRIORITY, rebalance
from resources.grid import GRID
from resources.lake import BARS, AssetPath
from resources.store import Store
from sensors.ready_bars import deadline, late_after, not_ready
from sensors.stored_runs import (
    NO_RETRY,
    PARTITION,
    Tries,
    alert_once,
    in_vain_lately,
    ingest_in_progress,
    now_of_clock,
    rebalance_in_progress,
    state_of_runs,
    tries,
)
from sensors.unfinished import next_due
from sleevegraph.alerts import Fact, Kind
from sleevegraph.backoff import minutes
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.manifest import Manifest

NAME = "rebalance_sensor"
DELAYS = minutes(1, 5, 15)
"""Before each of the tries after the first."""
NO_META = "no meta can run, so no book is due; sleevegraph profiles validate says what is wrong, or launch runs by hand"

Asked = dg.RunRequest | dg.SkipReason


def rebalance_sensor(manifest: Manifest) -> dg.SensorDefinition:
    """Build the sensor of a manifest."""
    find = next_due(manifest)

    @dg.sensor(
        name=NAME,
        job=rebalance,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="One run per rebalance date, as soon as the bars up to the day before are complete.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> Asked:
        newest, now = GRID.get_last_partition_key(), now_of_clock()
        if newest is None or not manifest.metas:
            return dg.SkipReason("no rebalance date has passed yet" if newest is None else NO_META)
        busy = rebalance_in_progress(context.instance)
        if busy:
            return dg.SkipReason(f"{busy} is in progress; one rebalance goes at a time")
        due, why = find(store, newest, (state_of_runs(context.instance), now.hour, now.date()))
        if due is None:
            return dg.SkipReason(f"{newest} is done; the next rebalance is {_after(newest)}")
        again = f" ({why})" if why else ""
        done = tries(context.instance, rebalance.name, {PARTITION: due}, in_vain_lately(now))
        if done.in_vain > len(DELAYS):
            return _given_up(context, store, due, done, why)
        waiting = done.not_yet(now, DELAYS)
        if not waiting:
            waiting = _bars_to_wait_for(context, store, date.fromisoformat(due), manifest, now)
        if waiting:
            return dg.SkipReason(f"{due}{again} waits: {waiting}")
        # A run key counts for ever, so another try needs another one.
        tags = {**NO_RETRY, PRIORITY: "5"}
        return dg.RunRequest(run_key=f"rebalance:{due}:{done.runs + 1}", partition_key=due, tags=tags)

    return sensor


def _bars_to_wait_for(
    context: dg.SensorEvaluationContext, store: Store, due: date, manifest: Manifest, now: datetime
) -> str:
    """Why the bars are waited for; empty once they are complete, or will be waited for no longer.

    Bars that are not there at all are waited for without an end, with an alert once they are late: nothing can be judged, and no later
    date can overtake. Bars that stay incomplete are not: a defect that no fetch mends would stop the desk for good.
    """
    missing = not_ready(store, due, manifest)
    if not missing:
        return ""
    if ingest_in_progress(context.instance):
        return f"{missing}; an ingest is in progress"
    until = deadline(context.instance, store, due, manifest, now)
    if until is None:
        late = late_after(due, manifest)
        if now >= late:
            reason = f"{due}: expected bars by {late:%Y-%m-%d %H:%M} UTC, found: {missing}; it waits for them, and what was certified "
            reason += "last stays in force; look at the ingests, and at where their bars come from"
            _tell_late(context, store, due, now, reason, BARS)
        return missing
    if now < until:
        return f"{missing}; without better bars it runs on {until:%Y-%m-%d at %H:%M} UTC, and holds what was certified last"
    reason = (
        f"{due}: expected complete bars by {until:%Y-%m-%d %H:%M} UTC, found {missing}; it runs all the same, its gate blocks it, and "
        "what was certified last stays in force; once the bars are mended, launch it again by hand"
    )
    _tell_late(context, store, due, now, reason, UNIVERSE)
    return ""


def _tell_late(
    context: dg.SensorEvaluationContext, store: Store, due: date, now: datetime, reason: str, asset: AssetPath
) -> None:
    """Of the bars while they are missing, and of what the gate judges once they stay incomplete: two facts."""
    alert_once(context, store, Fact(Kind.BARS_LATE, NAME, reason, now, asset="/".join(asset), partition=str(due)))


def _given_up(context: dg.SensorEvaluationContext, store: Store, due: str, done: Tries, why: str) -> dg.SkipReason:
    reason = (
        f"{due} failed {done.in_vain} times{f' and still {why}' if why else ''}; look at run {done.run_id}, correct the cause, then "
        f"launch it by hand (sleevegraph backfill --from {due} --to {due}). Later rebalances wait for it, since they "
        "continue its records"
    )
    fact = Fact(Kind.REBALANCE_GAVE_UP, NAME, reason, now_of_clock(), partition=due, run_id=done.run_id)
    alert_once(context, store, fact)
    return dg.SkipReason(reason)


def _after(key: str) -> date:
    return date.fromisoformat(key) + timedelta(days=STEP_DAYS)
