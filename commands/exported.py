"""What the exporter says of rebalances, gates, solvers and bars of a home."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl
from prometheus_client.metrics_core import Metric

from assets.building import Places, placed, places_of
from assets.gate_states import ACCEPTED, WARNED, gate_state, gate_states
from assets.gates import all_gates, audit_gates, cells_gates, meta_gates
from assets.keys import UNIVERSE, stage
from resources.grid import GRID
from resources.lake import BARS, AssetPath
from resources.metrics import gauge
from resources.receipts import State
from resources.store import Store, is_simulated
from sleevegraph.manifest import Manifest, MetaProfile

STATES = (State.PASSED, WARNED, ACCEPTED, State.FAILED, State.STALE, State.ABSENT)
MARKET, SIGNALS = "market", "signals"
"""What stands for the portfolio of a gate that belongs to none."""
LOOKS_BACK = 37
"""Rebalances, a year: what was certified before that is as good as never."""
GATE = ("portfolio", "asset", "check", "blocking", "state")


def rebalance_figures(store: Store, manifest: Manifest) -> Iterator[Metric]:
    """Which rebalance is the newest: that is due, that is stored, that is certified."""
    now = datetime.now(UTC).timestamp()
    due = GRID.get_last_partition_key()
    stored = store.lake.partitions(UNIVERSE)[-1:]
    certified = {meta.name: _seconds(newest_certified(store, meta, manifest)) for meta in manifest.metas}
    yield gauge(
        "newest_due_rebalance_timestamp_seconds",
        "Newest grid date that has passed.",
        [((), _seconds(due))] if due else [],
    )
    yield gauge(
        "newest_stored_rebalance_timestamp_seconds",
        "Newest rebalance that was begun; 0 without any.",
        [((), _seconds(stored[0] if stored else None))],
    )
    yield gauge(
        "newest_certified_rebalance_timestamp_seconds",
        "Newest rebalance at which every blocking gate of the meta and of its audit passes; 0 without any in a year.",
        [((meta,), at) for meta, at in certified.items()],
        ("meta",),
    )
    yield gauge(
        "newest_certified_rebalance_age_seconds",
        "Since the newest certified rebalance; since 1970 without any.",
        [((meta,), now - at) for meta, at in certified.items()],
        ("meta",),
    )
    yield gauge(
        "simulated", "1 if the bars of this home are simulated, not real prices.", [((), is_simulated(store.folders))]
    )


def newest_certified(store: Store, meta: MetaProfile, manifest: Manifest) -> str | None:
    """Newest stored rebalance that no gate of a meta blocks, by the verdicts as they are now."""
    gates = [*meta_gates(meta, manifest), *audit_gates(meta.name)]
    for key in reversed(store.lake.partitions(stage(meta.name, "flattened_weights"))[-LOOKS_BACK:]):
        if not any(gate_state(store, gate, key).blocks for gate in gates):
            return key
    return None


def gate_figures(store: Store, manifest: Manifest) -> Iterator[Metric]:
    """How many gates stand how at the newest stored rebalance.

    A family that is one asset is one portfolio here, too: the number of series is that of assets, not of sleeves.
    """
    stored = store.lake.partitions(UNIVERSE)
    places = places_of(manifest)
    gates = all_gates(manifest)
    found = gate_states(store, gates, date.fromisoformat(stored[-1])) if stored else []
    counts = Counter(
        (*_place(one.gate.path, places), one.gate.check, _flag(one.gate.blocking), one.state) for one in found
    )
    known = sorted({(*_place(gate.path, places), gate.check, _flag(gate.blocking)) for gate in gates})
    rows = [((*one, state.lower()), counts[*one, state]) for one in known for state in STATES] if stored else []
    yield gauge(
        "gates", "Gates of the newest stored rebalance by state; of a large family, of all its sleeves.", rows, GATE
    )


def solver_figures(store: Store, manifest: Manifest) -> Iterator[Metric]:
    """Cells of the newest rebalance, and what the guardrail of solver failures counted over its windows."""
    cells: Counter[tuple[str, str, str]] = Counter()
    failed: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    places = places_of(manifest)
    newest = store.lake.partitions(UNIVERSE)[-1:]
    for sleeve in manifest.sleeves if newest else ():
        path = stage(sleeve.name, "solver_cells")
        portfolio, *_ = placed(path, places)
        if store.lake.has(path, newest[0]):
            cells.update(store.lake.read(path, newest[0]).select("engine", "profile", "status").iter_rows())
        for gate in cells_gates(sleeve):
            receipt = store.receipts.read(gate.path, gate.check, newest[0])
            if receipt is not None:
                failed[portfolio] += _number(receipt.figures.get("failures"))
                expected[portfolio] += _number(receipt.figures.get("expected_cells"))
    yield gauge(
        "solver_cells",
        "Cells of all sleeves at the newest stored rebalance; native is solved, and failed, rejected and unavailable are not.",
        sorted(cells.items()),
        ("engine", "profile", "status"),
    )
    yield gauge(
        "solver_window_failures",
        "Failed cells in the windows of solver_failure_rate at the newest stored rebalance.",
        [((portfolio,), count) for portfolio, count in failed.items()],
        ("portfolio",),
    )
    yield gauge(
        "solver_window_cells",
        "Expected cells in those windows.",
        [((portfolio,), count) for portfolio, count in expected.items()],
        ("portfolio",),
    )


def bar_figures(store: Store) -> Iterator[Metric]:
    """How old the bars are. The bar of a day can be there once the day is over."""
    newest, expected = store.lake.newest_bar(), datetime.now(UTC).date() - timedelta(days=1)
    yield gauge(
        "expected_bar_timestamp_seconds", "Day of the newest bar that can be there.", [((), _seconds(expected))]
    )
    if newest is None:
        return
    month = store.lake.read(BARS, store.lake.partitions(BARS)[-1])
    symbols = month.filter(pl.col("date") == newest)["symbol"].n_unique()
    behind = max((expected - newest).total_seconds(), 0.0)
    yield gauge("newest_bar_timestamp_seconds", "Day of the newest bar.", [((), _seconds(newest))])
    yield gauge("bars_behind_seconds", "From the newest bar to the newest that can be there.", [((), behind)])
    yield gauge("newest_bar_symbols", "Symbols that have a bar on the day of the newest.", [((), symbols)])


def _place(path: AssetPath, places: Places) -> tuple[str, str]:
    asset = placed(path, places)
    return asset[0] if len(asset) > 1 else MARKET, asset[-1]


def _flag(yes: bool) -> str:
    return "yes" if yes else "no"


def _seconds(day: date | str | None) -> float:
    """Unix time of a day's midnight in UTC; 0 for none."""
    if day is None:
        return 0.0
    at = date.fromisoformat(day) if isinstance(day, str) else day
    return datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()


def _number(value: object) -> int:
    """A figure of a receipt: a number, or numbers by kind."""
    if isinstance(value, dict):
        return sum(map(_number, value.values()))
    return int(value) if isinstance(value, int | float) else 0
