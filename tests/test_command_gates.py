"""`sleevegraph gates` and `sleevegraph accept` on a home of four rebalances, the last of which is blocked."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result

from assets.gates import all_gates
from profiles.load import load_manifest
from resources.lake import AssetPath
from sleevegraph.audit.layout import LEDGER, REPORT
from tests.command_homes import BLOCKED, CERTIFIED, KEYS, finished_home, own_copy, refused, sleevegraph, store_of

META, SHORT = "meta_fractal", "binance_spot_rating_all_short"
FLAT, WEIGHTS, CELLS = (META, "flattened_weights"), (SHORT, "risk_weights"), (SHORT, "solver_cells")
WARNS: AssetPath = ("universe",)
"""Bars with a gap, which `bars_complete` warns of at the certified rebalance."""


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_home(tmp_path_factory)[0]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return own_copy(tmp_path_factory, tmp_path / "home")


def gates(home: Path, on: str = CERTIFIED) -> Result:
    return sleevegraph("gates", "--home", home, "--on", on)


def states(result: Result) -> dict[tuple[str, str], tuple[str, str, str]]:
    """State, whether it blocks, and why, by asset and check; folded rows are joined."""
    rows: list[list[str]] = []
    for line in result.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("│")[1:-1]]
        if cells and cells[0]:
            rows.append(cells)
        elif cells:
            rows[-1] = [f"{before} {more}".strip() for before, more in zip(rows[-1], cells, strict=True)]
    return {(asset.replace(" ", ""), check): (state, blocks, why) for state, asset, check, blocks, why in rows}


def every(home: Path) -> set[tuple[str, str]]:
    del home
    return {("/".join(gate.path), gate.check) for gate in all_gates(load_manifest())}


def accept(home: Path, check: str = "bars_complete", asset: str = "universe", on: str = CERTIFIED) -> Result:
    return sleevegraph("accept", check, asset, on, "--because", "the listing paused", "--by", "R. Roe", "--home", home)


def acceptances(home: Path, name: str) -> list[dict[str, object]]:
    ledger = home / "runs" / f"{name}-{CERTIFIED.replace('-', '')}" / LEDGER
    return [record for record in map(json.loads, ledger.read_text().splitlines()) if record["event"] == "acceptance"]


def test_a_certified_rebalance_shows_every_gate_and_blocks_nothing(home: Path) -> None:
    result = gates(home)
    assert result.exit_code == 0, result.output
    found = states(result)
    assert set(found) == every(home)
    assert {state for state, _, _ in found.values()} == {"PASSED", "WARNED"}
    assert found["universe", "bars_complete"][0] == "WARNED"
    assert "GAPS" in found["universe", "bars_complete"][2]
    assert "blocking: none" in result.stdout


def test_a_blocked_rebalance_names_the_gate_that_failed_and_exits_with_1(home: Path) -> None:
    result = gates(home, BLOCKED)
    assert result.exit_code == 1
    found = states(result)
    state, blocks, why = found["universe", "bars_complete"]
    assert (state, blocks) == ("FAILED", "yes")
    assert why.startswith("ERROR STALE: newest bar")
    assert found["/".join(CELLS), "solver_failure_rate"] == (
        "FAILED",
        "yes",
        f"blocked: bars_complete of universe at {BLOCKED} failed",
    )
    assert found["/".join(CELLS), "engine_agreement"][:2] == ("FAILED", "warns")
    assert found[f"{META}/flattened_weights", "conservation"][0] == "PASSED", "what is held adds up"


def test_the_newest_stored_rebalance_is_the_default(home: Path) -> None:
    assert f"gates at {KEYS[-1]}" in sleevegraph("gates", "--home", home).stdout


def test_an_absent_a_stale_and_an_unreadable_verdict_block(own: Path) -> None:
    store = store_of(own)
    store.receipts.path(WEIGHTS, "weight_sanity", CERTIFIED).unlink()
    store.receipts.path(FLAT, "conservation", CERTIFIED).write_text("{")
    store.lake.write(CELLS, CERTIFIED, store.lake.read(CELLS, CERTIFIED).head(3))
    result = gates(own)
    assert result.exit_code == 1
    found = states(result)
    assert found["/".join(WEIGHTS), "weight_sanity"][:2] == ("ABSENT", "yes")
    assert found["/".join(FLAT), "conservation"][:2] == ("ABSENT", "yes")
    assert found["/".join(CELLS), "solver_failure_rate"] == (
        "STALE",
        "yes",
        "the partition changed after it was judged",
    )


def test_a_bundle_that_was_edited_after_its_verdict_blocks(own: Path) -> None:
    report = own / "runs" / f"{SHORT}-{CERTIFIED.replace('-', '')}" / REPORT
    report.write_bytes(report.read_bytes() + b" ")
    result = gates(own)
    assert result.exit_code == 1
    assert states(result)[f"{SHORT}/audit_bundle", "audit_verified"] == (
        "STALE",
        "yes",
        f"{REPORT} changed after it was judged",
    )


@pytest.mark.parametrize("inputs", ["null", "[]", '"x"'])
def test_a_receipt_of_the_wrong_shape_or_of_something_else_counts_as_none(own: Path, inputs: str) -> None:
    receipts = store_of(own).receipts
    receipt = receipts.path(CELLS, "solver_failure_rate", CERTIFIED)
    receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"inputs": json.loads(inputs)}))
    other = receipts.path(WEIGHTS, "weight_sanity", KEYS[1])
    receipts.path(WEIGHTS, "weight_sanity", CERTIFIED).write_bytes(other.read_bytes())
    found = states(gates(own))
    assert found["/".join(CELLS), "solver_failure_rate"][0] == "ABSENT"
    assert found["/".join(WEIGHTS), "weight_sanity"][0] == "ABSENT"


def test_a_warning_check_without_a_verdict_blocks_nobody(own: Path) -> None:
    store_of(own).receipts.path(CELLS, "engine_agreement", CERTIFIED).unlink()
    result = gates(own)
    assert states(result)["/".join(CELLS), "engine_agreement"][:2] == ("ABSENT", "warns")
    assert result.exit_code == 0


def test_a_verdict_by_other_rules_says_so(own: Path) -> None:
    receipt = store_of(own).receipts.path(CELLS, "solver_failure_rate", CERTIFIED)
    judged = json.loads(receipt.read_text())
    assert judged["rules"]["max_failure_share"] == 0.25
    receipt.write_text(json.dumps(judged | {"rules": judged["rules"] | {"max_failure_share": 0.5}}))
    state, _, why = states(gates(own))["/".join(CELLS), "solver_failure_rate"]
    assert state == "PASSED"
    assert why == "judged by the rules of its day, which have changed since"


def test_an_accepted_warning_is_kept_shown_and_written_to_every_ledger_that_tells_of_the_check(own: Path) -> None:
    result = accept(own)
    assert result.exit_code == 0, result.output
    state, _, why = states(gates(own))["universe", "bars_complete"]
    assert state == "ACCEPTED"
    assert why == "by R. Roe: the listing paused"
    manifest = load_manifest()
    for portfolio in (*manifest.sleeves, *manifest.metas):
        assert portfolio.name in result.stdout
        (record,) = acceptances(own, portfolio.name)
        assert (record["check"], record["because"], record["by"]) == ("bars_complete", "the listing paused", "R. Roe")
        assert "GAPS" in str(record["findings"])
    assert sleevegraph("verify", own / "runs").exit_code == 0


def test_accepting_again_changes_nothing(own: Path) -> None:
    accept(own)
    ledgers = {file: file.read_bytes() for file in (own / "runs").rglob(LEDGER)}
    again = sleevegraph(
        "accept", "bars_complete", "universe", CERTIFIED, "--because", "other", "--by", "J. Doe", "--home", own
    )
    assert again.exit_code == 0
    assert "was accepted by R. Roe because the listing paused" in again.stdout
    assert {file: file.read_bytes() for file in (own / "runs").rglob(LEDGER)} == ledgers


def test_an_acceptance_is_of_one_verdict_and_lapses_with_it(own: Path) -> None:
    accept(own)
    receipt = store_of(own).receipts.path(WARNS, "bars_complete", CERTIFIED)
    judged = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(judged | {"findings": [*judged["findings"], "WARN GAPS: another one"]}))
    assert states(gates(own))["universe", "bars_complete"][0] == "WARNED"


@pytest.mark.parametrize("check", ["directional_sign_test", "conservation"])
def test_signs_and_conservation_are_never_accepted(own: Path, check: str) -> None:
    asset = {"directional_sign_test": WEIGHTS, "conservation": FLAT}[check]
    receipt = store_of(own).receipts.path(asset, check, CERTIFIED)
    receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"findings": ["WARN X: planted"]}))
    text = refusal(own, check, "/".join(asset), CERTIFIED)
    assert f"{check} is never accepted" in text
    assert not store_of(own).acceptances.root.exists()


def refusal(home: Path, *arguments: str) -> str:
    return refused("accept", *arguments, "--because", "it may", "--by", "R. Roe", "--home", home)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bars_complete", "universe", BLOCKED), "expected a warning, found FAILED; only a warning can be accepted"),
        (("weight_sanity", "/".join(WEIGHTS), CERTIFIED), "found PASSED; there is nothing to accept"),
        (("weight_santy", "/".join(WEIGHTS), CERTIFIED), "CHECK: expected one of"),
        (("weight_sanity", "binance_all_short/risk_weights", CERTIFIED), "such as binance_spot_rating_all_short/risk"),
        (("bars_complete", "universe", "2022-03-12"), "nearest are 2022-03-11 and 2022-03-21"),
        (("bars_complete", "universe", "2021-12-21"), "found ABSENT"),
    ],
)
def test_what_cannot_be_accepted_is_refused_in_one_line(own: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(own, *arguments)
    assert not store_of(own).acceptances.root.exists()


def test_a_stale_warning_and_an_empty_reason_are_refused(own: Path) -> None:
    assert "--because: expected words" in refused(
        "accept", "bars_complete", "universe", CERTIFIED, "--because", " ", "--by", "R. Roe", "--home", own
    )
    store = store_of(own)
    store.lake.write(WARNS, CERTIFIED, store.lake.read(WARNS, CERTIFIED).filter(pl.col("eligible")))
    assert "found STALE" in refusal(own, "bars_complete", "universe", CERTIFIED)
