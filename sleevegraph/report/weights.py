"""What is held: every symbol with what each sleeve contributes, and the largest positions of the other risk profiles."""

from collections.abc import Mapping, Sequence
from math import fsum

import polars as pl

from sleevegraph.conservation import concentration
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.physical import PhysicalBook, by_sleeve
from sleevegraph.report.blocks import (
    MISSING,
    Cell,
    Column,
    Section,
    Table,
    Text,
    effective_number,
    figure,
    listed,
    missing,
    number,
    percent,
    share,
    short,
    stacked,
    text,
    ticker,
)
from sleevegraph.report.facts import HEADLINE, MetaReport, SleeveReport

KEY, TITLE = "weights", "Weights and where they come from"
LARGEST = 10
OTHERS = 7
"""Colour of the sleeves that have none of their own."""
TOLERANCE = 1e-9


def meta_weights(facts: MetaReport) -> Section:
    """Every symbol of the headline profile with what each sleeve contributes."""
    says = (
        f"Every symbol that {HEADLINE} holds, largest first, with the contribution of each sleeve's atom: the pieces of a "
        "row add up to its net weight. Look for a symbol that carries the book, and for sleeves that work against one another."
    )
    if HEADLINE not in facts.books:
        return missing(KEY, TITLE, says, "; ".join(facts.held) or "no weights are in force")
    book, sleeves = facts.books[HEADLINE], [sleeve.name for sleeve in facts.sleeves]
    attention = [*_crowded(book, facts), *_unexplained(book.positions)]
    notes = [Text(reason, "warning") for reason in facts.held]
    others = {profile: _nets(found) for profile, found in facts.books.items() if profile != HEADLINE}
    return Section(KEY, TITLE, says, (*notes, _attribution(book, sleeves, facts), largest(others)), tuple(attention))


def sleeve_weights(facts: SleeveReport) -> Section:
    """Every symbol of the headline profile, and its cluster."""
    says = (
        f"Every symbol that {HEADLINE} holds with its correlation cluster, largest first. Weights are solved in synthetic "
        "space, long-only; the physical net weight has the sign of the sleeve's direction. Look for weights at the cap."
    )
    book = facts.book.get(HEADLINE, {})
    others = {profile: weights for profile, weights in facts.book.items() if profile != HEADLINE}
    notes = [Text(facts.held, "warning")] if facts.held else []
    if not book:
        notes.append(Text(f"{HEADLINE} is in cash: {_why_cash(facts)}.", "warning"))
        return Section(KEY, TITLE, says, (*notes, largest(others)))
    return Section(KEY, TITLE, says, (*notes, _holdings(book, facts), largest(others)), tuple(_unsound(book, facts)))


def largest(books: Mapping[str, Mapping[str, float]]) -> Table:
    """The largest positions of some risk profiles side by side, with what each of them adds up to."""
    profiles = [profile for profile in RISK_PROFILES if profile in books]
    ranked = {profile: listed(books[profile]) for profile in profiles}
    depth = min(LARGEST, max((len(found) for found in ranked.values()), default=0))
    rows = []
    for rank in range(depth):
        found = [ranked[profile][rank] if rank < len(ranked[profile]) else None for profile in profiles]
        rows.append((text(rank + 1), *(Cell(_position(one), number=True) for one in found)))
    nets = [list(books[profile].values()) for profile in profiles]
    foot = (
        (text("positions"), *(figure(len(found), "d") for found in nets)),
        (text("effective"), *(figure(effective_number(found), ".1f") for found in nets)),
        (text("sum of net"), *(share(fsum(found)) for found in nets)),
        (text("sum of |net|"), *(share(fsum(map(abs, found))) for found in nets)),
    )
    columns = (Column("rank"), *(Column(profile, number=True) for profile in profiles))
    return Table(f"The largest {LARGEST} of the other risk profiles, net in %", columns, tuple(rows), foot, small=True)


def _position(found: tuple[str, float] | None) -> str:
    return MISSING if found is None else f"{ticker(found[0])} {number(100.0 * found[1])}"


def _nets(book: PhysicalBook) -> dict[str, float]:
    return dict(book.positions.select("symbol", "net").iter_rows())


