"""Guarantee of the anchors: the ledgers beside a bundle say of it, and of what it rests on, the same as its own."""

import json
from collections.abc import Iterator

from sleevegraph.audit.contract import Anchor, Begin
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.guarantees.below import plain, unlike_below
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.layout import LEDGER
from sleevegraph.calendar import previous


def anchor(evidence: Evidence) -> Verdict:
    """Compare the hashes that ledgers name of one another, as far as the others are beside this one."""
    own = [record.hash for record in evidence.records]
    begins = evidence.begins
    named = [a for begin in begins for a in _anchors(begin)]
    failures, absent, compared = [*unlike_below(evidence), *_unnamed(evidence, begins[-1])], [], 0
    for name, newest in dict.fromkeys((a.run_id, a.hash) for a in named):
        if name not in evidence.neighbours:
            absent.append(name)
            continue
        compared += 1
        if not _occurs(newest, evidence.neighbours[name]):
            text = f"expected record {newest[:12]}… in the ledger of {name}, found none: one of the two was rewritten"
            failures.append(Failure(LEDGER, text))
    for name, ledger in sorted(evidence.neighbours.items()):
        for newest in _named_by(ledger, begins[0].run_id):
            compared += 1
            if newest not in own:
                text = f"expected record {newest[:12]}…, which {name} names, found none: this ledger was rewritten"
                failures.append(Failure(LEDGER, text))
    said = f"anchors compared: {compared}, ledgers beside it: {len(evidence.neighbours)}"
    said += f"; not there: {', '.join(dict.fromkeys(absent))}" if absent else ""
    return verdict("; ".join((said, *_younger(evidence))), failures)


def _younger(evidence: Evidence) -> Iterator[str]:
    """Neighbours whose newest anchor lies in an older generation: they know nothing of what came after."""
    generation = {record.hash: n for n, records in enumerate(evidence.generations, 1) for record in records}
    newest, stale = len(evidence.generations), []
    for name, ledger in sorted(evidence.neighbours.items()):
        named = list(_named_by(ledger, evidence.begins[0].run_id))
        if named and generation.get(named[-1], newest) < newest:
            stale.append(name)
    if stale:
        yield f"generation {newest} is younger than what {', '.join(stale)} names"


def _anchors(begin: Begin) -> list[Anchor]:
    children = [Anchor(run_id=name, hash=newest) for name, newest in begin.children.items()]
    return [begin.previous, *children] if begin.previous else children


def _occurs(newest: str, ledger: bytes) -> bool:
    """Whether a record of another ledger has that hash."""
    needle = f'"hash":"{newest}"'.encode()
    return any(plain(line).get("hash") == newest for line in ledger.split(b"\n") if needle in line)


def _named_by(ledger: bytes, name: str) -> Iterator[str]:
    """Hashes of our records that another ledger names in any of its generations."""
    needle = json.dumps(name).encode()
    for line in ledger.split(b"\n"):
        if b'"event":"begin"' in line and needle in line:
            record = plain(line)
            before, children = record.get("previous"), record.get("children")
            if isinstance(before, dict) and before.get("run_id") == name:
                yield str(before.get("hash"))
            if isinstance(children, dict) and name in children:
                yield str(children[name])


def _unnamed(evidence: Evidence, begin: Begin) -> Iterator[Failure]:
    """Ledgers that this one follows and does not name, and others that it names."""
    root, at = begin.portfolio, evidence.at
    before = run_id(root, previous(at))
    if begin.previous and begin.previous.run_id != before:
        yield Failure(LEDGER, f"previous: expected the ledger {before} or none, found {begin.previous.run_id}")
    if begin.previous is None and before in evidence.neighbours:
        yield Failure(LEDGER, f"previous: expected the newest hash of {before}, which is beside it, found none")
    direct = {run_id(child, at) for meta in evidence.manifest.metas if meta.name == root for child in meta.children}
    for name in sorted(direct ^ begin.children.keys()):
        found = "none" if name in direct else "one"
        yield Failure(LEDGER, f"children: expected the ledgers of the children of {root}, found {found} of {name}")
