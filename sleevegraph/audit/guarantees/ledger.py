"""Guarantee of the ledger: nothing was taken out, put in or changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sleevegraph.audit.contract import EVENTS, ONCE, Acceptance, Begin, End, Record
from sleevegraph.audit.evidence import Evidence, event_of
from sleevegraph.audit.facts import Kind
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.layout import LEDGER

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
