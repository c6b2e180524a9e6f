"""What checks said of partitions, as audits record it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from assets.books import CERTIFIED_BY
from assets.gate_states import acceptance_of
from resources.receipts import Gate, State
from resources.store import Store
from sleevegraph.audit.facts import AcceptanceRecord, CheckRecord
from sleevegraph.certification import Standing
from sleevegraph.errors import GateError
from sleevegraph.weight_sanity import DEGRADED


def check_record(store: Store, gate: Gate, key: str) -> CheckRecord:
    """The verdict of a gate on a partition as it is stored now; GateError when there is none by today's rules."""
    refusal = store.receipts.refusal([gate], key, by_todays_rules=True)
    receipt = store.receipts.read(gate.path, gate.check, key)
    if receipt is None:
        raise GateError(
            f"{gate.check} of {'/'.join(gate.path)} at {key}: expected its receipt, found it removed meanwhile"
        )
    return CheckRecord(
        asset=receipt.asset,
        check=receipt.check,
        partition=key,
        blocking=gate.blocking,
        state=(State.FAILED if refusal else State.PASSED).value,
        digest=receipt.digest,
        inputs=receipt.inputs,
        rules=receipt.rules,
        findings=receipt.findings,
        figures=_strict(receipt.figures),
    )


def acceptances(store: Store, gates: Sequence[Gate], key: str) -> list[AcceptanceRecord]:
    """What operators accepted of exactly the verdicts that are stored now."""
    found = (acceptance_of(store, gate, key) for gate in gates)
    return [AcceptanceRecord(**asdict(accepted)) for accepted in found if accepted is not None]


def sleeve_certificate(checks: Sequence[CheckRecord]) -> Standing:
    """What `weight_sanity` said of a sleeve."""
    figures: Mapping[str, Any] = next((check.figures for check in checks if check.check == CERTIFIED_BY), {})
    return figures.get("certification", DEGRADED), figures.get("reasons", [])


def _strict(value: Any) -> Any:
    """Figures without the numbers that JSON has no place for: `nan` and `inf` become text."""
    if isinstance(value, dict):
        return {name: _strict(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_strict(inner) for inner in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
