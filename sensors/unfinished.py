"""Which rebalance comes next: the first one that is missing, or that nobody judged to its end."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import takewhile

from assets.certification_board import BOARD
from assets.gates import all_gates
from assets.keys import UNIVERSE
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
    one another. Without a board the newest date is the first one: what lies before is a backfill's, and so is what lies before a
    date that nobody ever began, such as years of long ago that somebody looks into.
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
    begun = {*stored, *store.lake.partitions(UNIVERSE)}
    every = [str(day) for day in grid_dates(date.fromisoformat(stored[0]), date.fromisoformat(min(stored[-1], newest)))]
    past = list(takewhile(begun.__contains__, reversed(every)))[::-1]
    read = set(past[-max(MAX_VERDICTS // len(gates), FEWEST_DATES) :])
    with store.lake.one_look():
        since = list(places.for_each(store.lake.root, lambda gate: _first(store, gate), gates))
        for day in past:
            asked = [gate for gate, first in zip(gates, since, strict=True) if first <= f"{day}{SUFFIX}"]
            why = _unjudged(store, asked, day) if day in read else ""
            if day not in stored:
                why = f"{day} was not run to its end"
            if why:
                return day, why
    following = str(date.fromisoformat(stored[-1]) + timedelta(days=STEP_DAYS))
    return (following if following <= newest else None), ""


def _first(store: Store, gate: Gate) -> str:
    """The first rebalance that a gate judged, as its file is called; before it, nobody asked."""
    names = places.names(store.receipts.path(gate.path, gate.check, "").parent)
    return min((name for name in names if name.endswith(SUFFIX)), default="9999")


def _unjudged(store: Store, gates: Sequence[Gate], day: str) -> str:
    def state(gate: Gate) -> tuple[State, str]:
        return store.receipts.state(gate.path, gate.check, day, decided_before=True)

    # Many at a time where verdicts are in object storage: one after the other they would take longer than a tick may.
    found = places.for_each(store.lake.root, state, gates)
    return next((reason for state, reason in found if state in {State.ABSENT, State.STALE}), "")
