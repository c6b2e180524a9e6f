"""What a bundle says, against what the lake holds and against definitions recomputed here."""

import json
import shutil
from dataclasses import asdict, replace
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.acceptances import Acceptance
from sleevegraph.audit.documents import as_json, physical
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, cause

PORTFOLIOS = (LONG, SHORT, META, NESTED)
AUDITS = [(portfolio, "audit_bundle") for portfolio in PORTFOLIOS]
DECIDED, IN_CASH = KEYS[2], KEYS[3]
Document = dict[str, Any]


def folder(home: TemporaryHome, portfolio: str, key: str) -> Path:
    return home.root / "runs" / f"{portfolio}-{key.replace('-', '')}"


def document(home: TemporaryHome, portfolio: str, key: str, file: str) -> Document:
    return dict(json.loads((folder(home, portfolio, key) / file).read_text()))


def ledger(home: TemporaryHome, portfolio: str, key: str) -> list[Document]:
    return [json.loads(line) for line in (folder(home, portfolio, key) / "audit.jsonl").read_text().splitlines()]


def said(records: list[Document], event: str) -> list[Document]:
    return [record for record in records if record["event"] == event]


def content(home: TemporaryHome) -> dict[str, str]:
    """SHA-256 of every file of every bundle."""
    runs = home.root / "runs"
    return {str(f.relative_to(runs)): sha256(f.read_bytes()).hexdigest() for f in runs.rglob("*") if f.is_file()}


def closes(home: TemporaryHome) -> pd.DataFrame:
    """Closing prices by day and symbol."""
    bars = pd.concat(pd.read_parquet(f) for f in (home.root / "data" / "lake" / "daily_bars").glob("*.parquet"))
    bars["date"] = pd.to_datetime(bars["date"])
    return bars.pivot_table(index="date", columns="symbol", values="close").asfreq("D")


def test_every_portfolio_leaves_a_bundle_with_the_files_of_the_contract_at_every_rebalance(home: TemporaryHome) -> None:
    common = {
        "config/resolved_manifest.json",
        "audit.jsonl",
        "reports/forensic_report.html",
        "data/directional_sign_test.json",
    }
    sleeve = {"returns_matrix.parquet", "synthetic_returns.parquet", "portfolio_optimized_v2.json"}
    sleeve |= {"portfolio_flattened.json", "directional_sign_test_pre_opt.json"}
    meta = {"meta_returns.parquet", "meta_optimized.json", "cluster_tree.json", "flattened.json"}
    for portfolio in PORTFOLIOS:
        own = sleeve if portfolio in {LONG, SHORT} else meta
        for key in KEYS:
            place = folder(home, portfolio, key)
            files = {f.relative_to(place).as_posix() for f in place.rglob("*") if f.is_file()}
            assert files == common | {f"data/{name}" for name in own}
            listed = home.read((portfolio, "audit_bundle"), key)
            assert dict(listed.select("file", "sha256").iter_rows()) == {
                file: sha256((place / file).read_bytes()).hexdigest() for file in files
            }


def test_matrices_are_the_returns_of_the_bars_and_what_solvers_saw_of_them(home: TemporaryHome) -> None:
    place = folder(home, SHORT, DECIDED) / "data"
    raw, synthetic = (
        pd.read_parquet(place / f"{n}.parquet").set_index("date") for n in ("returns_matrix", "synthetic_returns")
    )
    prices = closes(home)
    window = pd.date_range(end=pd.Timestamp(DECIDED) - timedelta(days=1), periods=252)
    winners = home.read((SHORT, "winners"), DECIDED).filter("winner")["symbol"].to_list()
    assert sorted(raw.columns) == sorted({*winners, "BINANCE:BTCUSDT"})
    raw.index = pd.to_datetime(raw.index)
    assert list(raw.index) == list(window)
    expected = (prices / prices.shift(1) - 1.0).loc[window, list(raw.columns)]
    pd.testing.assert_frame_equal(
        raw, expected, check_freq=False, check_names=False, check_index_type=False, check_exact=True
    )
    assert list(synthetic.columns) == [f"{symbol}_rating_all_SHORT" for symbol in raw.columns]
    assert (synthetic.to_numpy() == -raw.clip(upper=1.0).to_numpy()).all()


