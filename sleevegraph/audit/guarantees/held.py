"""When a meta may hold its weights, or those of a child, over: only where what was decided anew was refused."""

from collections.abc import Iterator, Mapping

from sleevegraph.audit.contract import Check, Child, MetaCell
from sleevegraph.audit.evidence import Evidence
from sleevegraph.certification import BLOCKED
from sleevegraph.manifest import SleeveProfile
from sleevegraph.weight_sanity import WITHOUT_ANSWER

HELD = "held"
"""Status of a meta's cell that kept its weights."""
REFUSING = ("child_weights", "parameter_parity")
"""Checks that a meta's weights have to pass before anybody holds them."""


def held_without_cause(evidence: Evidence, sleeves: Mapping[str, SleeveProfile]) -> Iterator[str]:
    """Weights that are said to be held over although nothing was refused."""
    kept = [cell.profile for cell in evidence.of(MetaCell) if cell.status == HELD]
    asked = [check for check in evidence.of(Check) if check.check in REFUSING]
    if kept and asked and all(check.state == "PASSED" for check in asked):
        yield f"cell {kept[0]}: expected weights held over only after {' or '.join(REFUSING)} failed, found that it PASSED"
    for child in evidence.of(Child):
        if not child.held or child.standing == BLOCKED:
            continue
        sleeve = sleeves.get(child.name)
        engine = sleeve.risk.engine_of_record if sleeve else ""
        if child.kind == "meta":
            yield f"child {child.name}: held: expected none of a meta that is {child.standing}, found one"
        elif not any(_unsolved(engine, reason) for reason in child.reasons):
            yield f"child {child.name}: held: expected a reason that names a cell without an answer, found none"


def _unsolved(engine: str, reason: str) -> bool:
    """Whether a reason is that of a cell of record without an answer: `engine/profile: status: why`."""
    cell, _, said = reason.partition(": ")
    return cell.startswith(f"{engine}/") and said.partition(": ")[0] in WITHOUT_ANSWER
