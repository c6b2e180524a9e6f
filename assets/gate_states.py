"""What every gate says of a rebalance: passed, warned, accepted, failed, absent, stale or pruned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from assets.bundle_listing import changed_files
from assets.gates import AUDIT_CHECK
from resources.acceptances import Acceptance
from resources.receipts import Gate, Receipt, State
from resources.store import Store

WARNED, ACCEPTED = "WARNED", "ACCEPTED"
"""Beside the states of a receipt: passed with warnings, and those let stand by an operator."""


@dataclass(frozen=True, slots=True)
class GateState:
    """One gate at one rebalance."""

    gate: Gate
    partition: str
    state: str
    reason: str
    """What stands in the way, or what was warned of."""
    receipt: Receipt | None

    @property
    def blocks(self) -> bool:
        """Whether nobody may build on the asset."""
        return self.gate.blocking and self.state not in {State.PASSED, State.PRUNED, WARNED, ACCEPTED}


def gate_states(store: Store, gates: Sequence[Gate], at: date) -> list[GateState]:
    """Ask every gate; an asset that was never materialised has no verdict."""
    return [gate_state(store, gate, str(at)) for gate in gates]


def gate_state(store: Store, gate: Gate, partition: str) -> GateState:
    """Ask one gate."""
    receipt = store.receipts.read(gate.path, gate.check, partition)
    if receipt is None and not store.lake.has(gate.path, partition):
        return GateState(gate, partition, State.ABSENT, f"{'/'.join(gate.path)} {partition} is not stored", None)
    state, reason = store.receipts.state(gate.path, gate.check, partition)
    if state is State.PASSED and gate.check == AUDIT_CHECK:
        changed = changed_files(store, gate.path, date.fromisoformat(partition))
        if changed:
            return GateState(gate, partition, State.STALE, f"{', '.join(changed)} changed after it was judged", receipt)
    if state is not State.PASSED or receipt is None or not receipt.findings:
        return GateState(gate, partition, state, reason, receipt)
    accepted = acceptance_of(store, gate, partition)
    if accepted is None:
        return GateState(gate, partition, WARNED, "; ".join(receipt.findings), receipt)
    return GateState(gate, partition, ACCEPTED, f"by {accepted.by}: {accepted.because}", receipt)


def acceptance_of(store: Store, gate: Gate, partition: str) -> Acceptance | None:
    """What an operator accepted of exactly the verdict that is stored now."""
    found = store.acceptances.of(gate.path, gate.check, partition)
    if found is None or found.receipt != store.receipts.fingerprint(gate.path, gate.check, partition):
        return None
    return found