def test_weights_are_those_of_the_engine_of_record_and_the_physical_ones_their_signed_image(
    home: TemporaryHome,
) -> None:
    stored = home.read((SHORT, "risk_weights"), DECIDED).filter(pl.col("of_record") & (pl.col("symbol") != "CASH"))
    solved, physical = (
        document(home, SHORT, DECIDED, f"data/{name}.json")["profiles"]
        for name in ("portfolio_optimized_v2", "portfolio_flattened")
    )
    assert len(solved) == len(physical) == 8
    for profile, rows in stored.group_by("profile"):
        expected = {row["symbol"]: row for row in rows.iter_rows(named=True)}
        found = solved[str(profile[0])]["assets"]
        assert [asset["Symbol"] for asset in found] == sorted(f"{symbol}_rating_all_SHORT" for symbol in expected)
        for asset, image in zip(found, physical[str(profile[0])]["assets"], strict=True):
            row = expected[image["Symbol"]]
            assert asset == {
                "Symbol": f"{image['Symbol']}_rating_all_SHORT",
                "Weight": row["weight"],
                "Net_Weight": row["weight"],
                "Direction": "LONG",
                "Cluster_ID": row["cluster"],
            }
            assert (image["Weight"], image["Net_Weight"]) == (row["weight"], -row["weight"])
            assert (image["Direction"], image["Cluster_ID"]) == ("SHORT", row["cluster"])


def test_a_rebalance_in_cash_has_empty_files_and_the_ledger_says_why(home: TemporaryHome) -> None:
    place = folder(home, LONG, IN_CASH) / "data"
    for name in ("returns_matrix", "synthetic_returns"):
        frame = pd.read_parquet(place / f"{name}.parquet")
        assert (list(frame.columns), len(frame)) == (["date"], 0)
    for name in ("portfolio_optimized_v2", "portfolio_flattened"):
        profiles = document(home, LONG, IN_CASH, f"data/{name}.json")["profiles"]
        assert [profile["assets"] for profile in profiles.values()] == [[]] * 8
    records = ledger(home, LONG, IN_CASH)
    assert {cell["reason"] for cell in said(records, "cell")} == {"sparse: too few winners"}
    assert {cell["status"] for cell in said(records, "cell")} == {"rejected"}
    assert said(records, "atoms")[0]["atoms"] == []
    assert records[-1]["standing"] == "DEGRADED"


def test_the_ledger_names_every_drop_veto_and_choice_that_the_lake_holds(home: TemporaryHome) -> None:
    records = ledger(home, SHORT, DECIDED)
    universe, candidates = home.read(("universe",), DECIDED), home.read((SHORT, "candidates"), DECIDED)
    winners = home.read((SHORT, "winners"), DECIDED)
    assert said(records, "universe_drops")[0]["drops"] == [
        {"symbol": r["symbol"], "rule": r["rule"], "value": r["value"]}
        for r in universe.to_dicts()
        if not r["eligible"]
    ]
    assert said(records, "candidate_drops")[0]["drops"] == [
        {"symbol": r["symbol"], "reason": r["reason"]} for r in candidates.to_dicts() if not r["kept"]
    ]
    (selection,) = said(records, "selection")
    chosen = winners.filter("winner")
    assert [row["symbol"] for row in selection["winners"]] == chosen["symbol"].to_list()
    assert [row["symbol"] for row in selection["losers"]] == winners.filter(~pl.col("winner"))["symbol"].to_list()
    assert selection["stage"] == chosen["stage"].max()
    assert {row["symbol"]: row["rules"] for row in said(records, "vetoes")[0]["vetoes"]} == {
        row["symbol"]: row["vetoes"] for row in winners.to_dicts() if row["vetoes"]
    }
    assert said(records, "atoms")[0]["eligible"] == universe.filter("eligible")["symbol"].to_list()


