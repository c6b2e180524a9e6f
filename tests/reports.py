"""Facts of made-up reports in which nothing needs attention, to plant defects in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from sleevegraph import candidates, selection, solver_cells, universe
from sleevegraph.atoms import Direction, sign_of
from sleevegraph.audit.facts import CheckRecord
from sleevegraph.manifest import RISK_PROFILES, Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.meta_book import WEIGHTS_SCHEMA, flattened
from sleevegraph.metrics import metrics
from sleevegraph.physical import PhysicalBook, physical_book
from sleevegraph.report.blocks import Section
from sleevegraph.report.facts import (
    ALLOCATION_SCHEMA,
    BREADTH_SCHEMA,
    RECORD_SCHEMA,
    STREAM_SCHEMA,
    MetaReport,
    Report,
    SleeveReport,
    Standing,
)
from sleevegraph.report.page import meta_sections, sleeve_sections
from sleevegraph.tree import compile_tree

AT, EARLIER = date(2023, 12, 1), date(2023, 11, 21)
LONG, SHORT, META = "made_up_long", "made_up_short", "made_up_meta"
ENGINES = ("native", "skfolio")
MARKET = MarketProfile()
BENCHMARK = MARKET.benchmark_symbols[0]
WEIGHTS = {
    LONG: {
        "BINANCE:AAAUSDT": 0.25,
        "BINANCE:BBBUSDT": 0.2,
        "BINANCE:CCCUSDT": 0.2,
        BENCHMARK: 0.2,
        "BINANCE:DDDUSDT": 0.15,
    },
    SHORT: {f"BINANCE:{name}USDT": 0.2 for name in ("EEE", "FFF", "GGG", "HHH", "III")},
}
CLUSTERS = (1, 1, 2, 3, 4)
DAYS = 240


def symbols(sleeve: str) -> list[str]:
    return list(WEIGHTS[sleeve])


def sleeve_profile(direction: Direction = "LONG") -> SleeveProfile:
    """Entropy is vetoed from where returns of 252 days can get to, so that no rule is idle."""
    return SleeveProfile(
        name=LONG if direction == "LONG" else SHORT,
        logic="rating_all",
        rating="recommend_all",
        direction=direction,
        selection={"entropy_max_threshold": 0.9},
        risk={"engines": ENGINES},
    )


def manifest() -> Manifest:
    meta = MetaProfile(name=META, children=(LONG, SHORT), weight_min=0.05, weight_max=0.95)
    return Manifest(market=MARKET, sleeves=(sleeve_profile(), sleeve_profile("SHORT")), metas=(meta,))


def frame(schema: pl.Schema, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows that name only what matters."""
    return pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema)


def dropped(symbol: str, rule: str = "liquidity", value: float = 900_000.0) -> dict[str, Any]:
    base = symbol.removeprefix("BINANCE:").removesuffix("USDT")
    known = {"base": base, "quote": "USDT", "last_bar": AT - timedelta(days=1)}
    return {"symbol": symbol, **known, "eligible": False, "rule": rule, "value": value}


@cache
def universe_frame() -> pl.DataFrame:
    held = sorted({symbol for book in WEIGHTS.values() for symbol in book})
    rows = [{**dropped(symbol), "eligible": True, "rule": None, "value": None} for symbol in held]
    return frame(universe.SCHEMA, [*rows, dropped("BINANCE:YYYUSDT"), dropped("BINANCE:ZZZUSDT")])


def winners_frame(sleeve: str, vetoes: Sequence[str] = ("efficiency",)) -> pl.DataFrame:
    """Five winners, and three more candidates of which the last is vetoed."""
    others = [f"BINANCE:{name}USDT" for name in ("PPP", "QQQ", "RRR")]
    rows = [
        {
            "symbol": s,
            "cluster": c,
            "vetoes": [],
            "winner": True,
            "stage": 1,
            "reason": f"stage 1: rank 1 of cluster {c}",
        }
        for s, c in zip(symbols(sleeve), CLUSTERS, strict=True)
    ]
    rows += [
        {"symbol": s, "cluster": 5, "vetoes": [], "winner": False, "reason": "beyond top_n of cluster 5"}
        for s in others
    ]
    rows[-1] |= {"vetoes": list(vetoes), "reason": f"vetoed: {'; '.join(vetoes)}"}
    return frame(selection.SCHEMA, rows)


