"""How a sleeve or meta stands at a rebalance: CERTIFIED, DEGRADED or BLOCKED, and why."""

from collections.abc import Mapping, Sequence

from sleevegraph.audit.facts import CheckRecord
from sleevegraph.weight_sanity import CERTIFIED, DEGRADED

BLOCKED = "BLOCKED"

Standing = tuple[str, list[str]]
"""CERTIFIED, DEGRADED or BLOCKED, and the reasons; CERTIFIED has none."""


def sleeve_standing(gates: Sequence[CheckRecord], certificate: Standing) -> Standing:
    """BLOCKED when a blocking gate did not pass, else what `weight_sanity` certified."""
    refused = _refused(gates)
    return (BLOCKED, refused) if refused else (certificate[0], list(certificate[1]))


def meta_standing(gates: Sequence[CheckRecord], children: Mapping[str, Standing]) -> Standing:
    """BLOCKED when a blocking gate of the meta's own did not pass, else DEGRADED when anything below is not CERTIFIED.

    `children` has every sleeve and meta below.
    """
    refused = _refused(gates)
    if refused:
        return BLOCKED, refused
    reasons = [
        f"{name} is {standing}: {_shortened(why)}"
        for name, (standing, why) in children.items()
        if standing != CERTIFIED
    ]
    return (DEGRADED, reasons) if reasons else (CERTIFIED, [])


def _shortened(reasons: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else "no reason given"


def _refused(gates: Sequence[CheckRecord]) -> list[str]:
    return [
        f"{gate.check} of {gate.asset}: {gate.state}{''.join(f': {finding}' for finding in _errors(gate)[:1])}"
        for gate in gates
        if gate.blocking and gate.state != "PASSED"
    ]


def _errors(gate: CheckRecord) -> list[str]:
    return [finding for finding in gate.findings if finding.startswith("ERROR")]