def test_the_ledger_names_what_was_used_made_and_checked_by_its_hash(home: TemporaryHome) -> None:
    for portfolio in PORTFOLIOS:
        records, place = ledger(home, portfolio, DECIDED), folder(home, portfolio, DECIDED)
        stages = said(records, "stage")
        for stage in stages:
            path = home.store.lake.path(tuple(stage["asset"].split("/")), stage["partition"])
            if "solver_cells" not in stage["asset"]:  # whose digest leaves the time that a solve took out
                assert stage["digest"] == sha256(path.read_bytes()).hexdigest()
            assert stage["rows"] == len(pd.read_parquet(path))
        outputs = {output["file"]: output for output in said(records, "output")}
        assert {*outputs, "audit.jsonl"} == {f.relative_to(place).as_posix() for f in place.rglob("*") if f.is_file()}
        for file, output in outputs.items():
            assert output["sha256"] == sha256((place / file).read_bytes()).hexdigest()
            assert output["bytes"] == (place / file).stat().st_size
        used = {(stage["asset"], stage["partition"]): stage["digest"] for stage in stages}
        for check in said(records, "check"):
            assert check["digest"] == used[check["asset"], check["partition"]]
            assert check["state"] == "PASSED"
        assert records[-1]["records"] == len(records)


def test_weights_digests_are_of_the_documents_weights(home: TemporaryHome) -> None:
    profiles = document(home, SHORT, DECIDED, "data/portfolio_flattened.json")["profiles"]
    for cell in said(ledger(home, SHORT, DECIDED), "cell"):
        pairs = [[asset["Symbol"], asset["Net_Weight"]] for asset in profiles[cell["profile"]]["assets"]]
        text = json.dumps(pairs, separators=(",", ":"))
        assert cell["of_record"] is True
        assert (cell["assets"], cell["weights_digest"]) == (len(pairs), sha256(text.encode()).hexdigest())


def test_ledgers_are_anchored_in_the_one_before_and_in_those_of_the_children(home: TemporaryHome) -> None:
    for portfolio, children in ((SHORT, []), (META, [LONG, SHORT]), (NESTED, [META, SHORT])):
        assert ledger(home, portfolio, KEYS[0])[0]["previous"] is None
        for earlier, key in pairwise(KEYS):
            (begin,) = said(ledger(home, portfolio, key), "begin")
            assert begin["previous"] == {
                "run_id": folder(home, portfolio, earlier).name,
                "hash": ledger(home, portfolio, earlier)[-1]["hash"],
            }
            assert begin["children"] == {
                folder(home, child, key).name: ledger(home, child, key)[-1]["hash"] for child in children
            }


def test_every_day_of_bars_has_a_digest_of_its_own(home: TemporaryHome) -> None:
    (bars,) = said(ledger(home, SHORT, KEYS[1]), "bars")
    frame = pd.concat(pd.read_parquet(f) for f in (home.root / "data" / "lake" / "daily_bars").glob("*.parquet"))
    first = pd.Timestamp(bars["first"])
    digests = [bars["days"][i : i + 8] for i in range(0, len(bars["days"]), 8)]
    assert first == pd.to_datetime(frame["date"]).min()
    assert len(digests) == (pd.Timestamp(KEYS[1]) - first).days
    values = ["open", "high", "low", "close", "volume", "quote_volume", "quote_volume_derived"]
    for at in (0, 100, len(digests) - 1):
        day = frame[pd.to_datetime(frame["date"]) == first + timedelta(days=at)].sort_values("symbol")
        names = "".join(f"{row.symbol},{row.base},{row.quote}\n" for row in day.itertuples())
        content = names.encode() + b"".join(day[name].to_numpy().astype("<f8").tobytes() for name in values)
        assert digests[at] == sha256(content).hexdigest()[:8]


def test_the_physical_book_of_a_meta_is_its_tree_walked_down(home: TemporaryHome) -> None:
    for meta in (META, NESTED):
        trees = document(home, meta, DECIDED, "data/cluster_tree.json")["profiles"]
        books = document(home, meta, DECIDED, "data/flattened.json")["profiles"]
        weighed = document(home, meta, DECIDED, "data/meta_optimized.json")["profiles"]
        for profile, tree in trees.items():
            found: dict[str, list[float]] = {}

            def walk(node: Document, product: float, paths: dict[str, list[float]] = found) -> None:
                for asset in node.get("Assets", []):
                    paths.setdefault(asset["Symbol"], []).append(product * asset["Net_Weight"])
                for child in node.get("Children", []):
                    walk(child, product * child["Weight"])

            walk(tree, tree["Weight"])
            assets = {asset["Symbol"]: asset for asset in books[profile]["assets"]}
            assert set(assets) == set(found)
            for symbol, paths in found.items():
                assert assets[symbol]["Net_Weight"] == pytest.approx(sum(paths), abs=1e-12)
                assert assets[symbol]["Gross"] == pytest.approx(sum(map(abs, paths)), abs=1e-12)
                parts = [part["Contribution"] for part in assets[symbol]["Contributions"]]
                assert sorted(parts) == pytest.approx(sorted(paths), abs=1e-12)
            shares = {asset["Symbol"]: asset["Weight"] for asset in weighed[profile]["assets"]}
            assert shares == {child["Node"]: child["Weight"] for child in tree["Children"]}