def candidates_frame(sleeve: str) -> pl.DataFrame:
    kept = [{"symbol": s, "kept": True, "reason": "kept"} for s in winners_frame(sleeve)["symbol"]]
    return frame(
        candidates.SCHEMA, [*kept, {"symbol": "BINANCE:SSSUSDT", "kept": False, "reason": "rating_wrong_sign"}]
    )


def cells_frame(**planted: str) -> pl.DataFrame:
    """Every cell native, but for those named `engine__profile`, whose status is given."""
    rows: list[dict[str, Any]] = []
    for engine in ENGINES:
        for profile in RISK_PROFILES:
            status = planted.get(f"{engine}__{profile}", "native")
            rows.append({"engine": engine, "profile": profile, "status": status, "weights": []})
            rows[-1] |= {"reason": "" if status == "native" else f"why {status}", "solved_by": engine, "rung": profile}
    return frame(solver_cells.SCHEMA, rows)


def returns(seed: int, days: int = DAYS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0005, 0.01, days)


def days_before(count: int = DAYS) -> list[date]:
    return [AT - timedelta(days=count - i) for i in range(count)]


def record_frame(seed: int) -> pl.DataFrame:
    parts = []
    for i, profile in enumerate(RISK_PROFILES):
        ret = returns(100 * seed + i)
        values = {"date": days_before(), "ret": ret, "equity": np.cumprod(1.0 + ret), "turnover": 0.0, "cost": 0.0}
        parts.append(pl.DataFrame(values).with_columns(profile=pl.lit(profile)).select(RECORD_SCHEMA.names()))
    return pl.concat(parts).cast(RECORD_SCHEMA)


def benchmark_frame() -> pl.DataFrame:
    return pl.DataFrame({"date": days_before(), "ret": returns(7)}, schema=STREAM_SCHEMA)


def metrics_frame(record: pl.DataFrame) -> pl.DataFrame:
    market = benchmark_frame().with_columns(symbol=pl.lit(BENCHMARK))
    return metrics(record, market.select("symbol", "date", "ret"), AT)


def check(asset: str, name: str, state: str = "PASSED", findings: Sequence[str] = (), **figures: Any) -> CheckRecord:
    return CheckRecord(asset, name, str(AT), name != "engine_agreement", state, "d" * 64, {}, {}, findings, figures)


def sleeve_checks(sleeve: str, failure_share: float = 0.0) -> tuple[CheckRecord, ...]:
    counted = {"failure_share": failure_share, "expected_cells": 384, "stand_ins": 0, "failures": {}}
    return (
        check("universe", "bars_complete"),
        check(f"{sleeve}/solver_cells", "solver_failure_rate", **counted),
        check(f"{sleeve}/solver_cells", "engine_agreement"),
        check(f"{sleeve}/risk_weights", "weight_sanity"),
    )


def streams_frame(sleeve: str) -> pl.DataFrame:
    days = {"date": [AT - timedelta(days=252 - i) for i in range(252)]}
    return pl.DataFrame(days | {symbol: returns(i, 252) for i, symbol in enumerate(symbols(sleeve))})


def moved(book: Mapping[str, float]) -> dict[str, float]:
    """The same names with a tenth of the first weight moved to the last."""
    first, *_, last = book
    return {**book, first: 0.9 * book[first], last: book[last] + 0.1 * book[first]}


def sleeve_report(direction: Direction = "LONG", **changes: Any) -> SleeveReport:
    """A certified sleeve; `changes` replace facts."""
    return replace(_certified(direction), **changes)


@cache
def _certified(direction: Direction) -> SleeveReport:
    sleeve = sleeve_profile(direction)
    book = {symbol: sign_of(direction) * weight for symbol, weight in WEIGHTS[sleeve.name].items()}
    record = record_frame(1 if direction == "LONG" else 2)
    pool = tuple(symbols(sleeve.name))
    return SleeveReport(
        at=AT,
        sleeve=sleeve,
        market=MARKET,
        simulated="",
        standing=Standing("CERTIFIED", (), AT),
        before=Standing("CERTIFIED", (), EARLIER),
        held="",
        book=dict.fromkeys(RISK_PROFILES, book),
        book_before=dict.fromkeys(RISK_PROFILES, moved(book)),
        universe=universe_frame(),
        universe_before=universe_frame(),
        candidates=candidates_frame(sleeve.name),
        winners=winners_frame(sleeve.name),
        pools={EARLIER: (*pool[:-1], "BINANCE:OOOUSDT"), AT: pool},
        streams=streams_frame(sleeve.name),
        cells=cells_frame(),
        windows={AT - timedelta(days=10 * i): {(engine, "native"): 8 for engine in ENGINES} for i in range(24)},
        record=record,
        benchmark=benchmark_frame(),
        gates=sleeve_checks(sleeve.name),
        acceptances=(),
        metrics=metrics_frame(record),
        rules={"market.exchange": "BINANCE", f"{sleeve.name}.risk.cluster_cap": 0.25},
        rules_before={"market.exchange": "BINANCE", f"{sleeve.name}.risk.cluster_cap": 0.25},
    )


