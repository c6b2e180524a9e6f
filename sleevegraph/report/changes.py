"""What changed since the last rebalance: standing, rules, allocation, entries, exits and the largest moves."""

from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any

import polars as pl

from sleevegraph.report.blocks import Block, Column, Section, Table, Text, percent, share, text, ticker
from sleevegraph.report.facts import HEADLINE, MetaReport, Report
from sleevegraph.report.trades import books, changes

KEY, TITLE = "changes", "What changed since the last rebalance"
LARGEST = 10
ORDER = ("CERTIFIED", "DEGRADED", "BLOCKED")


def changed(facts: Report) -> Section:
    """The same portfolio at the previous rebalance, against now."""
    says = (
        f"Differences from the previous rebalance under {HEADLINE}: standing, rules, allocation, names and weights. Look for rules that changed: "
        "what came before was decided under others."
    )
    if facts.before is None:
        return Section(KEY, TITLE, says, (Text("There is no rebalance before this one: everything is new.", "muted"),))
    held, now = books(facts, earlier=True).get(HEADLINE, {}), books(facts).get(HEADLINE, {})
    entered, left = sorted(set(now) - set(held)), sorted(set(held) - set(now))
    kept = sorted(set(now) & set(held))
    rows = [
        (text("standing"), text(facts.before.word), text(facts.standing.word)),
        (text("weights decided at"), text(facts.before.weights_from), text(facts.standing.weights_from)),
        (text("symbols held"), text(len(held)), text(len(now))),
        (text("net"), text(percent(fsum(held.values()))), text(percent(fsum(now.values())))),
    ]
    table = Table("At a glance", (Column(""), Column("before"), Column("now")), tuple(rows), fit=True)
    blocks: list[Block] = [
        table,
        Text(f"{len(entered)} enter: {', '.join(map(ticker, entered)) or 'none'}."),
        Text(f"{len(left)} leave: {', '.join(map(ticker, left)) or 'none'}."),
        Text(f"{len(kept)} stay: {', '.join(map(ticker, kept)) or 'none'}."),
        _largest(held, now),
    ]
    blocks += _allocation(facts) if isinstance(facts, MetaReport) else ()
    blocks.append(_rules(facts))
    return Section(KEY, TITLE, says, tuple(blocks), tuple(_attention(facts)))


def rules_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys whose value differs, with both; None where a key is only on one side."""
    return [(key, before.get(key), now.get(key)) for key in sorted({*before, *now}) if before.get(key) != now.get(key)]


def _largest(held: Mapping[str, float], now: Mapping[str, float]) -> Table:
    moved = sorted(changes(held, now).items(), key=lambda item: (-abs(item[1]), item[0]))[:LARGEST]
    rows = [(text(ticker(s)), share(held.get(s)), share(now.get(s)), share(trade, sign=True)) for s, trade in moved]
    columns = (
        Column("symbol"),
        Column("held, drifted", number=True),
        Column("now", number=True),
        Column("change", number=True),
    )
    return Table(f"The {len(rows)} largest changes of weight", columns, tuple(rows), fit=True)


def _allocation(facts: MetaReport) -> list[Block]:
    shares = [
        dict(rows.filter(pl.col("profile") == HEADLINE).select("child", "weight").iter_rows())
        for rows in (facts.weights_before.get(facts.name), facts.weights.get(facts.name))
        if rows is not None
    ]
    if len(shares) < 2:  # noqa: PLR2004 - before and now
        return []
    before, now = shares
    moved = changes(before, now)
    rows = [
        (text(child), share(before.get(child)), share(now.get(child)), share(moved[child], sign=True))
        for child in moved
    ]
    columns = (
        Column("child"),
        Column("before", number=True),
        Column("now", number=True),
        Column("change", number=True),
    )
    return [Table("Allocation", columns, tuple(rows), fit=True)]


def _rules(facts: Report) -> Block:
    if facts.rules_before is None:
        return Text("Whether rules changed is not known: the previous rebalance has no bundle.", "muted")
    found = rules_changed(facts.rules_before, facts.rules)
    if not found:
        return Text("No rule of the manifest changed.", "good")
    rows = [(text(key), *map(text, _differing(before, now))) for key, before, now in found]
    return Table(
        "Rules of the manifest that changed", (Column("key"), Column("before"), Column("now", wide=True)), tuple(rows)
    )


def _differing(before: Any, now: Any) -> tuple[Any, Any]:
    """Of two lists only what the other one has not."""
    if not (isinstance(before, list) and isinstance(now, list)):
        return before, now
    both = ([item for item in left if item not in right] for left, right in ((before, now), (now, before)))
    gone, added = (", ".join(map(str, items)) for items in both)
    return (gone and f"with {gone}", added and f"with {added}") if gone or added else (before, now)


def _attention(facts: Report) -> Iterator[str]:
    if facts.before and _rank(facts.standing.word) > _rank(facts.before.word):
        yield f"the standing fell from {facts.before.word} to {facts.standing.word}"
    if facts.rules_before is not None:
        found = rules_changed(facts.rules_before, facts.rules)
        if found:
            keys = ", ".join(key for key, _, _ in found[:LARGEST])
            yield f"{len(found)} rules of the manifest changed: {keys}{', …' if len(found) > LARGEST else ''}"


def _rank(word: str) -> int:
    return ORDER.index(word) if word in ORDER else len(ORDER)
