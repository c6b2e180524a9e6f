"""What a forensic report shows of one sleeve or meta, read from the store."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl
from pydantic import BaseModel

from assets.books import children_in_force, weights_in_force
from assets.keys import stage
from assets.metas import sleeves_below
from assets.report_sources import Sources
from resources.store import SIMULATED, Store, is_simulated
from sleevegraph import candidates as candidates_rule
from sleevegraph import selection, solver_cells, synthesis
from sleevegraph.audit import layout
from sleevegraph.calendar import previous
from sleevegraph.certification import BLOCKED
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import Manifest, MetaProfile, SleeveProfile
from sleevegraph.meta_book import subtree
from sleevegraph.report.facts import (
    MetaReport,
    SleeveReport,
    Standing,
)

Rules = Mapping[str, Any]


def report_reader(
    store: Store, manifest: Manifest, portfolio: str, days: Sequence[date]
) -> Callable[[date], SleeveReport | MetaReport]:
    """Return the function that reads the report of a sleeve or meta at one of `days`.

    It raises GateError for a date whose weights nobody judged.
    """
    sources = Sources(store, manifest, max(days))
    metas = {meta.name: meta for meta in manifest.metas}
    if portfolio in metas:
        return lambda at: _meta(sources, metas[portfolio], at, days)
    sleeve = next(sleeve for sleeve in manifest.sleeves if sleeve.name == portfolio)
    return lambda at: _sleeve(sources, sleeve, at, days)


def _sleeve(read: Sources, sleeve: SleeveProfile, at: date, days: Sequence[date]) -> SleeveReport:
    name, earlier, market = sleeve.name, previous(at), read.manifest.market
    book, held = weights_in_force(read.store, sleeve, market, at)
    ledgers = ledgers_from_rows(read.lake.read(stage(name, "track_record"), str(at)))
    record = read.record(stage(name, "track_record"), at)
    rules = _by_key(Manifest(market=market, sleeves=(sleeve,), metas=()))
    return SleeveReport(
        at=at,
        sleeve=sleeve,
        market=market,
        simulated=_simulated(read.store),
        standing=_standing(read, name, at),
        before=_standing(read, name, earlier) if read.lake.has(stage(name, "risk_weights"), str(earlier)) else None,
        held=held,
        book=book,
        book_before=ledgers.in_force(),
        universe=read.universe(at),
        universe_before=read.universe(earlier),
        candidates=read.frame(stage(name, "candidates"), at, candidates_rule.SCHEMA),
        winners=read.frame(stage(name, "winners"), at, selection.SCHEMA),
        pools=read.pools(name, at),
        streams=_streams(read, name, at),
        cells=read.frame(stage(name, "solver_cells"), at, solver_cells.SCHEMA),
        windows=read.windows(name, at, sleeve.risk.failure_windows),
        record=record,
        benchmark=read.benchmark(record),
        gates=read.gates(name, at),
        acceptances=(),
        metrics=read.metrics(stage(name, "sleeve_metrics"), at),
        rules=rules,
        rules_before=_rules_before(read, name, earlier, rules, days),
    )


def _meta(read: Sources, meta: MetaProfile, at: date, days: Sequence[date]) -> MetaReport:
    name, earlier, market = meta.name, previous(at), read.manifest.market
    nodes, sleeves = subtree(meta, read.manifest.metas), sleeves_below(meta, read.manifest)
    tree = Manifest(
        market=market, sleeves=tuple(sleeves), metas=tuple(node for node in read.manifest.metas if node in nodes)
    )
    weights, held = children_in_force(read.store, nodes, read.manifest, at)
    decided, refusal = read.decided(meta, at)
    record = read.record(stage(name, "meta_track_record"), at)
    reports = tuple(_sleeve(read, sleeve, at, days) for sleeve in sleeves)
    reasons = [f"{name} holds its book of {decided or 'never: in cash'}: {refusal}" if refusal else "", *held]
    allocation, breadth = read.allocation(meta, at)
    begun = read.lake.has(stage(name, "meta_weights"), str(earlier))
    rules = _by_key(tree)
    return MetaReport(
        at=at,
        meta=meta,
        manifest=tree,
        simulated=_simulated(read.store),
        standing=_standing(read, name, at),
        before=_standing(read, name, earlier) if begun else None,
        held=tuple(filter(None, [*reasons, *(report.held for report in reports)])),
        nodes={node.name: _standing(read, node.name, at) for node in nodes[1:]},
        weights=weights,
        weights_before=children_in_force(read.store, nodes, read.manifest, earlier)[0] if begun else {},
        allocation=allocation,
        breadth=breadth,
        books=read.book(name, decided, at) if decided else {},
        books_before=_books_before(read, meta, earlier, at) if begun else {},
        sleeves=reports,
        record=record,
        benchmark=read.benchmark(record),
        gates=read.gates(name, at),
        acceptances=(),
        metrics=read.metrics(stage(name, "meta_metrics"), at),
        rules=rules,
        rules_before=_rules_before(read, name, earlier, rules, days),
    )


def _books_before(read: Sources, meta: MetaProfile, earlier: date, at: date) -> Mapping[str, Any]:
    decided, _ = read.decided(meta, earlier)
    return read.book(meta.name, decided, at) if decided else {}


def _standing(read: Sources, portfolio: str, at: date) -> Standing:
    word, reasons = read.certificate(portfolio, at)
    if word != BLOCKED:
        return Standing(word, tuple(reasons), at)
    if portfolio in read.metas:
        return Standing(word, tuple(reasons), read.decided(read.metas[portfolio], at)[0])
    path = stage(portfolio, "track_record")
    record = read.lake.read(path, str(at)) if read.lake.has(path, str(at)) else None
    return Standing(word, tuple(reasons), None if record is None else ledgers_from_rows(record).weights_from)


def _streams(read: Sources, sleeve: str, at: date) -> pl.DataFrame:
    """Synthetic returns, one column per symbol."""
    rows = read.frame(stage(sleeve, "synthetic_returns"), at, synthesis.STREAMS_SCHEMA)
    if rows.is_empty():
        return pl.DataFrame(schema={"date": pl.Date})
    return rows.pivot("symbol", index="date", values="synthetic", sort_columns=True).sort("date")


def _rules_before(read: Sources, portfolio: str, earlier: date, rules: Rules, days: Sequence[date]) -> Rules | None:
    """Rules at the previous rebalance: today's where the same range decides it, else those of its bundle."""
    if earlier in days:
        return rules
    stored = read.store.runs.file(portfolio, earlier, layout.MANIFEST)
    try:
        return _by_key(Manifest.model_validate(json.loads(stored)["manifest"])) if stored else None
    except (ValueError, KeyError, TypeError):
        return None  # of another schema version, or damaged: `verify` says which


def _by_key(manifest: Manifest) -> dict[str, Any]:
    """Values of a manifest by dotted key; sleeves and metas by their names."""
    found: dict[str, Any] = {}
    parts: dict[str, BaseModel] = {"market": manifest.market}
    parts |= {profile.name: profile for profile in (*manifest.sleeves, *manifest.metas)}
    waiting = [(name, profile.model_dump(mode="json")) for name, profile in parts.items()]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{key}.{name}", inner) for name, inner in value.items()]
        else:
            found[key] = value
    return dict(sorted(found.items()))


def _simulated(store: Store) -> str:
    return SIMULATED if is_simulated(store.folders) else ""
