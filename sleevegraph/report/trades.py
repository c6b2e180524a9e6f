"""What changes hands: from the book that was held, drifted to P, to the book that is in force from P on."""

from collections.abc import Mapping
from math import fsum

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.report.blocks import Cell, Column, Section, Table, percent, share, stacked, text, ticker
from sleevegraph.report.facts import HEADLINE, Books, Report, SleeveReport

KEY, TITLE = "trades", "Trades and turnover"
WHOLE_BOOK = 0.9
"""Of what is sold and bought if nothing is kept, a share that leaves practically nothing in place."""


def trades(facts: Report) -> Section:
    """Trades of the headline profile symbol by symbol, turnover and cost of all."""
    rules = facts.sleeve.ledger if isinstance(facts, SleeveReport) else facts.meta.ledger
    says = (
        f"What {HEADLINE} sells and buys to get from the weights it held, drifted to the close before P, to those in force from P "
        "on. Turnover is the sum of |trade|; 200 % sells a whole book and buys another. Look for trading that costs more than it can earn."
    )
    before, after = books(facts, earlier=True), books(facts)
    found = {profile: changes(before.get(profile, {}), after.get(profile, {})) for profile in RISK_PROFILES}
    table = _table(before.get(HEADLINE, {}), after.get(HEADLINE, {}))
    rows = [
        (
            text(profile),
            share(turnover(moved)),
            share(turnover(moved) * rules.cost),
            Cell(str(sum(1 for trade in moved.values() if trade)), number=True),
            share(_exchanged(before.get(profile, {}), after.get(profile, {}))),
        )
        for profile, moved in found.items()
    ]
    columns = (
        Column("risk profile"),
        Column("turnover", number=True),
        Column(f"cost at {percent(rules.cost)}", number=True),
        Column("trades", number=True),
        Column("of a full exchange", number=True),
    )
    totals = Table("Turnover and estimated cost of every risk profile", columns, tuple(rows), fit=True)
    return Section(KEY, TITLE, says, (table, totals), _attention(before, after))


def books(facts: Report, *, earlier: bool = False) -> Books:
    """Net weights by risk profile and symbol, in force from P on or before it."""
    if isinstance(facts, SleeveReport):
        return facts.book_before if earlier else facts.book
    found = facts.books_before if earlier else facts.books
    return {profile: dict(book.positions.select("symbol", "net").iter_rows()) for profile, book in found.items()}


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Trade by symbol, sorted by symbol."""
    return {symbol: after.get(symbol, 0.0) - before.get(symbol, 0.0) for symbol in sorted({*before, *after})}


def turnover(moved: Mapping[str, float]) -> float:
    """Sum of |trade|."""
    return fsum(map(abs, moved.values()))


def traded(facts: Report) -> tuple[float, float]:
    """Turnover of the headline profile and what it is estimated to cost."""
    rules = facts.sleeve.ledger if isinstance(facts, SleeveReport) else facts.meta.ledger
    total = turnover(changes(books(facts, earlier=True).get(HEADLINE, {}), books(facts).get(HEADLINE, {})))
    return total, total * rules.cost


def _exchanged(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    full = fsum(map(abs, [*before.values(), *after.values()]))
    return turnover(changes(before, after)) / full if full else None


def _attention(before: Books, after: Books) -> tuple[str, ...]:
    held, wanted = before.get(HEADLINE, {}), after.get(HEADLINE, {})
    exchanged = _exchanged(held, wanted)
    if not held or exchanged is None or exchanged <= WHOLE_BOOK:
        return ()
    total = percent(turnover(changes(held, wanted)))
    return (
        f"{HEADLINE} exchanges practically its whole book: turnover {total}, {percent(exchanged)} of a full exchange",
    )


def _table(before: Mapping[str, float], after: Mapping[str, float]) -> Table:
    moved = changes(before, after)
    order = sorted((symbol for symbol in moved if moved[symbol]), key=lambda symbol: (-abs(moved[symbol]), symbol))
    low, high = min([0.0, *moved.values()]), max([0.0, *moved.values()])
    rows = []
    for symbol in order:
        what = "enters" if symbol not in before else "leaves" if symbol not in after else ""
        pieces = [(moved[symbol], 0 if moved[symbol] > 0 else 3, moved[symbol] < 0)]
        cells = (share(before.get(symbol)), share(after.get(symbol)), share(moved[symbol], sign=True))
        rows.append((text(ticker(symbol)), *cells, stacked(pieces, low, high), Cell(what)))
    sums = (fsum(before.values()), fsum(after.values()), fsum(moved.values()))
    foot = (text("sum"), *(share(total) for total in sums), Cell(""), Cell(""))
    heads = ("held, drifted", "from P on", "trade")
    columns = (Column("symbol"), *(Column(head, number=True) for head in heads), Column("", wide=True), Column(""))
    caption = f"{HEADLINE}: {len(rows)} trades, turnover {percent(turnover(moved))}; sales are hatched"
    return Table(caption, columns, tuple(rows), (foot,))
