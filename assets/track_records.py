"""How a ledger walks a range of partitions: the first key's predecessor from the lake, the rest in memory."""

from collections.abc import Callable
from datetime import date

from assets.partitioned import Compute, Partition
from resources.lake import AssetPath, Lake
from sleevegraph.calendar import previous
from sleevegraph.errors import LakeError
from sleevegraph.ledgers import Ledgers, Targets, advance, ledgers_from_rows, open_ledgers, opening_rows
from sleevegraph.manifest import LedgerRules
from sleevegraph.track_record import Window

Decision = Callable[[date], tuple[Targets | None, str]]
"""Targets decided at a date, or None and why they were blocked."""


def track_record_compute(
    lake: Lake,
    path: AssetPath,
    first: date,
    decision: Decision,
    window: Callable[[date], Callable[[str], Window]],
    rules: LedgerRules,
) -> Compute:
    """Return the function of one date; dates must come in ascending order, each following the one before.

    `window(at)(profile)` has the days from the previous rebalance to the day before `at`.
    """
    state = _stored_before(lake, path, first)

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


def _stored_before(lake: Lake, path: AssetPath, first: date) -> Ledgers | None:
    """Return the state before `first`; None where the record begins there; a hole in the chain is an error."""
    earlier = [key for key in lake.partitions(path) if key < str(first)]
    if not earlier:
        return None
    expected = str(previous(first))
    if earlier[-1] != expected:
        raise LakeError(
            f"{'/'.join(path)} {first}: expected the track record up to {expected}, found it up to {earlier[-1]}; "
            f"backfill from {earlier[-1]} on"
        )
    return ledgers_from_rows(lake.read(path, expected))
