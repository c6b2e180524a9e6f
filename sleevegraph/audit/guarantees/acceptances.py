"""What an operator may have accepted: warnings of a check that passed, by name and with a reason."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sleevegraph.audit.contract import Acceptance, Check
from sleevegraph.audit.evidence import Evidence

NEVER = ("directional_sign_test", "conservation")
"""Checks whose findings nobody may accept."""


def misaccepted(evidence: Evidence) -> Iterator[str]:
    """What is wrong with the acceptances of the newest generation."""
    for accepted in evidence.of(Acceptance):
        for text in _wrong(accepted, evidence.of(Check)):
            yield f"acceptance of {accepted.check} of {accepted.asset}: {text}"


def _wrong(accepted: Acceptance, checks: list[Check]) -> Iterator[str]:
    if accepted.check in NEVER:
        yield "expected a check whose warnings can be accepted, found one that never is"
    for key in ("because", "by"):
        if not getattr(accepted, key).strip():
            yield f"{key}: expected words, found none"
    if not _moment(accepted.on):
        yield f"on: expected a UTC time in ISO 8601, found {accepted.on!r}"
    wanted = (accepted.asset, accepted.check, accepted.partition)
    found = [check for check in checks if (check.asset, check.check, check.partition) == wanted]
    if len(found) != 1:
        yield f"expected one verdict on {accepted.partition}, found {len(found) or 'none'}"
        return
    findings = found[0].findings
    if found[0].state != "PASSED" or any(finding.startswith("ERROR") for finding in findings):
        yield f"expected a verdict that PASSED without errors, found {found[0].state}"
    if not findings or accepted.findings != findings:
        yield f"findings: expected the {len(findings)} warnings of the verdict, found {len(accepted.findings)}, or others"


def _moment(text: str) -> bool:
    try:
        return "T" in text and datetime.fromisoformat(text).utcoffset() == timedelta()
    except ValueError:
        return False
