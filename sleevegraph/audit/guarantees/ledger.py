"""Guarantees of the ledger: nothing was taken out, put in or changed, and the ledgers beside it say the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sleevegraph.audit.contract import EVENTS, ONCE, Acceptance, Anchor, Begin, Child, End, Record
from sleevegraph.audit.evidence import Evidence, event_of
from sleevegraph.audit.facts import Kind, run_id
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.layout import LEDGER
from sleevegraph.calendar import previous

GENESIS = "0" * 64
"""`prev_hash` of the first record."""


def chain(evidence: Evidence) -> Verdict:
    """Recompute every hash, then read each generation as begin, events in their order, and end."""
    broken = _broken_link(evidence.lines, evidence.plain_records)
    if broken:
        return Verdict("", (Failure(LEDGER, broken),))
    generations = evidence.generations
    texts = [
        text for number, records in enumerate(generations, 1) for text in _disorder(records, number, evidence.kind)
    ]
    if not isinstance(evidence.records[0], Begin):
        texts.insert(0, f"line 1: expected begin, found {evidence.records[0].event}")
    begins = evidence.begins
    texts += [
        f"line {begin.seq + 1}: expected a generation of {begins[0].run_id}, found {begin.run_id}"
        for begin in begins[1:]
        if _named(begin) != _named(begins[0])
    ]
    said = f"records: {len(evidence.records)}, generations: {len(generations)}"
    return verdict(said, (Failure(LEDGER, text) for text in texts))


def _broken_link(lines: Sequence[bytes], records: Sequence[Mapping[str, Any]]) -> str:
    """The first record that is not chained to the one before; every later one hangs on it."""
    newest = GENESIS
    for seq, (line, record) in enumerate(zip(lines, records, strict=True)):
        where = f"line {seq + 1} ({record.get('event')!r})"
        if record.get("seq") != seq:
            return (
                f"{where}: seq: expected {seq}, found {_short(record.get('seq'))}: a record is missing, added or moved"
            )
        if record.get("prev_hash") != newest:
            return f"{where}: prev_hash: expected {newest[:12]}…, found {_short(record.get('prev_hash'))}"
        try:
            text, body = _compact(record), _compact({key: value for key, value in record.items() if key != "hash"})
        except ValueError as error:
            return f"{where}: expected finite numbers, found {error}"
        newest = sha256(body).hexdigest()
        if record.get("hash") != newest:
            return f"{where}: hash: expected {newest[:12]}…, found {_short(record.get('hash'))}: the record was changed"
        if text != line:
            return (
                f"{where}: expected compact JSON with sorted keys, each once, found another writing of the same record"
            )
    return ""


def _compact(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _short(value: object) -> str:
    return f"{value[:12]}…" if isinstance(value, str) else str(value)[:12]


def _named(begin: Begin) -> tuple[str, str, Kind, str]:
    return begin.run_id, begin.portfolio, begin.kind, begin.partition


def _disorder(records: Sequence[Record], number: int, kind: Kind) -> Iterator[str]:
    """What is wrong with the order of one generation."""
    where = f"generation {number}"
    begin, ends = records[0], [place for place, record in enumerate(records) if isinstance(record, End)]
    if isinstance(begin, Begin) and begin.generation != number:
        yield f"{where}: begin: generation: expected {number}, found {begin.generation}"
    if len(ends) != 1:
        yield f"{where}: expected one end, found {len(ends)}"
        return
    counted = records[ends[0]]
    if isinstance(counted, End) and counted.records != ends[0] + 1:
        yield f"{where}: end: records: expected {ends[0] + 1}, found {counted.records}"
    for record in records[ends[0] + 1 :]:
        if not isinstance(record, Acceptance):
            yield f"line {record.seq + 1}: expected only acceptances after end, found {record.event}"
    order = [event_of(event) for event in EVENTS[kind]]
    places = [order.index(record.event) for record in records[: ends[0] + 1]]
    for before, after, record in zip(places, places[1:], records[1:], strict=False):
        if after < before:
            yield f"line {record.seq + 1}: expected {record.event} before {order[before]}, found it after"
    found = [record.event for record in records[: ends[0] + 1]]
    for event in EVENTS[kind]:
        times = found.count(event_of(event))
        if event in ONCE and times != 1:
            yield f"{where}: expected one record {event_of(event)}, found {times}"


def anchor(evidence: Evidence) -> Verdict:
    """Compare the hashes that ledgers name of one another, as far as the others are beside this one."""
    own = [record.hash for record in evidence.records]
    begins = evidence.begins
    named = [a for begin in begins for a in _anchors(begin)]
    failures, absent, compared = list(_unnamed(evidence, begins[-1])), [], 0
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
    for child in evidence.of(Child):
        own_ledger = evidence.neighbours.get(run_id(child.name, evidence.at))
        if own_ledger is not None and (child.standing, child.reasons) not in _endings(own_ledger):
            text = f"child {child.name}: expected a standing that its own ledger has, found {child.standing}"
            failures.append(Failure(LEDGER, text))
    said = f"anchors compared: {compared}, ledgers beside it: {len(evidence.neighbours)}"
    return verdict(said + (f"; not there: {', '.join(dict.fromkeys(absent))}" if absent else ""), failures)


def _anchors(begin: Begin) -> list[Anchor]:
    children = [Anchor(run_id=name, hash=newest) for name, newest in begin.children.items()]
    return [begin.previous, *children] if begin.previous else children


def _occurs(newest: str, ledger: bytes) -> bool:
    """Whether a record of another ledger has that hash."""
    needle = f'"hash":"{newest}"'.encode()
    return any(_plain(line).get("hash") == newest for line in ledger.split(b"\n") if needle in line)


def _named_by(ledger: bytes, name: str) -> Iterator[str]:
    """Hashes of our records that another ledger names in any of its generations."""
    needle = json.dumps(name).encode()
    for line in ledger.split(b"\n"):
        if b'"event":"begin"' in line and needle in line:
            record = _plain(line)
            before, children = record.get("previous"), record.get("children")
            if isinstance(before, dict) and before.get("run_id") == name:
                yield str(before.get("hash"))
            if isinstance(children, dict) and name in children:
                yield str(children[name])


def _endings(ledger: bytes) -> list[tuple[object, object]]:
    """How the generations of another ledger stand, and why."""
    records = (_plain(line) for line in ledger.split(b"\n") if b'"event":"end"' in line)
    return [(record.get("standing"), record.get("reasons")) for record in records]


def _plain(line: bytes) -> dict[str, Any]:
    """A record of a ledger that is judged elsewhere; empty when it is none."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


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
