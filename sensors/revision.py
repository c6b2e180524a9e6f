"""Bars that a stored rebalance was decided on were revised: decide anew, from the first such rebalance to the last.

A partition is what the code makes of the bars before P, in a backtest as in live use, so a revised bar makes every rebalance
after its day another one: universe, weights, and, since records continue one another, all records from there on. They are run as
one range, like a backfill. Nobody else does it: for those who build on it, what was decided stays certified on the bars of its day
(`decided_before` in resources/receipts.py), so a record goes on over a revision, and this sensor off changes nothing. The
lake and the bundles' files then say what the revised bars decide; that it was once decided otherwise stays in each bundle's ledger, which is
continued and never rewritten.

It is launched once per revision, when no bar has come for a while, and never beside another rebalance. A revision of 2020 runs
everything from there: the tick says how many rebalances that is. Score files of signals are not watched.
"""

from datetime import date, datetime, timedelta

import dagster as dg

from assets.certification_board import BOARD
from assets.gates import bars_gates
from assets.sleeves import pruned_before
from jobs.rebalance import PRIORITY, rebalance
from resources.lake import BARS
from resources.store import Store
from sensors.ready_bars import ingests
from sensors.stored_runs import (
    NO_RETRY,
    RANGE_END,
    RANGE_START,
    Remembered,
    alert_once,
    in_vain_lately,
    ingest_in_progress,
    now_of_clock,
    rebalance_in_progress,
    state_of_runs,
    tries,
)
from sleevegraph.alerts import Fact, Kind
from sleevegraph.backoff import minutes
from sleevegraph.manifest import Manifest

NAME = "revision_sensor"
TAG = "sleevegraph/revision"
"""Of its runs: which bars they were run for."""
DELAYS = minutes(1, 5, 15)
QUIET = timedelta(minutes=30)
"""Since the last ingest: a source that restates one file often restates more."""
DIGITS = 16


def revision_sensor(manifest: Manifest) -> dg.SensorDefinition:
    """Build the sensor of a manifest."""
    remembered = Remembered()

    @dg.sensor(
        name=NAME,
        job=rebalance,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="One run from the first stored rebalance whose bars were revised since to the last one, per revision.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.RunRequest | dg.SkipReason:
        instance, now = context.instance, now_of_clock()
        asked = (store.folders.root, state_of_runs(instance), now.date())
        found = remembered(asked, lambda: revised(store, manifest))
        if not found:
            return dg.SkipReason("no stored rebalance was decided on bars that were revised since")
        first, last, count = found
        span = f"bars before {first} were revised, which touches {count} rebalances up to {last}"
        busy = rebalance_in_progress(instance)
        if busy or ingest_in_progress(instance):
            return dg.SkipReason(f"{span}; waits: {busy or 'an ingest'} is in progress")
        if not_quiet(instance, now):
            return dg.SkipReason(f"{span}; waits until no bars have come for {QUIET.seconds // 60} min")
        revision = store.lake.bars_digest(date.fromisoformat(last))[:DIGITS]
        done = tries(instance, rebalance.name, {TAG: revision}, in_vain_lately(now))
        if done.in_vain > len(DELAYS):
            reason = (
                f"{span}, and running them failed {done.in_vain} times; look at run {done.run_id}, correct the cause, then run "
                f"sleevegraph backfill --from {first} --to {last}"
            )
            alert_once(
                context, store, Fact(Kind.REBALANCE_GAVE_UP, NAME, reason, now, partition=first, run_id=done.run_id)
            )
            return dg.SkipReason(reason)
        waiting = done.not_yet(now, DELAYS)
        if waiting:
            return dg.SkipReason(f"{span}; {waiting}")
        context.log.info(span)
        tags = {**NO_RETRY, TAG: revision, PRIORITY: "-5", RANGE_START: first, RANGE_END: last}
        return dg.RunRequest(run_key=f"revision:{revision}:{done.runs + 1}", tags=tags)

    return sensor


def revised(store: Store, manifest: Manifest) -> tuple[str, str, int] | None:
    """The first rebalance that has to be made again, the last stored one, and how many that is.

    That is the first that was judged on other bars than those of now, or the first of all where what it continues was pruned.
    """
    (gate,) = bars_gates(manifest.market)
    name = "/".join(BARS)
    with store.lake.one_look():
        stored = store.lake.partitions(BOARD)
        for number, day in enumerate(stored):
            receipt = store.receipts.read(gate.path, gate.check, day)
            if receipt is not None and receipt.inputs.get(name) != store.receipts.input_digest(name, day):
                continues = (pruned_before(store.lake, sleeve, date.fromisoformat(day)) for sleeve in manifest.sleeves)
                first = 0 if any(continues) else number
                return stored[first], stored[-1], len(stored) - first
    return None


def not_quiet(instance: dg.DagsterInstance, now: datetime) -> bool:
    """Whether bars came a short while ago; an ingest of the future, before a clock was set back, is long ago."""
    newest = next(iter(ingests(instance, limit=1)), None)
    return newest is not None and 0 <= now.timestamp() - newest.timestamp < QUIET.total_seconds()
