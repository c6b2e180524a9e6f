"""Guarantee: a user's signal knows nothing of the days from P on."""

from datetime import date

import polars as pl

from assets.gates import signal_gates
from assets.keys import signal_path
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.lake import BARS, Status
from resources.store import Store
from sleevegraph.manifest import SleeveProfile
from sleevegraph.signals import Signal
from sleevegraph.signals.look_ahead import look_ahead


def look_ahead_check(sleeve: SleeveProfile, signal: Signal) -> PartitionCheck:
    """Ask the signal of a sleeve's logic again, with noise from P on and after a later rebalance."""
    path = signal_path(sleeve.logic)

    def prepare(store: Store, keys: list[str]) -> Judge:
        bars = store.lake.bars_before(date.fromisoformat(keys[-1]))

        def judge(key: str) -> Judgement:
            status, reason = store.lake.standing(path, key)
            if status is Status.CASH:
                return Judgement([], {"scored": 0, "cash": reason})
            at, stored = date.fromisoformat(key), store.lake.read(path, key)
            found = look_ahead(signal, bars.filter(pl.col("date") < at), at, stored)
            return Judgement(found, {"scored": stored.height})

        return judge

    (gate,) = signal_gates(sleeve)
    return PartitionCheck(
        gate,
        prepare,
        inputs=[BARS],
        description="Noise on every day from P on, and being asked about a later rebalance before, change no bit of a score.",
    )
