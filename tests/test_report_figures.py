"""What the sections of a report show, against the definitions computed anew."""

import re
from dataclasses import replace
from datetime import date, timedelta
from math import fsum

import empyrical
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.meta_book import WEIGHTS_SCHEMA
from sleevegraph.report import correlation, selection, trades
from sleevegraph.report.allocation import sleeve_shares
from sleevegraph.report.blocks import Table, effective_number, percent, short, stacked
from sleevegraph.report.changes import rules_changed
from sleevegraph.report.equity import drawdown, growth
from sleevegraph.report.facts import Report
from tests.reports import (
    AT,
    EARLIER,
    LONG,
    META,
    SHORT,
    days_before,
    meta_report,
    returns,
    section,
    sleeve_report,
    weights_frame,
    winners_frame,
)

NBSP = "\N{NO-BREAK SPACE}"


def table(facts: Report, key: str, caption: str) -> dict[str, list[str]]:
    """Rows of a table, feet included, as texts by their first cell."""
    blocks = section(facts, key).blocks
    found = next(block for block in blocks if isinstance(block, Table) and caption in block.caption)
    return {row[0].text: [cell.text for cell in row[1:]] for row in (*found.rows, *found.foot)}


def share(text: str) -> float:
    """What a cell with a percentage says."""
    assert re.fullmatch(rf"[+\N{{MINUS SIGN}}]?[\d,]+\.\d\d{NBSP}%", text), text
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", "").removesuffix(f"{NBSP}%")) / 100


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=30), st.floats(0.1, 10.0))
def test_the_effective_number_is_that_of_equal_weights_and_ignores_scale_and_sign(
    weights: list[float], by: float
) -> None:
    found = effective_number(weights)
    assert found is not None
    assert 1.0 - 1e-9 <= found <= len(weights) + 1e-9
    assert effective_number([-by * weight for weight in weights]) == pytest.approx(found)
    assert effective_number([0.2] * len(weights)) == pytest.approx(len(weights))


def test_nothing_has_no_effective_number() -> None:
    assert effective_number([]) is None
    assert effective_number([0.0, 0.0]) is None


def test_shares_of_sleeves_are_products_down_every_path() -> None:
    def node(**shares: float) -> pl.DataFrame:
        rows = [{**dict.fromkeys(WEIGHTS_SCHEMA), "profile": "hrp", "child": c, "weight": w} for c, w in shares.items()]
        return pl.DataFrame(rows, schema=WEIGHTS_SCHEMA)

    weights = {"top": node(left=0.7, right=0.3), "left": node(a=0.4, b=0.6), "right": node(a=0.9, c=0.1)}
    expected = {"a": 0.7 * 0.4 + 0.3 * 0.9, "b": 0.7 * 0.6, "c": 0.3 * 0.1}
    assert sleeve_shares("top", weights, "hrp") == pytest.approx(expected)


def test_every_symbol_of_a_meta_is_shown_with_the_share_of_each_sleeve() -> None:
    facts = meta_report()
    rows = table(facts, "weights", "symbols; gross")
    for sleeve, column, weight in ((LONG, 3, 0.6), (SHORT, 4, 0.4)):
        book = next(report.book["hrp"] for report in facts.sleeves if report.name == sleeve)
        for symbol, held in book.items():
            assert share(rows[symbol.partition(":")[2]][column]) == pytest.approx(weight * held, abs=5e-5)
    assert len(rows) == 10 + 1
    assert [share(rows["sum"][i]) for i in (0, 1, 3, 4)] == pytest.approx([0.2, 1.0, 0.6, -0.4], abs=5e-5)


def test_the_pieces_of_a_bar_are_as_long_as_their_values_on_an_axis_that_all_rows_share() -> None:
    cell = stacked([(0.3, 0, False), (-0.1, 1, True), (0.1, 2, False)], -0.2, 0.8)
    assert cell.zero == 20.0
    assert [(bar.left, bar.width) for bar in cell.bars] == [(20.0, 30.0), (10.0, 10.0), (50.0, 10.0)]


