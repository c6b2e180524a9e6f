"""Which rebalance comes next: the first one that is missing, or that nobody judged to its end."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from assets.certification_board import BOARD
from assets.gates import all_gates
from resources import places
from resources.receipts import SUFFIX, Gate, State
from resources.store import Store
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.manifest import Manifest

MAX_VERDICTS = 10_000
"""Receipts read at once, from the newest rebalance backwards: all of 100 rebalances of the shipped graph."""
FEWEST_DATES = 2
"""Read however many sleeves there are: the last rebalance, and the one whose records it continued."""

Next = tuple[str | None, str]
"""A rebalance date that is to be run, and why if it was run before."""


def next_due(manifest: Manifest) -> Callable[[Store, str, object], Next]:
    """Build the search; it remembers its last answer for as long as the marker that it is given stays the same.

    The board is the last asset of a rebalance, so a date without one was never run to its end; neither was a date at which a
    gate has no receipt although it has one of an earlier date, or where something changed after it was judged. Bars that
    were revised since do not count: they are the revision sensor's. The earliest such date comes first, since records continue
    one another. Without a board the newest date is the first one: what lies before is a backfill's.
    """
    gates = all_gates(manifest)
    remembered: dict[tuple[str, str, object], Next] = {}

    def find(store: Store, newest: str, marker: object) -> Next:
        asked = (str(store.folders.root), newest, marker)
        if asked not in remembered:
            remembered.clear()
            remembered[asked] = _next(store, gates, newest)
        return remembered[asked]

    return find


def _next(store: Store, gates: Sequence[Gate], newest: str) -> Next:
    stored = store.lake.partitions(BOARD)
    if not stored:
        return newest, ""
    past = [str(day) for day in grid_dates(date.fromisoformat(stored[0]), date.fromisoformat(min(stored[-1], newest)))]
    read = set(past[-max(MAX_VERDICTS // len(gates), FEWEST_DATES) :])
    with store.lake.one_look():
        begun = [(gate, _first(store, gate)) for gate in gates]
        for day in past:
            why = _unjudged(store, begun, day) if day in read else ""
            if day not in stored:
                why = f"{day} was left out, or not run to its end"
            if why:
                return day, why
    following = str(date.fromisoformat(stored[-1]) + timedelta(days=STEP_DAYS))
    return (following if following <= newest else None), ""


def _first(store: Store, gate: Gate) -> str:
    """The first rebalance that a gate judged, as its file is called; before it, nobody asked."""
    names = places.names(store.receipts.path(gate.path, gate.check, "").parent)
    return min((name for name in names if name.endswith(SUFFIX)), default="9999")


def _unjudged(store: Store, begun: Sequence[tuple[Gate, str]], day: str) -> str:
    for gate, first in begun:
        if first > f"{day}{SUFFIX}":
            continue
        state, reason = store.receipts.state(gate.path, gate.check, day, decided_before=True)
        if state in {State.ABSENT, State.STALE}:
            return reason
    return ""
