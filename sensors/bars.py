"""New bars are expected: launch one ingest, and try again, ever later, while none came."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from jobs.rebalance import ingest
from resources.store import SOURCE_VARIABLE, Store, recorded_source
from sensors.ready_bars import defects, ingests, last_bar
from sensors.stored_runs import (
    NO_RETRY,
    SENSOR,
    Remembered,
    ended_at,
    ended_badly,
    ingest_in_progress,
    now_of_clock,
    state_of_runs,
    tries,
)
from sleevegraph.backoff import minutes
from sleevegraph.manifest import Manifest

NAME = "bars_sensor"
SETTLING = timedelta(minutes=15)
"""After midnight UTC, when the exchange closes the day's bar: room for a clock that is ahead of it."""
DELAYS = minutes(5, 10, 20, 40, 80, 160, 360)
"""Between tries in vain. A source that nobody extends costs four short runs a day, and says so on every tick."""
STATIC = {"files": "extend its files", "simulated": "it ends where it ends"}
UNASKED = "simulated"
"""What a home is filled from that nobody told anything: nobody asked for it, so no sensor does."""
NO_SOURCE = "this home has no market source yet; run sleevegraph ingest or backfill once, or set " + SOURCE_VARIABLE


def bars_sensor(manifest: Manifest) -> dg.SensorDefinition:
    """Build the sensor of a manifest."""
    remembered = Remembered()

    @dg.sensor(
        name=NAME,
        job=ingest,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="One ingest once a day's bars are expected, again with back-off while they are missing or incomplete.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.RunRequest | dg.SkipReason:
        instance, now = context.instance, now_of_clock()
        if not recorded_source(store.folders) and store.source_name() == UNASKED:
            return dg.SkipReason(NO_SOURCE)
        if ingest_in_progress(instance):
            return dg.SkipReason("an ingest is in progress")
        expected, newest = expected_at(now), store.lake.newest_bar()
        if newest is None or newest < expected:
            wrong = f"expected bars of {expected}, the newest are {'absent' if newest is None else f'of {newest}'}"
        else:
            at = newest + timedelta(days=1)
            asked = (store.folders.root, at, state_of_runs(instance), now.date())
            wrong = "; ".join(remembered(asked, lambda: defects(store, at, manifest.market.completeness))[:1])
        if not wrong:
            following = datetime.combine(newest + timedelta(days=2), time(), UTC) + SETTLING
            return dg.SkipReason(
                f"bars up to {newest} are there and complete; the next are expected at {following:%Y-%m-%d %H:%M} UTC"
            )
        done = tries(instance, ingest.name, {SENSOR: NAME}, _in_vain(instance, expected, newest))
        waiting = done.not_yet(now, DELAYS)
        if waiting:
            return dg.SkipReason(f"{wrong}; {waiting}{_static(store)}")
        return dg.RunRequest(run_key=f"ingest:{expected}:{done.runs + 1}", tags=NO_RETRY)

    return sensor


def expected_at(now: datetime) -> date:
    """The newest day whose bars a source should have."""
    return (now - SETTLING).date() - timedelta(days=1)


def _in_vain(instance: dg.DagsterInstance, expected: date, newest: date | None) -> Callable[[dg.RunRecord], bool]:
    """Whether a run of this sensor left what is wrong now.

    While bars are missing: one that failed, or ended behind the day that it was expected to bring. While they are incomplete: one
    that failed, or brought this day already; those before count for their own days.
    """
    brought = {record.run_id: last_bar(record) for record in reversed(ingests(instance))}
    behind = newest is None or newest < expected

    def in_vain(record: dg.RunRecord) -> bool:
        bar = brought.get(record.dagster_run.run_id, "")
        left = bar < str(expected_at(ended_at(record))) if behind else bar >= str(expected)
        return ended_badly(record) or left

    return in_vain


def _static(store: Store) -> str:
    name = store.source_name()
    return f". The source {name} brings nothing newer: {STATIC[name]}, or turn {NAME} off" if name in STATIC else ""