def test_a_meta_says_what_its_children_earned_and_how_they_stand(home: TemporaryHome) -> None:
    frame = pd.read_parquet(folder(home, NESTED, IN_CASH) / "data" / "meta_returns.parquet")
    assert list(frame.columns) == ["date", "profile", SHORT, META]
    for child, record in ((SHORT, "track_record"), (META, "meta_track_record")):
        earned = pl.concat(home.read((child, record), key) for key in KEYS).drop_nulls("ret")
        expected = {(row["profile"], row["date"]): row["ret"] for row in earned.to_dicts()}
        assert {(p, d): r for p, d, r in zip(frame["profile"], frame["date"], frame[child], strict=True)} == expected
    children = {record["name"]: record for record in said(ledger(home, NESTED, IN_CASH), "child")}
    assert {name: child["standing"] for name, child in children.items()} == {
        LONG: "DEGRADED",
        SHORT: "CERTIFIED",
        META: "DEGRADED",
    }
    end = ledger(home, NESTED, IN_CASH)[-1]
    assert end["standing"] == "DEGRADED"
    assert [reason.split(" is ")[0] for reason in end["reasons"]] == [LONG, META]


def test_a_bundle_names_no_place_on_the_machine_that_made_it(home: TemporaryHome) -> None:
    made_in = "four_rebalances"  # the folder of the home that this one is a copy of
    for file in (home.root / "runs").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for private in (made_in, "dagster_home", str(Path.home()), str(Path(__file__).parents[1])):
                assert private.encode() not in data, f"{file}: {private}"


def test_one_run_per_partition_in_another_home_leaves_the_same_bytes(home: TemporaryHome) -> None:
    before = content(home)
    for portfolio in PORTFOLIOS:
        for key in KEYS[2:]:
            shutil.rmtree(folder(home, portfolio, key))
            home.store.lake.path((portfolio, "audit_bundle"), key).unlink()
    for key in KEYS[2:]:
        assert home.run(key, assets=AUDITS).success
    assert content(home) == before


def test_the_same_rebalance_again_touches_nothing(home: TemporaryHome) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home.root / "runs").rglob("*")}
    assert home.run(*KEYS[2:], assets=AUDITS).success
    assert {path: path.stat().st_mtime_ns for path in (home.root / "runs").rglob("*")} == before


def test_weights_that_a_gate_refused_are_in_no_document_but_shown_by_the_sign_test(home: TemporaryHome) -> None:
    weights = (SHORT, "risk_weights")
    home.plant(weights, IN_CASH, -pl.col("net"))
    assert home.run(IN_CASH, checks=[(weights, "directional_sign_test"), (weights, "weight_sanity")]).success
    assert home.run(IN_CASH, assets=[(SHORT, "audit_bundle")]).success
    records = ledger(home, SHORT, IN_CASH)
    assert [begin["generation"] for begin in said(records, "begin")] == [1, 2]
    assert records[-1]["standing"] == "BLOCKED"
    failed = f"directional_sign_test of {SHORT}/risk_weights: FAILED: ERROR SHORT_NOT_INVERTED"
    assert records[-1]["reasons"][0].startswith(failed)
    for name in ("portfolio_optimized_v2", "portfolio_flattened"):
        profiles = document(home, SHORT, IN_CASH, f"data/{name}.json")["profiles"]
        assert [profile["assets"] for profile in profiles.values()] == [[]] * 8
    found = document(home, SHORT, IN_CASH, "data/directional_sign_test.json")
    assert found["errors"] == len(found["findings"]) > 0
    assert {finding["code"] for finding in found["findings"]} == {"SHORT_NOT_INVERTED"}
    assert {finding["run_id"] for finding in found["findings"]} == {folder(home, SHORT, IN_CASH).name}