def test_trades_lead_from_what_was_held_to_what_is_held_and_their_sizes_are_the_turnover() -> None:
    facts = sleeve_report()
    rows = table(facts, "trades", "trades, turnover")
    held, now = facts.book_before["hrp"], facts.book["hrp"]
    for symbol in {*held, *now}:
        trade = now.get(symbol, 0.0) - held.get(symbol, 0.0)
        name = symbol.partition(":")[2]
        assert (name in rows) == (trade != 0.0)
        if trade:
            assert share(rows[name][2]) == pytest.approx(trade, abs=5e-5)
    total, cost = trades.traded(facts)
    assert total == pytest.approx(0.05)
    assert cost == pytest.approx(0.05 * 0.0014)
    per_profile = table(facts, "trades", "every risk profile")
    assert all(share(row[0]) == pytest.approx(0.05) for row in per_profile.values())


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(-1, 1)),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(-1, 1)),
)
def test_turnover_is_the_distance_of_two_books(before: dict[str, float], after: dict[str, float]) -> None:
    names = sorted({*before, *after})
    distance = fsum(abs(after.get(name, 0.0) - before.get(name, 0.0)) for name in names)
    assert trades.turnover(trades.changes(before, after)) == distance


def test_correlations_are_those_of_numpy() -> None:
    frame = pl.DataFrame({f"s{i}": returns(i, 60) for i in range(5)})
    assert correlation.correlation(frame) == pytest.approx(np.corrcoef(frame.to_numpy().T))


def test_the_matrix_of_sleeves_shows_their_realised_correlation() -> None:
    facts = meta_report()
    streams = [report.record.filter(pl.col("profile") == "hrp")["ret"].to_numpy() for report in facts.sleeves]
    rows = table(facts, "correlation", "240 days in common")
    shown = rows["short"][0].replace("\N{MINUS SIGN}", "-")
    assert float(shown) == pytest.approx(np.corrcoef(streams)[0, 1], abs=5e-3)


def test_days_that_a_sleeve_lacks_are_left_out_of_the_correlation_and_not_filled() -> None:
    late = sleeve_report().record.filter(pl.col("date") >= AT - timedelta(days=100))
    facts = meta_report([sleeve_report(record=late), sleeve_report("SHORT")])
    assert table(facts, "correlation", "100 days in common")


def test_the_correlation_benefit_is_shown_per_risk_profile_with_the_calmest_child() -> None:
    rows = table(meta_report(), "correlation", "Annual volatility")
    assert set(rows) == set(RISK_PROFILES)
    meta, best, which, mean, against_best, against_mean = rows["hrp"]
    assert [share(text) for text in (meta, best, mean)] == pytest.approx([0.15, 0.2, 0.25])
    assert which == "short"
    assert [share(text) for text in (against_best, against_mean)] == pytest.approx([0.25, 0.4])


def test_a_warm_up_shows_no_volatility_instead_of_a_made_up_one() -> None:
    blank = weights_frame({LONG: 0.6, SHORT: 0.4}).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("volatility", "meta_volatility")
    )
    rows = table(meta_report(weights={META: blank}), "correlation", "Annual volatility")
    assert set(rows["hrp"]) == {"\N{EN DASH}"}


def test_days_lost_by_the_join_are_shown_with_the_child_that_lacks_them() -> None:
    short_of = pl.when(pl.col("child") == SHORT).then(80).otherwise(0).alias("rows_missing")
    lost = {"rows_used": 160, "rows_lost": 80, "lost_share": 1 / 3}
    weights = weights_frame({LONG: 0.6, SHORT: 0.4}).with_columns(short_of, **{n: pl.lit(v) for n, v in lost.items()})
    rows = table(meta_report(weights={META: weights}), "correlation", "Days that all children have")
    assert rows["hrp"] == ["160", "80", f"33.33{NBSP}%", f"{SHORT} (80)"]


def test_how_far_the_bounds_moved_the_weights_is_shown() -> None:
    moved = weights_frame({LONG: 0.95, SHORT: 0.05}).with_columns(
        unbounded=pl.when(pl.col("child") == LONG).then(0.98).otherwise(0.02)
    )
    rows = table(meta_report(weights={META: moved}), "allocation", "Children now")
    assert f"{0.03 * 2**0.5:.3f}" in rows["hrp"]
    assert "0.000" in table(meta_report(), "allocation", "Children now")["hrp"]


def test_growth_and_drawdown_are_those_of_empyrical() -> None:
    stream = pl.DataFrame({"ret": returns(3)})
    assert growth(stream) == pytest.approx(empyrical.cum_returns_final(returns(3)))
    assert drawdown(stream) == pytest.approx(empyrical.max_drawdown(returns(3)))


def test_a_loss_on_the_first_day_is_a_drawdown() -> None:
    assert drawdown(pl.DataFrame({"ret": [-0.2, 0.1]})) == pytest.approx(-0.2)


