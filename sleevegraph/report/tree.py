"""The uncollapsed tree: metas, sleeves, correlation clusters and atoms with their weights."""

from collections.abc import Iterator, Mapping
from math import fsum

import polars as pl

from sleevegraph.report.blocks import (
    Cell,
    Column,
    Section,
    Table,
    figure,
    listed,
    missing,
    percent,
    share,
    stacked,
    text,
    ticker,
)
from sleevegraph.report.correlation import mean_correlation, winners_matrix
from sleevegraph.report.facts import HEADLINE, MetaReport, SleeveReport
from sleevegraph.track_record import CASH

KEY, TITLE = "tree", "Cluster tree"
ONE_BET = 0.75
"""Share of a sleeve in one correlation cluster that leaves it a single bet."""
TOLERANCE = 1e-9

Row = tuple[Cell, ...]


def tree(facts: MetaReport) -> Section:
    """The tree of a meta under the headline profile."""
    says = (
        f"The uncollapsed tree of {HEADLINE}: what each node has of its parent and of the whole, down to the correlation clusters of "
        "every sleeve's winners and their atoms. Look for a sleeve whose weight sits in one cluster: its names are one bet."
    )
    if HEADLINE not in facts.books:
        return missing(KEY, TITLE, says, "; ".join(facts.held) or "no weights are in force")
    rows = [_node(facts.name, 0, 1.0, 1.0, "meta"), *_below(facts, facts.name, 1, 1.0)]
    attention = [found for sleeve in facts.sleeves for found in _one_bet(sleeve)]
    attention += [
        f"{node}: {HEADLINE} weights of its children add up to {total:.12g}, expected 1" for node, total in _torn(facts)
    ]
    return Section(KEY, TITLE, says, (_table(rows, "Shares of the whole are before netting"),), tuple(attention))


def clusters(facts: SleeveReport) -> Section:
    """The correlation clusters of one sleeve's winners."""
    title = "Correlation clusters of the winners"
    says = (
        f"Winners that move together, and what {HEADLINE} gives each group: the mean correlation is that of the "
        "streams inside a cluster. Look for a sleeve whose weight sits in one cluster: its names are one bet."
    )
    if not facts.book.get(HEADLINE):
        return missing(KEY, title, says, "the sleeve holds no winners")
    rows = [_node(facts.name, 0, 1.0, 1.0, "sleeve"), *_clusters(facts, 1, 1.0)]
    return Section(
        KEY, title, says, (_table(rows, "Clusters, the heaviest first"), *winners_matrix(facts)), tuple(_one_bet(facts))
    )


def _below(facts: MetaReport, node: str, depth: int, above: float) -> Iterator[Row]:
    sleeves = {sleeve.name: sleeve for sleeve in facts.sleeves}
    rows = facts.weights[node].filter(pl.col("profile") == HEADLINE).sort("child")
    for child, weight in rows.select("child", "weight").iter_rows():
        if child in sleeves:
            yield _node(child, depth, weight, above * weight, sleeves[child].sleeve.direction)
            yield from _clusters(sleeves[child], depth + 1, above * weight)
        else:
            yield _node(child, depth, weight, above * weight, "meta")
            yield from _below(facts, child, depth + 1, above * weight)


def _clusters(sleeve: SleeveReport, depth: int, above: float) -> Iterator[Row]:
    """A row for each cluster of two names or more, one for all single names, and one for cash."""
    single: dict[str, float] = {}
    for label, book in _grouped(sleeve):
        if len(book) == 1:
            single |= book
            continue
        name = "not clustered" if label is None else f"cluster {label}"
        yield _group(name, depth, above, book, mean_correlation(sleeve.streams, list(book)))
    if single:
        yield _group(f"{len(single)} clusters of one", depth, above, single, None)
    idle = 1.0 - fsum(map(abs, sleeve.book.get(HEADLINE, {}).values()))
    if idle > TOLERANCE:
        yield _group(CASH, depth, above, {CASH: idle}, None)


def _group(name: str, depth: int, above: float, book: Mapping[str, float], inside: float | None) -> Row:
    weight = fsum(map(abs, book.values()))
    atoms = ", ".join(f"{ticker(symbol)} {percent(abs(part))}" for symbol, part in listed(book))
    bar = stacked([(above * weight, 7 if name == CASH else 4, False)], 0.0, 1.0)
    return (text(name, indent=depth), share(weight), share(above * weight), bar, figure(inside), text(atoms))


def _grouped(sleeve: SleeveReport) -> list[tuple[int | None, dict[str, float]]]:
    """Weights of the headline profile by cluster, the heaviest first."""
    labels = dict(sleeve.winners.select("symbol", "cluster").iter_rows())
    groups: dict[int | None, dict[str, float]] = {}
    for symbol, weight in sleeve.book.get(HEADLINE, {}).items():
        groups.setdefault(labels.get(symbol), {})[symbol] = weight
    return sorted(groups.items(), key=lambda group: (-fsum(map(abs, group[1].values())), group[0] or 0))


def _node(name: str, depth: int, weight: float, whole: float, kind: str) -> Row:
    colour = 2 if kind == "meta" else 3 if kind == "SHORT" else 0
    return (
        text(name, indent=depth),
        share(weight),
        share(whole),
        stacked([(whole, colour, kind == "SHORT")], 0.0, 1.0),
        Cell(""),
        text(kind, "muted"),
    )


def _table(rows: list[Row], caption: str) -> Table:
    heads = ("of its parent", "of the whole", "", "mean correlation")
    numbers = (Column(head, number=True) for head in heads)
    return Table(caption, (Column("node"), *numbers, Column("atoms, as shares of the sleeve", wide=True)), tuple(rows))


def _one_bet(sleeve: SleeveReport) -> list[str]:
    return [
        f"{sleeve.name}: cluster {label} has {percent(total)} of the sleeve: its {len(book)} names are one bet"
        for label, book in _grouped(sleeve)
        if label is not None and (total := fsum(map(abs, book.values()))) > ONE_BET
    ]


def _torn(facts: MetaReport) -> list[tuple[str, float]]:
    sums = {
        node: float(rows.filter(pl.col("profile") == HEADLINE)["weight"].sum()) for node, rows in facts.weights.items()
    }
    held = {node for node, rows in facts.weights.items() if rows.is_empty() or "held" in rows["status"]}
    return [(node, total) for node, total in sums.items() if node not in held and abs(total - 1.0) > TOLERANCE]
