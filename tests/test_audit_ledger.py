"""The ledger's chain, recomputed here with json and hashlib alone."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.audit.ledger import (
    GENESIS,
    Record,
    appended,
    canonical,
    chained,
    current,
    ending,
    extended,
    newest_hash,
    read_ledger,
)
from sleevegraph.errors import AuditError

ACCEPTED: Record = {"event": "acceptance", "check": "bars_complete", "because": "known outage", "by": "A. Person"}


def generation(outcome: float = 0.1, *accepted: Record) -> list[Record]:
    """Records as a bundle hands them over."""
    records: list[Record] = [
        {"event": "begin", "run_id": "a-20231201", "generation": 1, "previous": None},
        {"event": "cell", "objective": outcome, "reason": "naïve, “quoted”"},
        *accepted,
        {"event": "output", "file": "data/a.json", "bytes": 3},
    ]
    return [*records, {"event": "end", "standing": "CERTIFIED", "records": len(records) + 1}]


def parsed(ledger: str) -> list[dict[str, Any]]:
    assert ledger.endswith("\n")
    return [json.loads(line) for line in ledger[:-1].split("\n")]


def holds(ledger: str) -> bool:
    """The contract's chain: SHA-256 of sorted-key compact JSON without `hash`, each naming the one before."""
    before = "0" * 64
    for seq, record in enumerate(parsed(ledger)):
        claimed = record.pop("hash")
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        if (record["seq"], record["prev_hash"]) != (seq, before) or hashlib.sha256(
            text.encode()
        ).hexdigest() != claimed:
            return False
        before = claimed
    return True


def test_every_record_is_chained_to_the_one_before() -> None:
    ledger = extended("", generation())
    assert holds(ledger)
    assert [record["event"] for record in parsed(ledger)] == ["begin", "cell", "output", "end"]
    assert newest_hash(ledger) == parsed(ledger)[-1]["hash"]


def test_the_hash_is_of_compact_sorted_ascii_json_without_the_hash() -> None:
    record = {"b": [1, 0.1, None], "a": "é", "hash": "x"}
    assert canonical(record) == b'{"a":"\\u00e9","b":[1,0.1,null]}'
    (first,) = chained([{"event": "begin"}], [])
    assert first["prev_hash"] == GENESIS == "0" * 64


def test_an_empty_ledger_has_the_genesis_hash_and_no_end() -> None:
    assert newest_hash("") == GENESIS
    assert read_ledger("") == []
    with pytest.raises(AuditError, match="expected an event `end`, found none"):
        ending([])


def test_the_same_outcome_leaves_the_ledger_as_it_is() -> None:
    ledger = extended("", generation())
    assert extended(ledger, generation()) == ledger


def test_another_outcome_is_a_further_generation_and_nothing_is_taken_out() -> None:
    first = extended("", generation())
    second = extended(first, generation(0.1 + 1e-16))
    assert second.startswith(first)
    assert holds(second)
    assert [r["generation"] for r in parsed(second) if r["event"] == "begin"] == [1, 2]
    assert current(read_ledger(second)) == parsed(second)[4:]
    back = extended(second, generation())
    assert [r["generation"] for r in parsed(back) if r["event"] == "begin"] == [1, 2, 3]
    assert holds(back)


def test_an_acceptance_that_comes_later_is_no_other_outcome() -> None:
    accepted = appended(extended("", generation()), ACCEPTED)
    assert holds(accepted)
    assert extended(accepted, generation()) == accepted
    assert extended(accepted, generation(0.1, ACCEPTED)) == accepted
    assert ending(parsed(accepted))["standing"] == "CERTIFIED"
    assert newest_hash(accepted) == parsed(accepted)[-1]["hash"] != ending(parsed(accepted))["hash"]


def test_an_acceptance_that_the_ledger_lacks_follows_the_end() -> None:
    other = {**ACCEPTED, "check": "profile_convergence"}
    before = extended("", generation(0.1, ACCEPTED))
    after = extended(before, generation(0.1, ACCEPTED, other))
    assert after.startswith(before)
    assert holds(after)
    assert [(r["event"], r.get("check")) for r in parsed(after)[5:]] == [("acceptance", "profile_convergence")]


def test_an_acceptance_stands_before_the_outputs_of_a_later_generation() -> None:
    ledger = extended(appended(extended("", generation()), ACCEPTED), generation(0.2, ACCEPTED))
    events = [record["event"] for record in current(read_ledger(ledger))]
    assert events == ["begin", "cell", "acceptance", "output", "end"]
    assert holds(ledger)


def edited(lines: list[str]) -> list[str]:
    return [line.replace("0.1", "0.2") for line in lines]


def rehashed(lines: list[str]) -> list[str]:
    """Whoever edits a record and corrects its own hash breaks the one after it."""
    record = json.loads(lines[1].replace("0.1", "0.2"))
    record["hash"] = hashlib.sha256(canonical(record)).hexdigest()
    return [lines[0], json.dumps(record, sort_keys=True, separators=(",", ":")), *lines[2:]]


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (edited, 2),
        (rehashed, 3),
        (lambda lines: lines[:1] + lines[2:], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2),
        (lambda lines: [*lines, lines[-1]], 5),
    ],
    ids=["edited", "rehashed", "dropped", "beheaded", "swapped", "repeated"],
)
def test_a_ledger_that_was_tampered_with_is_not_continued(tamper: Any, line: int) -> None:
    broken = "\n".join(tamper(extended("", generation()).splitlines())) + "\n"
    assert not holds(broken)
    for go_on in (lambda: extended(broken, generation(0.2)), lambda: appended(broken, ACCEPTED)):
        with pytest.raises(AuditError, match=f"line {line}: expected a record chained to the one before"):
            go_on()


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "null", '{"event": "begin"}', '{"seq": 0, "hash": "", "prev_hash": ""}']
)
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(AuditError, match=r"audit\.jsonl line 5: expected a JSON object with event, seq"):
        read_ledger(extended("", generation()) + line + "\n")


def test_a_truncated_ledger_is_named_and_not_continued() -> None:
    ledger = extended("", generation())
    for cut in (1, 40):
        with pytest.raises(AuditError, match=r"line 4: expected a line that ends, found the file truncated"):
            extended(ledger[:-cut], generation(0.2))


def test_what_json_has_no_place_for_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        extended("", generation(float("nan")))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["value", "reason", "é"]), values), max_size=3))
def test_whatever_is_recorded_reads_back_exactly(said: list[Record]) -> None:
    records = [{"event": "begin", "generation": 1}, *({"event": "cell", **record} for record in said), {"event": "end"}]
    ledger = extended("", records)
    assert ledger.isascii()
    assert holds(ledger)
    found = [{k: v for k, v in r.items() if k not in {"seq", "hash", "prev_hash"}} for r in read_ledger(ledger)]
    assert json.dumps(found, sort_keys=True) == json.dumps(records, sort_keys=True)
    assert extended(ledger, records) == ledger