def test_vetoes_are_counted_per_rule_and_alone_without_benchmark_symbols() -> None:
    winners = winners_frame(LONG, vetoes=("efficiency", "kurtosis"))
    benchmark = pl.col("symbol") == "BINANCE:BTCUSDT"
    second = pl.int_range(pl.len()) == 0
    planted = (
        pl.when(benchmark).then(pl.lit(["volatility"])).when(second).then(pl.lit(["kurtosis"])).otherwise("vetoes")
    )
    facts = sleeve_report(winners=winners.with_columns(planted.alias("vetoes")))
    found = {rule: (count, alone, candidates) for rule, _, count, alone, candidates, _ in selection.fired(facts)}
    assert found == {"entropy": (0, 0, 7), "efficiency": (1, 0, 7), "kurtosis": (2, 1, 7), "volatility": (0, 0, 7)}


def test_cells_are_counted_per_engine_over_the_windows_and_marked_window_by_window() -> None:
    fine, cash = (
        {("native", "native"): 8, ("skfolio", "native"): 8},
        {("native", "rejected"): 8, ("skfolio", "rejected"): 8},
    )
    stood_in = {("native", "native"): 8, ("skfolio", "native"): 5, ("skfolio", "fallback"): 3}
    failed = {("native", "native"): 8, ("skfolio", "native"): 7, ("skfolio", "unavailable"): 1}
    windows = dict(zip(days_before(6), (fine, stood_in, failed, cash, None, {}), strict=True))
    facts = sleeve_report(windows=windows)
    blocks = [block for block in section(facts, "solvers").blocks if isinstance(block, Table)]
    counts = {row[1].text: [cell.text for cell in row[-3:]] for row in blocks[0].rows}
    assert counts == {"native (traded)": ["24", "0", "0"], "skfolio": ["20", "3", "1"]}
    assert blocks[-1].rows[0][6].text == "\N{MIDDLE DOT}3Fc?_"


def test_the_share_of_kept_winners_is_of_those_before() -> None:
    first = date(2023, 11, 11)
    pools = {first: ("a", "b", "c", "d"), EARLIER: ("c", "d", "e"), AT: ()}
    rows = table(sleeve_report(pools=pools), "pools", "Winners kept")
    assert rows[LONG] == ["50%", "\N{EN DASH}"]


def test_names_in_and_out_are_those_of_the_last_two_rebalances() -> None:
    assert table(sleeve_report(), "pools", "Who came and went")[LONG] == ["5", f"80.00{NBSP}%", "DDDUSDT", "OOOUSDT"]


def test_universe_drops_are_counted_and_named_with_what_was_measured() -> None:
    facts = sleeve_report()
    rows = table(facts, "universe", "symbols with bars")
    assert rows["liquidity"][:2] == ["2", "2"]
    assert rows["eligible"][:2] == ["10", "10"]
    names = section(facts, "universe").blocks[1]
    assert names.names == tuple(f"{n}USDT: median 30-day quote volume 900,000 < 1,000,000" for n in ("YYY", "ZZZ"))


def test_rules_that_changed_are_those_with_another_value_or_on_one_side_only() -> None:
    before, now = {"a": 1, "b": [1, 2], "gone": 0}, {"a": 1, "b": [1, 3], "new": None, "more": 5}
    assert rules_changed(before, now) == [("b", [1, 2], [1, 3]), ("gone", 0, None), ("more", None, 5)]


def test_a_long_list_that_changed_shows_only_what_changed() -> None:
    facts = sleeve_report(rules={"bases": ["a", "b", "c"]}, rules_before={"bases": ["a", "c", "d"]})
    assert table(facts, "changes", "Rules of the manifest")["bases"] == ["with d", "with b"]


def test_a_nested_meta_shows_sleeves_beside_children() -> None:
    facts = meta_report()
    nested = facts.meta.model_copy(update={"name": "top", "children": (META, SHORT)})
    weights = {"top": weights_frame({META: 0.5, SHORT: 0.5}), **facts.weights}
    rows = table(replace(facts, meta=nested, weights=weights), "allocation", "Sleeves now")
    assert [share(text) for text in rows["hrp"]] == pytest.approx([0.3, 0.7])


def test_numbers_are_never_clipped_and_what_is_no_number_says_so() -> None:
    assert percent(12345.678) == f"1,234,567.80{NBSP}%"
    assert percent(-1e-9) == f"0.00{NBSP}%"
    assert percent(float("nan")) == "nan"
    assert percent(float("-inf")) == "\N{MINUS SIGN}inf"
    assert percent(None) == "\N{EN DASH}"


def test_names_lose_what_they_share_but_never_all_of_themselves() -> None:
    assert short(["a_b_long", "a_b_short"]) == {"a_b_long": "long", "a_b_short": "short"}
    assert short(["a_b", "a_b_c"]) == {"a_b": "a_b", "a_b_c": "c"}
    assert short(["only"]) == {"only": "only"}
