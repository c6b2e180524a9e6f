"""What reports read of a home, against what is stored there and what commands show of it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from math import fsum
from shutil import rmtree

import polars as pl
import pytest

from assets.report_facts import report_reader
from commands.in_force import books_in_force, decision_in_force
from resources.lake import AssetPath
from sleevegraph.audit.ledger import current, read_ledger
from sleevegraph.calendar import previous
from sleevegraph.errors import GateError
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.physical import PhysicalBook
from sleevegraph.report.facts import MetaReport, Report, SleeveReport
from sleevegraph.report.page import meta_page, sleeve_page
from sleevegraph.risk_weights import targets
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, small_manifest, small_market

DAYS = [date.fromisoformat(key) for key in KEYS]
FIRST, SECOND, THIRD, LAST = DAYS
PORTFOLIOS = (LONG, SHORT, META, NESTED)


def read(home: TemporaryHome, portfolio: str, at: date, *, alone: bool = False) -> Report:
    return report_reader(home.store, small_manifest(), portfolio, [at] if alone else DAYS)(at)


def sleeve(home: TemporaryHome, portfolio: str, at: date) -> SleeveReport:
    facts = read(home, portfolio, at)
    assert isinstance(facts, SleeveReport)
    return facts


def meta(home: TemporaryHome, portfolio: str, at: date) -> MetaReport:
    facts = read(home, portfolio, at)
    assert isinstance(facts, MetaReport)
    return facts


def page(facts: Report) -> str:
    return meta_page(facts) if isinstance(facts, MetaReport) else sleeve_page(facts)


def profile_of(name: str) -> MetaProfile:
    return next(found for found in small_manifest().metas if found.name == name)


def shown(home: TemporaryHome, name: str, at: date) -> Mapping[str, PhysicalBook]:
    """What `sleevegraph weights` shows."""
    return books_in_force(home.store, decision_in_force(home.store, profile_of(name), at), RISK_PROFILES)


def fail(home: TemporaryHome, path: AssetPath, check: str, at: date) -> None:
    """Turn a stored verdict into a refusal."""
    receipt = home.receipt(path, check, str(at))
    home.store.receipts.write(replace(receipt, passed=False, findings=["ERROR PLANTED: a planted defect"]))


def test_every_page_of_a_home_renders_alone_as_in_a_range(home: TemporaryHome) -> None:
    for portfolio in PORTFOLIOS:
        for at in (FIRST, LAST):
            facts = read(home, portfolio, at)
            assert page(facts) == page(read(home, portfolio, at, alone=True))
            assert page(facts).encode() == home.store.runs.read(portfolio, at)["reports/forensic_report.html"]


def test_a_page_says_how_its_ledger_ends(home: TemporaryHome) -> None:
    for portfolio in PORTFOLIOS:
        for at in (FIRST, LAST):
            end = current(read_ledger(home.store.runs.ledger(portfolio, at)))[-1]
            standing = read(home, portfolio, at).standing
            assert (standing.word, list(standing.reasons)) == (end["standing"], end["reasons"])


def test_a_sleeve_shows_what_is_in_force_from_the_rebalance_on_and_what_was_before(home: TemporaryHome) -> None:
    facts = sleeve(home, SHORT, THIRD)
    assert facts.book == targets(home.read((SHORT, "risk_weights"), str(THIRD)))
    assert facts.book_before == ledgers_from_rows(home.read((SHORT, "track_record"), str(THIRD))).in_force()
    assert (facts.held, facts.standing.weights_from) == ("", THIRD)


def test_a_sleeve_knows_the_pools_cells_and_days_of_every_rebalance_so_far(home: TemporaryHome) -> None:
    facts = sleeve(home, SHORT, THIRD)
    so_far = [FIRST, SECOND, THIRD]
    assert list(facts.pools) == list(facts.windows) == so_far
    for at in so_far:
        winners = home.read((SHORT, "winners"), str(at)).filter("winner")["symbol"]
        assert facts.pools[at] == tuple(sorted(winners))
        cells = home.read((SHORT, "solver_cells"), str(at)).group_by("engine", "status").len()
        assert facts.windows[at] == {(engine, status): count for engine, status, count in cells.iter_rows()}
    assert facts.record.drop_nulls("ret")["date"].unique().sort().to_list() == [
        FIRST + timedelta(days=i) for i in range((THIRD - FIRST).days)
    ]
    assert facts.universe.equals(home.read(("universe",), str(THIRD)))
    assert facts.universe_before.equals(home.read(("universe",), str(SECOND)))


def test_the_benchmark_is_its_close_to_close_return_on_the_days_of_the_record(home: TemporaryHome) -> None:
    facts = sleeve(home, LONG, LAST)
    closes = small_market().filter(pl.col("symbol") == "BINANCE:BTCUSDT").sort("date").select("date", "close")
    expected = closes.with_columns(ret=pl.col("close") / pl.col("close").shift(1) - 1.0)
    expected = expected.filter(pl.col("date").is_between(FIRST, LAST, closed="left")).select("date", "ret")
    assert facts.benchmark["date"].to_list() == expected["date"].to_list()
    assert facts.benchmark["ret"].to_list() == pytest.approx(expected["ret"].to_list(), abs=1e-15)


def test_a_sleeve_in_cash_says_why(home: TemporaryHome) -> None:
    facts = sleeve(home, LONG, LAST)
    assert facts.book == {profile: {} for profile in RISK_PROFILES}
    assert "hrp is in cash: sparse: too few winners." in page(facts)


def test_a_meta_holds_what_the_weights_command_shows(home: TemporaryHome) -> None:
    for name in (META, NESTED):
        facts, expected = meta(home, name, THIRD), shown(home, name, THIRD)
        for profile in RISK_PROFILES:
            kept = ["symbol", "net", "gross"]
            assert facts.books[profile].positions.select(kept).equals(expected[profile].positions.select(kept))
        assert facts.books["hrp"].positions.equals(expected["hrp"].positions)


def test_the_book_before_is_the_one_of_the_previous_rebalance_as_the_market_moved_it(home: TemporaryHome) -> None:
    facts = meta(home, META, THIRD)
    before = dict(shown(home, META, SECOND)["hrp"].positions.select("symbol", "net").iter_rows())
    bars = small_market().filter(pl.col("date").is_in([previous(THIRD) - timedelta(days=1), THIRD - timedelta(days=1)]))
    closes = {
        s: part.sort("date")["close"].to_list() for (s,), part in bars.partition_by("symbol", as_dict=True).items()
    }
    grown = {symbol: net * closes[symbol][1] / closes[symbol][0] for symbol, net in before.items()}
    wealth = 1.0 + fsum(grown.values()) - fsum(before.values())
    found = dict(facts.books_before["hrp"].positions.select("symbol", "net").iter_rows())
    assert found == pytest.approx({symbol: value / wealth for symbol, value in grown.items()})


def test_allocation_and_breadth_cover_every_rebalance_so_far(home: TemporaryHome) -> None:
    facts = meta(home, NESTED, THIRD)
    stored = [home.read((NESTED, "meta_weights"), str(at)).with_columns(rebalance=pl.lit(at)) for at in DAYS[:3]]
    assert facts.allocation.equals(pl.concat(stored).select(facts.allocation.columns))
    nets = [shown(home, NESTED, at)["hrp"].positions["net"] for at in DAYS[:3]]
    expected = [float(net.abs().sum()) ** 2 / float((net * net).sum()) for net in nets]
    assert facts.breadth["symbols"].to_list() == pytest.approx(expected)


def test_the_first_rebalance_has_nothing_before_it(home: TemporaryHome) -> None:
    facts = meta(home, META, FIRST)
    assert (facts.before, dict(facts.books_before), dict(facts.weights_before)) == (None, {}, {})
    assert facts.record.drop_nulls("ret").is_empty()
    assert all(report.before is None for report in facts.sleeves)


def test_a_refused_book_leaves_the_last_certified_one_in_force_drifted(home: TemporaryHome) -> None:
    fail(home, (META, "flattened_weights"), "concentration", THIRD)
    facts, expected = meta(home, META, THIRD), shown(home, META, THIRD)
    assert (facts.standing.word, facts.standing.weights_from) == ("BLOCKED", SECOND)
    kept = ["symbol", "net", "gross"]
    assert facts.books["hrp"].positions.select(kept).equals(expected["hrp"].positions.select(kept))
    assert facts.books["hrp"].positions.equals(facts.books_before["hrp"].positions)
    html = page(facts)
    assert f"{META} holds its book of {SECOND}: concentration of {META}/flattened_weights at {THIRD} failed" in html
    assert "0 trades, turnover 0.00" in html


def test_a_refused_sleeve_keeps_what_it_held_and_degrades_its_meta(home: TemporaryHome) -> None:
    fail(home, (SHORT, "risk_weights"), "weight_sanity", THIRD)
    facts = sleeve(home, SHORT, THIRD)
    assert (facts.standing.word, facts.standing.weights_from) == ("BLOCKED", SECOND)
    assert facts.book == facts.book_before
    above = meta(home, META, THIRD)
    assert above.standing.word == "DEGRADED"
    assert f"{SHORT} holds its weights of {SECOND}" in page(above)


def test_without_a_verdict_there_is_no_report(home: TemporaryHome) -> None:
    home.store.receipts.path((SHORT, "risk_weights"), "weight_sanity", str(THIRD)).unlink()
    with pytest.raises(GateError, match="weight_sanity"):
        read(home, SHORT, THIRD)


def test_rules_are_compared_with_those_of_the_bundle_before(home: TemporaryHome) -> None:
    files = home.store.runs.read(SHORT, SECOND)
    document = json.loads(files["config/resolved_manifest.json"])
    document["manifest"]["sleeves"][0]["risk"]["cluster_cap"] = 0.5
    home.store.runs.write(SHORT, SECOND, {**files, "config/resolved_manifest.json": json.dumps(document).encode()})
    html = page(read(home, SHORT, THIRD, alone=True))
    assert f"1 rules of the manifest changed: {SHORT}.risk.cluster_cap" in html
    rmtree(home.store.runs.path(SHORT, SECOND))
    assert "Whether rules changed is not known" in page(read(home, SHORT, THIRD, alone=True))