def _attribution(book: PhysicalBook, sleeves: Sequence[str], facts: MetaReport) -> Table:
    parts = by_sleeve(book.positions)
    shown, rest = _with_columns(sleeves, parts)
    colours = {sleeve: shown.index(sleeve) if sleeve in shown else OTHERS for sleeve in sleeves}
    shorts = {sleeve.name for sleeve in facts.sleeves if sleeve.sleeve.direction == "SHORT"}
    low = min((fsum(min(0.0, part) for part in own.values()) for own in parts.values()), default=0.0)
    high = max((fsum(max(0.0, part) for part in own.values()) for own in parts.values()), default=0.0)
    rows = []
    for symbol, net, gross in book.positions.select("symbol", "net", "gross").iter_rows():
        own = parts[symbol]
        pieces = [(own[sleeve], colours[sleeve], sleeve in shorts) for sleeve in sleeves if sleeve in own]
        cells = [share(own[sleeve]) if sleeve in own else Cell("") for sleeve in shown]
        others = [share(fsum(own.get(sleeve, 0.0) for sleeve in rest))] if rest else []
        rows.append((text(ticker(symbol)), share(net), share(gross), stacked(pieces, low, high), *cells, *others))
    groups = [*([sleeve] for sleeve in shown), *([rest] if rest else [])]
    sums = [fsum(own.get(sleeve, 0.0) for own in parts.values() for sleeve in group) for group in groups]
    totals = [fsum(book.positions[name]) for name in ("net", "gross")]
    foot = (text("sum"), *map(share, totals), Cell(""), *map(share, sums))
    names = short(sleeves)
    columns = (
        Column("symbol"),
        Column("net", number=True),
        Column("gross", number=True),
        Column("contributions", wide=True),
        *(Column(names[sleeve], number=True, swatch=colours[sleeve]) for sleeve in shown),
        *([Column(f"{len(rest)} others", number=True, swatch=OTHERS)] if rest else []),
    )
    beside = f"gross is before netting, cash {percent(book.cash)}, dust {book.dust:.1e}; short sleeves are hatched"
    return Table(f"{HEADLINE}: {book.positions.height} symbols; {beside}", columns, tuple(rows), (foot,))


def _with_columns(sleeves: Sequence[str], parts: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[str]]:
    """The sleeves that contribute most, which have columns and colours of their own, and the rest."""
    sizes = {sleeve: fsum(abs(own.get(sleeve, 0.0)) for own in parts.values()) for sleeve in sleeves}
    largest_first = sorted(sleeves, key=lambda sleeve: (-sizes[sleeve], sleeve))
    shown = [sleeve for sleeve in sleeves if sleeve in largest_first[:OTHERS]]
    return shown, [sleeve for sleeve in sleeves if sleeve not in shown]


def _crowded(book: PhysicalBook, facts: MetaReport) -> list[str]:
    found = concentration(book.positions, facts.meta.concentration_warn, facts.meta.concentration_block)
    return [f"{ticker(finding.symbol)} carries the book: {finding.message}" for finding in found]


def _unexplained(positions: pl.DataFrame) -> list[str]:
    """Symbols whose contributions do not make up their weight."""
    found = []
    for symbol, net, gross, parts in positions.select("symbol", "net", "gross", "contributions").iter_rows():
        values = [part["contribution"] for part in parts]
        if not (abs(fsum(values) - net) <= TOLERANCE and abs(fsum(map(abs, values)) - gross) <= TOLERANCE):
            found.append(
                f"{ticker(symbol)}: the attribution does not add up: contributions give net {fsum(values):.12g} and gross "
                f"{fsum(map(abs, values)):.12g}, the book has {net:.12g} and {gross:.12g}"
            )
    return found


def _holdings(book: Mapping[str, float], facts: SleeveReport) -> Table:
    clusters = dict(facts.winners.select("symbol", "cluster").iter_rows())
    before = facts.book_before.get(HEADLINE, {})
    low, high = min(0.0, *book.values()), max(0.0, *book.values())
    colour = 0 if facts.sleeve.direction == "LONG" else 3
    rows = [
        (
            text(ticker(symbol)),
            share(weight),
            stacked([(weight, colour, weight < 0.0)], low, high),
            figure(clusters.get(symbol), "d"),
            share(before.get(symbol)),
        )
        for symbol, weight in listed(book)
    ]
    weights = list(book.values())
    idle = 1.0 - fsum(map(abs, weights))
    foot = (text("sum"), share(fsum(weights)), Cell(""), Cell(""), share(fsum(before.values())))
    columns = (
        Column("symbol"),
        Column("net", number=True),
        Column("", wide=True),
        Column("cluster", number=True),
        Column("held before, drifted", number=True),
    )
    caption = f"{HEADLINE}: {len(book)} symbols, gross {percent(1.0 - idle)}, not invested {percent(max(idle, 0.0))}"
    return Table(caption, columns, tuple(rows), (foot,))


def _unsound(book: Mapping[str, float], facts: SleeveReport) -> list[str]:
    wrong = [s for s, weight in book.items() if (weight > 0.0) != (facts.sleeve.direction == "LONG")]
    found = [
        f"{ticker(symbol)}: {percent(book[symbol])} has the wrong sign for a sleeve that is {facts.sleeve.direction}"
        for symbol in wrong
    ]
    if facts.held:
        return found  # drifted weights keep neither the cap nor the sum
    cap = max(facts.sleeve.risk.cluster_cap, 1.0 / len(book))
    found += [
        f"{ticker(symbol)}: |{weight:.12g}| is above the cap of {cap:.12g}"
        for symbol, weight in listed(book)
        if abs(weight) > cap + TOLERANCE
    ]
    total = fsum(map(abs, book.values()))
    return found if abs(total - 1.0) <= TOLERANCE else [*found, f"the weights add up to {total:.12g}, expected 1"]


def _why_cash(facts: SleeveReport) -> str:
    reasons = facts.cells.filter(pl.col("profile") == HEADLINE)["reason"].unique().sort()
    return "; ".join(filter(None, reasons)) or "; ".join(facts.standing.reasons) or "nothing was ever decided"