def test_a_rebalance_that_a_gate_blocked_has_its_bundles_and_says_what_is_held(home: TemporaryHome) -> None:
    after = "2022-03-21"  # the bars end on 2022-03-16
    assert home.run(after).success
    for portfolio in PORTFOLIOS:
        records = ledger(home, portfolio, after)
        assert records[-1]["standing"] == "BLOCKED"
        assert records[0]["previous"]["hash"] == ledger(home, portfolio, IN_CASH)[-1]["hash"]
    assert ledger(home, SHORT, after)[-1]["reasons"][0].startswith("bars_complete of universe: FAILED: ERROR ")
    assert said(ledger(home, SHORT, after), "cell") == []
    blocked = {r["asset"]: r["reason"] for r in said(ledger(home, SHORT, after), "stage") if r["status"] == "BLOCKED"}
    assert f"{SHORT}/risk_weights" in blocked
    assert all(reason.startswith("bars_complete of universe at 2022-03-21 failed") for reason in blocked.values())
    days = said(ledger(home, SHORT, after), "bars")[0]["days"]
    assert (days[-32:], days[-40:-32] == "00000000") == ("0" * 32, False)  # 17 to 20 March have no bar, the 16th has
    frame = pd.read_parquet(folder(home, SHORT, after) / "data" / "returns_matrix.parquet")
    assert (list(frame.columns), len(frame)) == (["date"], 0)
    children = {record["name"]: record for record in said(ledger(home, META, after), "child")}
    assert children[SHORT]["held"].startswith(f"{SHORT} holds its weights of {IN_CASH}: bars_complete")
    assert {child["standing"] for child in children.values()} == {"BLOCKED"}
    for file in ("meta_optimized", "flattened"):
        profiles = document(home, META, after, f"data/{file}.json")["profiles"]
        assert [profile["assets"] for profile in profiles.values()] == [[]] * 8
    tree = document(home, META, after, "data/cluster_tree.json")["profiles"]["hrp"]
    assert tree == {"Node": META, "Kind": "meta", "Weight": 1.0, "Children": []}


def test_an_acceptance_is_in_the_ledger_and_no_other_outcome(home: TemporaryHome) -> None:
    gate = ((LONG, "solver_cells"), "profile_convergence", DECIDED)
    verdict, before = home.receipt(*gate), content(home)
    assert any(finding.startswith("WARN") for finding in verdict.findings)
    accepted = Acceptance(
        asset=f"{LONG}/solver_cells",
        check="profile_convergence",
        partition=DECIDED,
        receipt=home.store.receipts.fingerprint(*gate),
        findings=verdict.findings,
        because="few winners, known",
        by="A. Person",
        on="2022-03-01T09:00:00+00:00",
    )
    home.store.acceptances.write(accepted)
    assert home.run(*KEYS[2:], assets=AUDITS).success
    changed = {file for file, digest in content(home).items() if before[file] != digest}
    assert changed == {f"{folder(home, LONG, DECIDED).name}/audit.jsonl"}
    last = ledger(home, LONG, DECIDED)[-1]
    assert (last["event"], last.items() >= asdict(accepted).items()) == ("acceptance", True)
    shutil.rmtree(folder(home, LONG, DECIDED))
    assert home.run(DECIDED, assets=[(LONG, "audit_bundle")]).success
    events = [record["event"] for record in ledger(home, LONG, DECIDED)]
    at = events.index("acceptance")
    assert (events[at - 1], events[at + 1], events.count("acceptance")) == ("check", "output", 1)
    home.store.acceptances.write(replace(accepted, receipt="0" * 64, because="of another verdict"))
    shutil.rmtree(folder(home, LONG, DECIDED))
    assert home.run(DECIDED, assets=[(LONG, "audit_bundle")]).success
    assert said(ledger(home, LONG, DECIDED), "acceptance") == []


