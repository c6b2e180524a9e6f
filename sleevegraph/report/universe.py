"""Who may not be held: drops of the universe by rule, and who fell out since the last rebalance."""

from collections.abc import Mapping

import polars as pl

from sleevegraph.fate import universe_drop
from sleevegraph.report.blocks import Column, Names, Section, Table, figure, missing, text, ticker
from sleevegraph.report.facts import HEADLINE, Report, SleeveReport
from sleevegraph.report.trades import books
from sleevegraph.universe import SCHEMA, eligible_in

KEY, TITLE = "universe", "Universe drops"
DATA_DEFECTS = ("toxicity", "broken_bars")
"""Rules that drop a symbol because its bars cannot be right."""


def universe(facts: Report) -> Section:
    """Drops per rule, with names, and what changed."""
    says = (
        "Symbols that may not be held, by the first rule that says no, and how that differs from the previous rebalance. Look for "
        "symbols that were held and are dropped now, and for drops that speak of broken data."
    )
    now, before = _frames(facts)
    if now.is_empty():
        return missing(KEY, TITLE, says, "no universe was decided at this rebalance")
    drops = {row["symbol"]: row for row in now.filter(~pl.col("eligible")).iter_rows(named=True)}
    why = {symbol: universe_drop(row, facts.market.universe) for symbol, row in drops.items()}
    rules: dict[str, list[str]] = {}
    for symbol, row in drops.items():
        rules.setdefault(row["rule"], []).append(symbol)
    names = [
        Names(
            f"{rule}: {len(symbols)}",
            tuple(f"{ticker(symbol)}: {why[symbol].partition('(')[2].removesuffix(')')}" for symbol in symbols),
        )
        for rule, symbols in _by_size(rules)
    ]
    return Section(KEY, TITLE, says, (_table(now, before, rules), *names), _attention(facts, why, now, before))


def _frames(facts: Report) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The universe is one for all sleeves of a market."""
    if isinstance(facts, SleeveReport):
        return facts.universe, facts.universe_before
    empty = SCHEMA.to_frame()
    return (facts.sleeves[0].universe, facts.sleeves[0].universe_before) if facts.sleeves else (empty, empty)


def _held_by_quote(facts: Report, now: pl.DataFrame) -> set[str]:
    """What some sleeve may hold by quotes of its own, whatever the market prefers."""
    sleeves = (facts,) if isinstance(facts, SleeveReport) else facts.sleeves
    return {symbol for s in sleeves for symbol in eligible_in(now, s.sleeve.quotes)["symbol"]}


def _by_size(rules: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    return sorted(rules.items(), key=lambda item: (-len(item[1]), item[0]))


def _table(now: pl.DataFrame, before: pl.DataFrame, rules: Mapping[str, list[str]]) -> Table:
    was = dict(before.select("symbol", "rule").iter_rows())
    were = set(before.filter("eligible")["symbol"])
    counts = [rule for rule in was.values() if rule is not None]
    rows = []
    for rule, symbols in _by_size(rules):
        new = [symbol for symbol in symbols if was and was.get(symbol) != rule]
        then = figure(counts.count(rule) if was else None, "d")
        size = figure(len(symbols), "d", "warning" if rule in DATA_DEFECTS else "")
        rows.append((text(rule), size, then, text(", ".join(map(ticker, new)))))
    eligible = now.filter("eligible")["symbol"].to_list()
    new = [symbol for symbol in eligible if was and symbol not in were]
    then = figure(len(were) if was else None, "d")
    foot = (text("eligible"), figure(len(eligible), "d"), then, text(", ".join(map(ticker, new))))
    heads = (Column("rule"), Column("symbols", number=True), Column("before", number=True))
    return Table(f"{now.height} symbols with bars", (*heads, Column("new here", wide=True)), tuple(rows), (foot,))


def _attention(facts: Report, why: Mapping[str, str], now: pl.DataFrame, before: pl.DataFrame) -> tuple[str, ...]:
    held, were = books(facts, earlier=True).get(HEADLINE, {}), set(before.filter("eligible")["symbol"])
    may = _held_by_quote(facts, now)
    lost = [
        f"{ticker(symbol)} was held and may not be any more: {reason}"
        for symbol, reason in why.items()
        if held.get(symbol) and symbol not in may
    ]
    broken = [
        f"{ticker(symbol)} has bars that cannot be right: {reason}"
        for symbol, reason in why.items()
        if reason.startswith(DATA_DEFECTS) and symbol in were and not held.get(symbol)
    ]
    return (*lost, *broken)
