"""Gate states: every check on the way to the weights, its state and its findings."""

from collections.abc import Mapping, Sequence

from sleevegraph.audit.facts import AcceptanceRecord, CheckRecord
from sleevegraph.report.blocks import Block, Column, Names, Section, Table, Text, Tone, missing, text
from sleevegraph.report.facts import Report

KEY, TITLE = "gates", "Gate states"
PASSED = "PASSED"
SHOWN = 3
"""Findings of a gate in the table, each up to so many characters: all of them stand below it in full."""
LONG = 160


def gates(facts: Report) -> Section:
    """Every gate of the chain, in the order of the graph."""
    says = (
        "Every check on the way from bars to these weights, in the order of the graph. One that is FAILED blocks what is downstream, one "
        "that is ABSENT or STALE stops it; warnings pass. Look for anything but PASSED, and for warnings that nobody explained."
    )
    if not facts.gates:
        return missing(KEY, TITLE, says, "no check stands on the way to these weights")
    loud = [gate for gate in facts.gates if gate.state != PASSED or gate.findings]
    blocks: list[Block] = (
        [_loud(loud, _accepted(facts))] if loud else [Text("Every check passed without a finding.", "good")]
    )
    if len(loud) < len(facts.gates):
        blocks.append(_quiet([gate for gate in facts.gates if gate not in loud]))
    blocks += [
        Names(f"{gate.check} of {gate.asset}: all {len(gate.findings)} findings in full", tuple(gate.findings))
        for gate in loud
        if len(gate.findings) > SHOWN or any(len(finding) > LONG for finding in gate.findings)
    ]
    return Section(KEY, TITLE, says, tuple(blocks), tuple(_attention(facts)))


def _loud(gates: Sequence[CheckRecord], accepted: Mapping[tuple[str, str], AcceptanceRecord]) -> Table:
    rows = []
    for gate in gates:
        findings = [found if len(found) <= LONG else f"{found[:LONG]} …" for found in gate.findings]
        more = f" (and {len(findings) - SHOWN} more)" if len(findings) > SHOWN else ""
        seen = accepted.get((gate.asset, gate.check)) if gate.state == PASSED else None
        warned = f"accepted by {seen.by}: {seen.because}" if seen else f"warned {len(findings)} x"
        state = f"{gate.state}, {warned}" if gate.state == PASSED else gate.state
        tone: Tone = "attention" if gate.state != PASSED else "" if seen else "warning"
        rows.append(
            (
                text(gate.asset),
                text(gate.check),
                text("blocks" if gate.blocking else "warns"),
                text(state, tone),
                text("; ".join(findings[:SHOWN]) + more or _why(gate)),
            )
        )
    columns = (Column("asset"), Column("check"), Column("kind"), Column("state"), Column("findings", wide=True))
    return Table("With findings, or not passed", columns, tuple(rows))


def _quiet(gates: Sequence[CheckRecord]) -> Table:
    """Checks without a finding, those of an asset together."""
    by_asset: dict[str, list[str]] = {}
    for gate in gates:
        by_asset.setdefault(gate.asset, []).append(gate.check if gate.blocking else f"{gate.check} (warns)")
    rows = [(text(asset), text(", ".join(checks))) for asset, checks in by_asset.items()]
    return Table(f"PASSED without a finding: {len(gates)}", (Column("asset"), Column("checks", wide=True)), tuple(rows))


def _why(gate: CheckRecord) -> str:
    errors = [finding for finding in gate.findings if finding.startswith("ERROR")]
    return "; ".join((errors or list(gate.findings))[:SHOWN]) or "nobody judged what is stored"


def _attention(facts: Report) -> list[str]:
    """Gates with the same state and reason in one line."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for gate in facts.gates:
        if gate.state != PASSED:
            groups.setdefault((gate.check, gate.state, _why(gate)), []).append(gate.asset)
    return [f"{check} of {', '.join(assets)} is {state}: {why}" for (check, state, why), assets in groups.items()]


def _accepted(facts: Report) -> dict[tuple[str, str], AcceptanceRecord]:
    """Warnings that an operator lets stand, by asset and check."""
    return {(found.asset, found.check): found for found in facts.acceptances}
