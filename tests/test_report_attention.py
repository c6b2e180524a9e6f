"""Positive controls: a defect planted in the facts of a report is said in its section, and nowhere without it."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from sleevegraph.audit.facts import AcceptanceRecord
from sleevegraph.report.facts import MetaReport, Report, SleeveReport, Standing
from sleevegraph.report.page import meta_page, meta_sections, sleeve_page, sleeve_sections
from sleevegraph.track_record import CASH
from tests.reports import (
    AT,
    BENCHMARK,
    EARLIER,
    LONG,
    META,
    SHORT,
    benchmark_frame,
    cells_frame,
    check,
    dropped,
    frame,
    meta_report,
    metrics_frame,
    record_frame,
    section,
    sleeve_checks,
    sleeve_report,
    universe_frame,
    weights_frame,
    winners_frame,
)

AAA = "BINANCE:AAAUSDT"


def book_with(book: dict[str, float]) -> SleeveReport:
    """A long sleeve that holds this under hrp, now and before."""
    usual = sleeve_report()
    return replace(usual, book={**usual.book, "hrp": book}, book_before={**usual.book_before, "hrp": book})


def with_positions(**values: object) -> MetaReport:
    """A meta whose largest position has other values than what it was flattened from."""
    facts = meta_report()
    book = facts.books["hrp"]
    first = pl.int_range(pl.len()) == 0
    changes = [pl.when(first).then(pl.lit(value)).otherwise(name).alias(name) for name, value in values.items()]
    return replace(facts, books={**facts.books, "hrp": replace(book, positions=book.positions.with_columns(changes))})


def universe_with(symbol: str, rule: str, value: float) -> pl.DataFrame:
    others = universe_frame().filter(pl.col("symbol") != symbol)
    return pl.concat([others, frame(others.schema, [dropped(symbol, rule, value)])])


def extreme() -> pl.DataFrame:
    """Metrics of a record that earns a hundredth every day, and a little more on one of them."""
    too_good = record_frame(1).with_columns(
        ret=pl.when(pl.col("date") == pl.col("date").max()).then(0.011).otherwise(0.01)
    )
    return metrics_frame(too_good)


def everybody_vetoed() -> pl.DataFrame:
    vetoed = winners_frame(LONG).filter(pl.col("symbol") != BENCHMARK)
    return vetoed.with_columns(vetoes=pl.lit(["efficiency"]), winner=pl.lit(value=False))


def twins() -> MetaReport:
    """Two sleeves that earned the same."""
    record = record_frame(5)
    return meta_report([sleeve_report(record=record), sleeve_report("SHORT", record=record)])


def crash() -> pl.DataFrame:
    """A record of which hrp lost two thirds in one day, half-way."""
    record = record_frame(1)
    day = record["date"].unique().sort()[120]
    hit = (pl.col("date") == day) & (pl.col("profile") == "hrp")
    return record.with_columns(ret=pl.when(hit).then(-0.667).otherwise("ret"))


def lost(node: MetaReport, share: float) -> MetaReport:
    """A meta of which a part of the long child's weight is gone."""
    rows = node.weights[META]
    lighter = pl.when(pl.col("child") == LONG).then(pl.col("weight") - share).otherwise("weight").alias("weight")
    return replace(node, weights={META: rows.with_columns(lighter)})


def turned() -> SleeveReport:
    """A sleeve that sells all it has and buys as much of other names."""
    usual = sleeve_report()
    return replace(usual, book_before={**usual.book_before, "hrp": {f"BINANCE:X{i}USDT": 0.2 for i in range(5)}})


def book_broken() -> SleeveReport:
    """A symbol that was eligible, and not held, has a broken bar."""
    usual = sleeve_report(universe=universe_with(AAA, "broken_bars", 1.0))
    return replace(usual, book_before={profile: {BENCHMARK: 1.0} for profile in usual.book_before})


LOST = {"rows_used": 180, "rows_lost": 60, "lost_share": 0.25, "rows_missing": 60}

