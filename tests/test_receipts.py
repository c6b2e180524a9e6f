import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from resources.lake import AssetPath, Lake
from resources.receipts import Gate, Receipt, Receipts, State
from sleevegraph.errors import GateError

ASSET: AssetPath = ("sleeve", "risk_weights")
KEY = "2022-03-01"
CHECKS = [Gate(ASSET, "signs"), Gate(ASSET, "sanity")]

Verdict = Callable[..., None]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write(ASSET, KEY, pl.DataFrame({"weight": [0.5, 0.5]}))
    return lake


@pytest.fixture
def receipts(tmp_path: Path, lake: Lake) -> Receipts:
    return Receipts(tmp_path / "receipts", lake)


@pytest.fixture
def verdict(lake: Lake, receipts: Receipts) -> Verdict:
    def write(check: str, *findings: str, passed: bool) -> None:
        receipts.write(Receipt("sleeve/risk_weights", check, KEY, passed, lake.digest(ASSET, KEY), list(findings)))

    return write


def test_a_receipt_is_read_as_it_was_written(lake: Lake, receipts: Receipts) -> None:
    receipt = Receipt(
        "/".join(ASSET),
        "signs",
        KEY,
        passed=True,
        digest=lake.digest(ASSET, KEY),
        findings=["WARN X: y"],
        figures={"n": 2},
    )
    receipts.write(receipt)
    assert receipts.read(ASSET, "signs", KEY) == receipt


def test_a_partition_is_certified_only_by_a_passed_receipt_of_exactly_its_content(
    lake: Lake, receipts: Receipts, verdict: Verdict
) -> None:
    assert receipts.state(ASSET, "signs", KEY) == (
        State.ABSENT,
        "signs of sleeve/risk_weights at 2022-03-01: no receipt",
    )
    verdict("signs", passed=True)
    assert receipts.state(ASSET, "signs", KEY) == (State.PASSED, "")
    assert receipts.state(ASSET, "sanity", KEY)[0] is State.ABSENT
    lake.write(ASSET, KEY, pl.DataFrame({"weight": [0.5, 0.5 + 1e-18]}))
    assert receipts.state(ASSET, "signs", KEY)[0] is State.PASSED, "the same number is the same content"
    lake.write(ASSET, KEY, pl.DataFrame({"weight": [0.4, 0.6]}))
    assert receipts.state(ASSET, "signs", KEY)[0] is State.STALE


@pytest.mark.parametrize("findings", ["[1]", "[null]", '[["ERROR A: first"]]', '"ERROR A: first"', "null"])
def test_a_receipt_whose_findings_are_no_texts_counts_as_none(
    receipts: Receipts, verdict: Verdict, findings: str
) -> None:
    verdict("signs", "ERROR A: first", passed=False)
    path = receipts.path(ASSET, "signs", KEY)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"findings": json.loads(findings)}))
    assert receipts.state(ASSET, "signs", KEY)[0] is State.ABSENT


def test_a_failed_receipt_says_what_was_found(receipts: Receipts, verdict: Verdict) -> None:
    verdict("signs", "ERROR A: first", "ERROR B: second", passed=False)
    state, reason = receipts.state(ASSET, "signs", KEY)
    assert state is State.FAILED
    assert reason == "signs of sleeve/risk_weights at 2022-03-01 failed: ERROR A: first; ERROR B: second"


def test_a_failed_receipt_of_other_content_is_stale_rather_than_failed(
    lake: Lake, receipts: Receipts, verdict: Verdict
) -> None:
    verdict("signs", "ERROR A: first", passed=False)
    lake.write(ASSET, KEY, pl.DataFrame({"weight": [1.0]}))
    assert receipts.state(ASSET, "signs", KEY)[0] is State.STALE


def test_a_change_of_standing_alone_makes_a_receipt_stale(lake: Lake, receipts: Receipts, verdict: Verdict) -> None:
    verdict("signs", passed=True)
    status, _ = lake.standing(ASSET, KEY)
    lake.write(ASSET, KEY, lake.read(ASSET, KEY), status, "another reason")
    assert receipts.state(ASSET, "signs", KEY)[0] is State.STALE


def test_refusal_is_empty_only_when_every_check_passed(receipts: Receipts, verdict: Verdict) -> None:
    verdict("signs", passed=True)
    verdict("sanity", passed=True)
    assert receipts.refusal(CHECKS, KEY) == ""
    verdict("sanity", "ERROR A: negative", passed=False)
    assert receipts.refusal(CHECKS, KEY) == "sanity of sleeve/risk_weights at 2022-03-01 failed: ERROR A: negative"
    verdict("signs", "ERROR B: turned", passed=False)
    assert receipts.refusal(CHECKS, KEY).count(" failed: ") == 2


def test_refusal_raises_with_the_way_out_when_nobody_judged(receipts: Receipts, verdict: Verdict) -> None:
    verdict("signs", passed=True)
    with pytest.raises(GateError) as absent:
        receipts.refusal(CHECKS, KEY)
    assert str(absent.value) == (
        "sanity of sleeve/risk_weights at 2022-03-01: no receipt; materialise sleeve/risk_weights with its checks for "
        "2022-03-01 (dagster asset materialize --select sleeve/risk_weights --partition 2022-03-01)"
    )


def test_a_stale_receipt_raises_even_beside_a_failed_one(lake: Lake, receipts: Receipts, verdict: Verdict) -> None:
    verdict("sanity", passed=True)
    lake.write(ASSET, KEY, pl.DataFrame({"weight": [1.0]}))
    verdict("signs", "ERROR A: first", passed=False)
    with pytest.raises(GateError, match="sanity of sleeve/risk_weights at 2022-03-01: the partition changed after"):
        receipts.refusal(CHECKS, KEY)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asset": "x"}', '{"surplus": 1}', "\xff\xfe"])
def test_a_receipt_that_cannot_be_read_counts_as_none(receipts: Receipts, verdict: Verdict, text: str) -> None:
    verdict("signs", passed=True)
    receipts.path(ASSET, "signs", KEY).write_bytes(text.encode("latin-1"))
    assert receipts.read(ASSET, "signs", KEY) is None
    assert receipts.state(ASSET, "signs", KEY)[0] is State.ABSENT


def test_a_verdict_whose_partition_is_lost_counts_as_none(lake: Lake, receipts: Receipts, verdict: Verdict) -> None:
    verdict("signs", passed=True)
    lake.path(ASSET, KEY).unlink()
    assert receipts.state(ASSET, "signs", KEY)[0] is State.ABSENT
    with pytest.raises(
        GateError, match=f"not stored any more; materialise sleeve/risk_weights with its checks for {KEY}"
    ):
        receipts.refusal(CHECKS[:1], KEY)


def test_what_is_older_than_all_that_are_stored_was_pruned_and_stays_judged(
    lake: Lake, receipts: Receipts, verdict: Verdict
) -> None:
    verdict("signs", passed=True)
    verdict("sanity", "ERROR A: first", passed=False)
    lake.write(ASSET, "2022-03-11", pl.DataFrame({"weight": [1.0]}))
    lake.remove(ASSET, KEY)
    assert receipts.state(ASSET, "signs", KEY)[0] is State.PRUNED
    assert receipts.state(ASSET, "sanity", KEY)[0] is State.FAILED
    with pytest.raises(GateError, match=f"was pruned since; sleevegraph backfill --from {KEY}, its first rebalance"):
        receipts.refusal(CHECKS, KEY)