def test_a_verdict_that_is_absent_or_stale_refuses_the_bundle(home: TemporaryHome) -> None:
    receipt = home.store.receipts.path((SHORT, "solver_cells"), "engine_agreement", DECIDED)
    receipt.rename(receipt.with_suffix(".gone"))
    refused = home.run(DECIDED, assets=[(SHORT, "audit_bundle")])
    assert not refused.success
    assert f"engine_agreement of {SHORT}/solver_cells at {DECIDED}: no receipt; materialise" in cause(refused)
    receipt.with_suffix(".gone").rename(receipt)
    home.plant((LONG, "risk_weights"), DECIDED, pl.col("net") + 1e-6)
    stale = home.run(DECIDED, assets=[(LONG, "audit_bundle")])
    assert not stale.success
    assert "the partition changed after it was judged" in cause(stale)


def test_a_meta_is_not_audited_on_bundles_that_are_absent_or_of_something_else(home: TemporaryHome) -> None:
    child = folder(home, META, DECIDED)
    child.rename(child.with_name("elsewhere"))
    refused = home.run(DECIDED, assets=[(NESTED, "audit_bundle")])
    assert f"{META}/audit_bundle {DECIDED}: expected its bundle, found none" in cause(refused)
    child.with_name("elsewhere").rename(child)
    file = child / "audit.jsonl"
    (digest,) = {
        r["digest"]
        for r in ledger(home, META, DECIDED)
        if r.get("asset") == f"{META}/meta_weights" and r["event"] == "stage"
    }
    home.plant((META, "meta_metrics"), DECIDED, pl.col("observations") + 1)
    stale = home.run(DECIDED, assets=[(NESTED, "audit_bundle")])
    assert f"found that {META}/meta_metrics of {DECIDED} changed since" in cause(stale)
    assert digest in file.read_text()


def test_a_bundle_is_not_anchored_in_one_that_was_taken_away(home: TemporaryHome) -> None:
    shutil.rmtree(folder(home, SHORT, KEYS[1]))
    refused = home.run(KEYS[2], assets=[(SHORT, "audit_bundle")])
    assert f"expected the ledger of {KEYS[1]} to anchor this one in, found none" in cause(refused)


def test_a_ledger_that_was_edited_is_refused_and_stays_as_it_is(home: TemporaryHome) -> None:
    file = folder(home, SHORT, DECIDED) / "audit.jsonl"
    edited = file.read_text().replace('"standing":"CERTIFIED"', '"standing":"DEGRADED"')
    file.write_text(edited)
    home.plant((SHORT, "sleeve_metrics"), DECIDED, pl.col("observations") + 1)
    checks = [((SHORT, "sleeve_metrics"), check) for check in ("extreme_metrics", "benchmark_beta")]
    assert home.run(DECIDED, checks=checks).success
    refused = home.run(DECIDED, assets=[(SHORT, "audit_bundle")])
    assert "expected a record chained to the one before, found another" in cause(refused)
    assert file.read_text() == edited


def assets(*nets: float | None, symbols: tuple[str, ...] = ("B", "A")) -> pl.DataFrame:
    """Rows of one cell of record."""
    return pl.DataFrame(
        {
            "profile": "hrp",
            "of_record": True,
            "symbol": symbols,
            "direction": "SHORT",
            "net": nets,
            "cluster": [3, None],
        }
    )


@pytest.mark.parametrize(
    "symbols",
    [
        ("BINANCE:AUSDT", "BINANCE:BUSDT"),
        ("币安人生USDT", "é"),
        ('quo"te', "back\\slash"),
        ('},{"Cluster_ID":', '": null'),
    ],
)
def test_documents_are_written_as_json_writes_them(symbols: tuple[str, ...]) -> None:
    nets = (-0.30000000000000004, -0.0)
    written = as_json(physical(assets(*nets, symbols=symbols)))
    document = json.loads(written)
    assert written == (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    found = {asset.pop("Symbol"): asset for asset in document["profiles"]["hrp"]["assets"]}
    assert list(found) == sorted(symbols)
    for symbol, net, cluster in zip(symbols, nets, (3, None), strict=True):
        expected = {"Weight": abs(net), "Net_Weight": net, "Direction": "SHORT", "Cluster_ID": cluster}
        assert repr(sorted(found[symbol].items())) == repr(sorted(expected.items()))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_weights_read_back_to_the_bit(nets: list[float]) -> None:
    found = json.loads(as_json(physical(assets(*nets))))["profiles"]["hrp"]["assets"]
    assert repr({asset["Symbol"]: asset["Net_Weight"] for asset in found}) == repr({"A": nets[1], "B": nets[0]})