PLANTED: dict[str, tuple[str, Callable[[], Report], str]] = {
    "degraded": (
        "standing",
        lambda: sleeve_report(standing=Standing("DEGRADED", ("native/hrp: fallback: singular",), AT)),
        "DEGRADED: native/hrp: fallback: singular",
    ),
    "blocked meta": (
        "standing",
        lambda: meta_report(standing=Standing("BLOCKED", ("concentration: FAILED",), EARLIER)),
        "BLOCKED: concentration: FAILED",
    ),
    "concentrated symbol": ("weights", lambda: with_positions(net=0.9, gross=0.9), "carries the book"),
    "attribution": ("weights", lambda: with_positions(net=0.1500001), "the attribution does not add up"),
    "above the cap": (
        "weights",
        lambda: book_with({AAA: 0.6, BENCHMARK: 0.4}),
        "AAAUSDT: |0.6| is above the cap of 0.5",
    ),
    "wrong sign": ("weights", lambda: book_with({AAA: 0.25, "BINANCE:BBBUSDT": -0.25}), "has the wrong sign"),
    "not normalised": ("weights", lambda: book_with({f"BINANCE:X{i}USDT": 0.2 for i in range(4)}), "add up to 0.8"),
    "child out of bounds": (
        "allocation",
        lambda: meta_report(weights={META: weights_frame({LONG: 0.97, SHORT: 0.03})}),
        f"{LONG} has 0.97, outside 0.05 to 0.95",
    ),
    "children do not add up": ("allocation", lambda: lost(meta_report(), 1e-6), "add up to 0.999999"),
    "torn tree": ("tree", lambda: lost(meta_report(), 1e-6), f"{META}: hrp weights of its children add up to 0.999999"),
    "one bet": ("tree", lambda: sleeve_report(winners=winners_frame(LONG).with_columns(cluster=9)), "are one bet"),
    "one bet below": (
        "tree",
        lambda: meta_report(
            [sleeve_report(winners=winners_frame(LONG).with_columns(cluster=9)), sleeve_report("SHORT")]
        ),
        f"{LONG}: cluster 9 has 100.00",
    ),
    "sleeves that are one": (
        "correlation",
        twins,
        f"{LONG} and {SHORT}: correlation 1.000: together they diversify nothing",
    ),
    "days lost": (
        "correlation",
        lambda: meta_report(
            weights={
                META: weights_frame({LONG: 0.6, SHORT: 0.4}).with_columns(**{n: pl.lit(v) for n, v in LOST.items()})
            }
        ),
        f"hrp: the join of dates lost 60 of 240 days (25%), for lack of {LONG} (60), {SHORT} (60)",
    ),
    "deep drawdown": ("equity", lambda: sleeve_report(record=crash()), "hrp 6"),
    "failed cell": (
        "solvers",
        lambda: sleeve_report(cells=cells_frame(skfolio__hrp="failed")),
        f"{LONG}: skfolio/hrp failed: why failed",
    ),
    "silent cell": (
        "solvers",
        lambda: sleeve_report(cells=cells_frame().filter(pl.col("profile") != "barbell")),
        "no record of native/barbell, skfolio/barbell",
    ),
    "failure share": ("solvers", lambda: sleeve_report(gates=sleeve_checks(LONG, 0.26)), "26.00"),
    "no guardrail": ("solvers", lambda: sleeve_report(gates=()), "the guardrail on failures has no verdict"),
    "failed cell below": (
        "solvers",
        lambda: meta_report([sleeve_report(), sleeve_report("SHORT", cells=cells_frame(native__market="unavailable"))]),
        f"{SHORT}: native/market unavailable: why unavailable",
    ),
    "new pool": (
        "pools",
        lambda: sleeve_report(pools={EARLIER: ("BINANCE:OOOUSDT",), AT: (AAA,)}),
        f"{LONG}: the pool is as good as new: 0.00",
    ),
    "extreme metric": ("metrics", lambda: sleeve_report(metrics=extreme()), "|sharpe| "),
    "extreme metric below": (
        "metrics",
        lambda: meta_report([sleeve_report(metrics=extreme()), sleeve_report("SHORT")]),
        f"{LONG}, hrp, lookback: |sharpe| ",
    ),
    "veto of everybody": (
        "vetoes",
        lambda: sleeve_report(winners=everybody_vetoed()),
        "the veto efficiency vetoes everything",
    ),
    "idle veto": (
        "vetoes",
        lambda: sleeve_report(
            sleeve=sleeve_report().sleeve.model_copy(
                update={
                    "selection": sleeve_report().sleeve.selection.model_copy(update={"entropy_max_threshold": 0.999})
                }
            )
        ),
        "the veto entropy can never fire (limit 0.999)",
    ),
    "held and dropped": (
        "universe",
        lambda: sleeve_report(universe=universe_with(AAA, "liquidity", 1000.0)),
        "AAAUSDT was held and may not be any more: liquidity (median 30-day quote volume 1,000",
    ),
    "held and a duplicate": (
        "universe",
        lambda: sleeve_report(universe=universe_with(AAA, "duplicate_base", 5e6)),
        "AAAUSDT was held and may not be any more: duplicate_base",
    ),
    "held below and dropped": (
        "universe",
        lambda: meta_report([sleeve_report(universe=universe_with(AAA, "min_days", 3.0)), sleeve_report("SHORT")]),
        "AAAUSDT was held and may not be any more: min_days",
    ),
    "broken bars": (
        "universe",
        book_broken,
        "AAAUSDT has bars that cannot be right: broken_bars (1 bars",
    ),
    "failed gate": (
        "gates",
        lambda: sleeve_report(
            gates=(
                *sleeve_checks(LONG),
                check(f"{LONG}/risk_weights", "sign", "FAILED", ["ERROR SHORT_NOT_INVERTED: x"]),
            )
        ),
        f"sign of {LONG}/risk_weights is FAILED: ERROR SHORT_NOT_INVERTED: x",
    ),
    "absent gate": (
        "gates",
        lambda: meta_report(gates=(check(f"{META}/flattened_weights", "conservation", "ABSENT"),)),
        f"conservation of {META}/flattened_weights is ABSENT: nobody judged",
    ),
    "whole book exchanged": ("trades", turned, "turnover 200.00"),
    "standing fell": (
        "changes",
        lambda: sleeve_report(standing=Standing("BLOCKED", ("a gate",), EARLIER)),
        "the standing fell from CERTIFIED to BLOCKED",
    ),
    "rules changed": (
        "changes",
        lambda: meta_report(rules_before={"market.exchange": "OTHER"}),
        "1 rules of the manifest changed: market.exchange",
    ),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_said_in_its_section(defect: str) -> None:
    key, planted, words = PLANTED[defect]
    found = section(planted(), key)
    assert [line for line in found.attention if words in line], found.attention


def test_what_needs_attention_stands_out_in_its_section_and_at_the_top_of_the_page() -> None:
    usual = replace(lost(twins(), 1e-6), rules_before={"market.exchange": "OTHER"})
    facts = replace(usual, gates=(check("universe", "bars_complete", "FAILED", ["ERROR STALE: no bar"]),))
    html = meta_page(facts)
    noticed = [(found, line) for found in meta_sections(facts) for line in found.attention]
    assert {found.key for found, _ in noticed} == {"allocation", "tree", "correlation", "gates", "changes"}
    top = html[html.index("<aside") : html.index("</aside>")]
    assert f"{len(noticed)} matters need attention" in top
    for found, line in noticed:
        body = html[html.index(f'<section id="{found.key}">') :]
        assert f'<p class="attention"><strong>Attention:</strong> {line}</p>' in body[: body.index("</section>")]
        assert line in top


def test_without_a_defect_no_section_asks_for_attention() -> None:
    for facts in (sleeve_report(), sleeve_report("SHORT"), meta_report()):
        sections = meta_sections(facts) if isinstance(facts, MetaReport) else sleeve_sections(facts)
        assert {found.key: found.attention for found in sections if found.attention} == {}


def test_every_section_has_a_positive_control() -> None:
    sections = {found.key for found in (*meta_sections(meta_report()), *sleeve_sections(sleeve_report()))}
    assert sections == {key for key, _, _ in PLANTED.values()}


def test_pages_without_a_defect_say_so() -> None:
    for html in (sleeve_page(sleeve_report()), meta_page(meta_report())):
        assert "Nothing needs attention" in html
        assert "Attention:" not in html


def test_a_warning_is_no_attention_but_is_shown_and_an_accepted_one_says_by_whom() -> None:
    warned = check("universe", "bars_complete", findings=["WARN GAPS: eleven gaps"])
    facts = sleeve_report(gates=(warned, *sleeve_checks(LONG)[1:]))
    assert section(facts, "gates").attention == ()
    assert "PASSED, warned 1 x" in sleeve_page(facts)
    accepted = AcceptanceRecord(
        asset="universe",
        check="bars_complete",
        partition=str(AT),
        receipt="r" * 64,
        findings=["WARN GAPS: eleven gaps"],
        because="known halt",
        by="Ada",
        on="2023-12-02T00:00:00+00:00",
    )
    assert "PASSED, accepted by Ada: known halt" in sleeve_page(replace(facts, acceptances=(accepted,)))


def test_a_sleeve_in_cash_has_a_cash_leaf_in_the_tree_of_its_meta() -> None:
    idle = sleeve_report(book={profile: {} for profile in sleeve_report().book})
    html = meta_page(meta_report([idle, sleeve_report("SHORT")]))
    tree = html[html.index('<section id="tree">') :]
    assert f"{CASH} 100.00" in tree[: tree.index("</section>")]


def test_a_benchmark_that_lacks_days_is_said() -> None:
    facts = sleeve_report(benchmark=benchmark_frame().head(230))
    assert "BTCUSDT has no return on 10 of the 240 days." in sleeve_page(facts)


def test_a_pair_that_a_sleeve_holds_by_its_own_quotes_is_not_said_to_be_lost() -> None:
    universe = universe_with(AAA, "duplicate_base", 5e6)
    quoted = sleeve_report().sleeve.model_copy(update={"quotes": ("USDT",)})
    for facts in (
        sleeve_report(universe=universe, sleeve=quoted),
        meta_report([sleeve_report(universe=universe, sleeve=quoted), sleeve_report("SHORT", universe=universe)]),
    ):
        page = meta_sections(facts) if isinstance(facts, MetaReport) else sleeve_sections(facts)
        (section,) = (found for found in page if found.key == "universe")
        assert section.attention == ()
