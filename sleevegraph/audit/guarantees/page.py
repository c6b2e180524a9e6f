"""Guarantee of the report: it is this portfolio's, and looks the same wherever it is opened."""

import re
from collections.abc import Iterator

from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.layout import REPORT

_ELSEWHERE = r"(?:https?:|//)"
FORBIDDEN = {
    "no script": re.compile(r"<\s*script|javascript:", re.IGNORECASE),
    "no reference to elsewhere": re.compile(
        rf"(?:\b(?:src|srcset|href|action|poster|data)\s*=\s*[\"']?|\burl\(\s*[\"']?|@import\s+[\"']?)\s*{_ELSEWHERE}",
        re.IGNORECASE,
    ),
}


def report(evidence: Evidence) -> Verdict:
    """No script, nothing loaded from elsewhere, and the name and partition of the portfolio."""
    content, resolved = evidence.content(REPORT), evidence.resolved
    texts = _wrong(content.decode("utf-8", errors="replace"), resolved.portfolio, resolved.partition)
    return verdict(f"{len(content)} bytes, self-contained", (Failure(REPORT, text) for text in texts))


def _wrong(page: str, name: str, partition: str) -> Iterator[str]:
    for what, pattern in FORBIDDEN.items():
        found = pattern.search(page)
        if found:
            yield f"expected {what}, found {found[0]!r}"
    for word in (name, partition):
        if word not in page:
            yield f"expected {word} in the page, found none"
