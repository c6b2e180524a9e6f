"""The ledger: one JSON object per line, each with the hash of the one before, so that nothing can be taken out quietly."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sleevegraph.errors import AuditError

Record = dict[str, Any]

SCHEMA_VERSION = 1
"""Of ledgers and bundles; another one is another format."""
GENESIS = "0" * 64
"""`prev_hash` of the first record."""
_CHAIN = ("seq", "prev_hash", "hash")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(record: Record) -> bytes:
    """The bytes that are hashed: compact JSON with sorted keys, ASCII, without `hash`."""
    return _ENCODER.encode({key: value for key, value in record.items() if key != "hash"}).encode()


def chained(records: Sequence[Record], after: Sequence[Record]) -> list[Record]:
    """Those records with `seq`, `prev_hash` and `hash`, chained to the last of `after`."""
    newest: str = after[-1]["hash"] if after else GENESIS
    made = []
    for seq, record in enumerate(records, len(after)):
        linked = {**record, "seq": seq, "prev_hash": newest}
        newest = sha256(canonical(linked)).hexdigest()
        made.append({**linked, "hash": newest})
    return made


def extended(ledger: str, records: Sequence[Record]) -> str:
    """A ledger that says what `records` say, from `begin` to `end`.

    Unchanged where its newest generation says the same. Where only acceptances are new, they follow its `end`; otherwise
    all records follow as a further generation.

    Raises
    ------
    AuditError
        When the ledger cannot be read or its chain is broken: what was tampered with is not to be continued.
    """
    before = sound(ledger)
    newest = current(before)
    if newest and _said(newest) == _said(records):
        known = [_unchained(record) for record in newest if record["event"] == "acceptance"]
        added = [record for record in records if record["event"] == "acceptance" and record not in known]
        return ledger + _lines(chained(added, before))
    generation = 1 + sum(record["event"] == "begin" for record in before)
    opened = [{**record, "generation": generation} if record["event"] == "begin" else record for record in records]
    return ledger + _lines(chained(opened, before))


def appended(ledger: str, record: Record) -> str:
    """The ledger with one more record; AuditError when it cannot be read or its chain is broken."""
    return ledger + _lines(chained([record], sound(ledger)))


def read_ledger(text: str) -> list[Record]:
    """Every record, in order; AuditError naming the line that is none. The chain is not judged here."""
    lines = text.split("\n")
    if lines.pop():
        raise AuditError(
            f"audit.jsonl line {len(lines) + 1}: expected a line that ends, found the file truncated in it"
        )
    return [_record(line, number) for number, line in enumerate(lines, 1)]


def sound(ledger: str) -> list[Record]:
    """Every record, in order; AuditError when the ledger cannot be read or its chain is broken."""
    records = read_ledger(ledger)
    newest = GENESIS
    for number, (record, line) in enumerate(zip(records, ledger.split("\n"), strict=False), 1):
        # What is hashed is the line as it stands; that the hash is not the last of the sorted keys makes it exact.
        found = sha256(line.replace(f'"hash":"{record["hash"]}",', "", 1).encode()).hexdigest()
        if record["prev_hash"] != newest or record["hash"] != found:
            raise AuditError(
                f"audit.jsonl line {number}: expected a record chained to the one before, found another; the ledger was "
                "changed after it was written: keep its folder as evidence elsewhere, then make the bundle again"
            )
        newest = found
    return records


def newest_hash(text: str) -> str:
    """Hash of the last record, `GENESIS` without one."""
    lines = text.splitlines()
    return str(_record(lines[-1], len(lines))["hash"]) if lines else GENESIS


def current(records: Sequence[Record]) -> list[Record]:
    """The newest generation: from the last `begin` on."""
    begins = [i for i, record in enumerate(records) if record["event"] == "begin"]
    return list(records[begins[-1] :]) if begins else []


def ending(records: Sequence[Record]) -> Record:
    """The newest `end`, which says how the portfolio stands; AuditError without one."""
    for record in reversed(records):
        if record["event"] == "end":
            return record
    raise AuditError(f"audit.jsonl: expected an event `end`, found none in {len(records)} lines; make the bundle again")


def _record(line: str, number: int) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"event", *_CHAIN} <= record.keys():
        raise AuditError(
            f"audit.jsonl line {number}: expected a JSON object with event, seq, prev_hash and hash, found {line[:60]!r}"
        )
    return record


def _lines(records: Sequence[Record]) -> str:
    return "".join(_ENCODER.encode(record) + "\n" for record in records)


def _unchained(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in _CHAIN}


def _said(records: Sequence[Record]) -> list[bytes]:
    """What a generation says, without its number, its chain and acceptances, which may be added at any time."""
    aside = {*_CHAIN, "generation", "records"}
    return [
        _ENCODER.encode({key: value for key, value in record.items() if key not in aside}).encode()
        for record in records
        if record["event"] != "acceptance"
    ]