def weights_frame(shares: Mapping[str, float], status: str = "native", reason: str = "") -> pl.DataFrame:
    rows = [
        {"profile": profile, "child": child, "weight": weight, "unbounded": weight, "status": status, "reason": reason}
        | {"rows_used": 240, "rows_lost": 0, "lost_share": 0.0, "rows_missing": 0}
        | {"volatility": 0.3 if child == LONG else 0.2, "meta_volatility": 0.15}
        for profile in RISK_PROFILES
        for child, weight in shares.items()
    ]
    return frame(WEIGHTS_SCHEMA, rows)


def physical(sleeves: Sequence[SleeveReport], weights: Mapping[str, pl.DataFrame]) -> dict[str, PhysicalBook]:
    """What the tree flattens to."""
    books = {profile: {sleeve.name: sleeve.book[profile] for sleeve in sleeves} for profile in RISK_PROFILES}
    flat = flattened(compile_tree(META, manifest().metas), weights, books)
    return {profile: physical_book(flat, profile) for profile in RISK_PROFILES}


def allocation_frame(shares: Mapping[str, float]) -> pl.DataFrame:
    rows = [
        {"rebalance": day, "profile": profile, "child": child, "weight": weight}
        for day in (EARLIER, AT)
        for profile in RISK_PROFILES
        for child, weight in shares.items()
    ]
    return pl.DataFrame(rows, schema=ALLOCATION_SCHEMA)


def meta_report(sleeves: Sequence[SleeveReport] | None = None, **changes: Any) -> MetaReport:
    """A certified meta of both sleeves; `changes` replace facts."""
    usual = _certified_meta()
    if sleeves is None:
        return replace(usual, **changes)
    earlier = [replace(sleeve, book=sleeve.book_before) for sleeve in sleeves]
    books = {"books": physical(sleeves, usual.weights), "books_before": physical(earlier, usual.weights)}
    return replace(usual, **{"sleeves": tuple(sleeves), **books, **changes})


@cache
def _certified_meta() -> MetaReport:
    below = (sleeve_report(), sleeve_report("SHORT"))
    shares = {LONG: 0.6, SHORT: 0.4}
    weights = {META: weights_frame(shares)}
    books = physical(below, weights)
    earlier = [replace(sleeve, book=sleeve.book_before) for sleeve in below]
    rows = [{"rebalance": day, "children": 1.9, "sleeves": 1.9, "symbols": 9.0} for day in (EARLIER, AT)]
    record = record_frame(3)
    return MetaReport(
        at=AT,
        meta=manifest().metas[0],
        manifest=manifest(),
        simulated="",
        standing=Standing("CERTIFIED", (), AT),
        before=Standing("CERTIFIED", (), EARLIER),
        held=(),
        nodes={},
        weights=weights,
        weights_before=weights,
        allocation=allocation_frame(shares),
        breadth=pl.DataFrame(rows, schema=BREADTH_SCHEMA),
        books=books,
        books_before=physical(earlier, weights),
        sleeves=below,
        record=record,
        benchmark=benchmark_frame(),
        gates=(*sleeve_checks(LONG), check(f"{META}/flattened_weights", "conservation")),
        acceptances=(),
        metrics=metrics_frame(record),
        rules={"market.exchange": "BINANCE"},
        rules_before={"market.exchange": "BINANCE"},
    )


def section(facts: Report, key: str) -> Section:
    """One section of a report's page."""
    sections = meta_sections(facts) if isinstance(facts, MetaReport) else sleeve_sections(facts)
    return next(found for found in sections if found.key == key)
