"""Group signals: scores of users' own logics, each computed once, however many sleeves use it."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from assets.gates import bars_gates
from assets.keys import KNOWN_BARS, UNIVERSE, key, signal_path
from assets.partitioned import Compute, Partition, Stage, inherited
from resources.store import Store
from sleevegraph.manifest import Manifest, MarketProfile, SleeveProfile
from sleevegraph.signals import SCHEMA, Signal

Signals = Mapping[str, Signal]
"""Signals by logic."""


def first_users(manifest: Manifest) -> dict[str, SleeveProfile]:
    """By logic that has a signal the first of its sleeves, which all have the same one."""
    users: dict[str, SleeveProfile] = {}
    for sleeve in manifest.sleeves:
        if sleeve.signal is not None:
            users.setdefault(sleeve.logic, sleeve)
    return users


def signal_stages(manifest: Manifest, signals: Signals) -> list[Stage]:
    """The scores of every logic that has a signal."""
    return [
        _signal_stage(logic, signals[logic], sleeve.owner, manifest.market)
        for logic, sleeve in first_users(manifest).items()
    ]


def _signal_stage(logic: str, signal: Signal, owner: str, market: MarketProfile) -> Stage:
    def prepare(store: Store, days: Sequence[date]) -> Compute:
        bars = store.lake.bars_before(max(days))

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, UNIVERSE, str(at))
            if standing:
                return standing
            # All that a signal can see: a frame in memory that ends before P, and nothing of what it was asked before.
            frame = signal.opened()(bars.filter(pl.col("date") < at), at)
            figures = frame.select(above=(pl.col("score") > 0).sum(), below=(pl.col("score") < 0).sum())
            return Partition(frame, {"scored": frame.height, **figures.row(0, named=True), **_said(signal)})

        return compute

    return Stage(
        signal_path(logic),
        "signals",
        SCHEMA,
        [key(KNOWN_BARS), key(UNIVERSE)],
        prepare,
        gates=bars_gates(market),
        description=f"Scores of the logic {logic} at P: above zero speaks for a symbol, below zero against it.",
        rules=signal.rules,
        owner=owner,
    )


def _said(signal: Signal) -> dict[str, str]:
    return {name.removeprefix("signal."): str(value) for name, value in signal.rules.items()}
