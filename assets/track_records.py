"""How a ledger walks a range of partitions: the first key's predecessor from the lake, the rest in memory."""

from collections.abc import Callable, Sequence
from datetime import date

from assets.partitioned import Compute, Partition
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.calendar import previous
from sleevegraph.errors import LakeError
from sleevegraph.ledgers import Ledgers, Targets, advance, ledgers_from_rows, open_ledgers, opening_rows
from sleevegraph.manifest import LedgerRules
from sleevegraph.track_record import Window

Decision = Callable[[date], tuple[Targets | None, str]]
"""Targets decided at a date, or None and why they were blocked."""


def track_record_compute(
    store: Store,
    gates: Sequence[Gate],
    days: Sequence[date],
    decision: Decision,
    window: Callable[[date], Callable[[str], Window]],
    rules: LedgerRules,
) -> Compute:
    """Return the function of one date; dates must come in ascending order, each following the one before.

    `gates` are those of the record itself: it is continued only from where it was certified.
    `window(at)(profile)` has the days from the previous rebalance to the day before `at`.
    """
    state = _stored_before(store, gates, days)

    def compute(at: date) -> Partition:
        nonlocal state
        if state is None:
            state = open_ledgers(at)
            return Partition(opening_rows(state), {"opened": True})
        decided = previous(at)
        targets, refusal = decision(decided)
        rows, state = advance(state, targets, refusal, window(at), rules)
        equity = {profile: holdings.equity for profile, holdings in state.holdings.items()}
        metadata = {"equity": equity, "weights_from": str(state.weights_from), "days": rows["date"].n_unique()}
        return Partition(rows, {**metadata, **({"held": refusal} if refusal else {})})

    return compute


def _stored_before(store: Store, gates: Sequence[Gate], days: Sequence[date]) -> Ledgers | None:
    """Return the state before the range; None where the record begins there.

    A hole before the range is an error, and so is a range that ends before a record that was opened later: that record
    would go on as if nothing had been earned before it.
    """
    lake, path = store.lake, gates[0].path
    name, first, last = "/".join(path), min(days), max(days)
    stored = lake.partitions(path)
    earlier, later = [key for key in stored if key < str(first)], [key for key in stored if key > str(last)]
    if not earlier:
        if later and str(first) not in stored:  # what is stored at `first` began there already: a rerun
            raise LakeError(
                f"{name} {first}: expected a range that reaches {later[-1]}, since a record is stored that begins after "
                f"{last}; backfill from {first} to {later[-1]}"
            )
        return None
    expected = str(previous(first))
    if earlier[-1] != expected:
        raise LakeError(
            f"{name} {first}: expected the track record up to {expected}, found it up to {earlier[-1]}; "
            f"backfill from {earlier[-1]} on"
        )
    store.receipts.require(gates, expected)
    return ledgers_from_rows(lake.read(path, expected))
