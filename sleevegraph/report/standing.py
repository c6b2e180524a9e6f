"""How the portfolio stands, its key figures, and how everything below it stands."""

from math import fsum

import polars as pl

from sleevegraph.report.blocks import (
    Block,
    Cell,
    Column,
    Section,
    Table,
    Text,
    Tone,
    effective_number,
    number,
    percent,
    text,
)
from sleevegraph.report.equity import drawdown, growth
from sleevegraph.report.facts import HEADLINE, MetaReport, Report, SleeveReport
from sleevegraph.report.trades import traded

KEY, TITLE = "standing", "Standing and key figures"
TONES: dict[str, Tone] = {"CERTIFIED": "good", "DEGRADED": "warning", "BLOCKED": "attention"}
SAYS = (
    "CERTIFIED: every solve as asked and every gate passed. DEGRADED: in force, for the reasons given. BLOCKED: a gate "
    "stood in the way, nothing was decided, and what was held stays in force and drifts."
)


def sleeve_standing(facts: SleeveReport) -> Section:
    """Standing and figures of a sleeve."""
    return Section(KEY, TITLE, SAYS, (*_standing(facts), _figures(facts)), _attention(facts))


def meta_standing(facts: MetaReport) -> Section:
    """Standing and figures of a meta, and how its children stand."""
    below = {**facts.nodes, **{sleeve.name: sleeve.standing for sleeve in facts.sleeves}}
    rows = [
        (
            text(name),
            text("meta" if name in facts.nodes else "sleeve"),
            text(standing.word, TONES.get(standing.word, "attention")),
            text(standing.weights_from or "never: in cash"),
            text("; ".join(standing.reasons)),
        )
        for name, standing in below.items()
    ]
    columns = (
        Column("child"),
        Column("kind"),
        Column("standing"),
        Column("weights from"),
        Column("reasons", wide=True),
    )
    table = Table("Everything below", columns, tuple(rows))
    return Section(KEY, TITLE, SAYS, (*_standing(facts), _figures(facts), table), _attention(facts))


def _standing(facts: Report) -> list[Block]:
    now, before = facts.standing, facts.before
    since = f"weights decided at {now.weights_from}" if now.weights_from else "nothing is held: in cash"
    was = f"{before.word} at the previous rebalance" if before else "no rebalance before this one"
    return [Text(f"{now.word}: {since}; {was}.", TONES.get(now.word, "attention"))]


def _attention(facts: Report) -> tuple[str, ...]:
    """Reasons that say the same of several cells or children in one line."""
    groups: dict[str, list[str]] = {}
    for reason in facts.standing.reasons:
        what, _, why = reason.partition(": ")
        groups.setdefault(why, []).append(what)
    return tuple(f"{facts.standing.word}: {': '.join(filter(None, (', '.join(w), why)))}" for why, w in groups.items())


def key_figures(facts: Report) -> list[tuple[str, str, str]]:
    """What it is, now, and before trading; the last is empty where it is about the rebalance itself."""
    after, before = _held(facts), _held(facts, earlier=True)
    trades, cost = traded(facts)
    own = facts.record.filter(pl.col("profile") == HEADLINE)
    return [
        ("symbols held", number(len(after), "d"), number(len(before), "d")),
        (
            "effective number of symbols",
            number(effective_number(after), ".1f"),
            number(effective_number(before), ".1f"),
        ),
        ("net", percent(fsum(after)), percent(fsum(before))),
        ("sum of |net|", percent(fsum(map(abs, after))), percent(fsum(map(abs, before)))),
        ("largest |net|", percent(max(map(abs, after), default=None)), percent(max(map(abs, before), default=None))),
        ("turnover of this rebalance", percent(trades), ""),
        ("estimated cost of trading", percent(cost), ""),
        ("return over the lookback", percent(growth(own)), ""),
        ("return of the benchmark", percent(growth(facts.benchmark)), ""),
        ("largest drawdown over the lookback", percent(drawdown(own)), ""),
        ("largest drawdown of the benchmark", percent(drawdown(facts.benchmark)), ""),
    ]


def _figures(facts: Report) -> Table:
    rows = [(text(what), Cell(now, number=True), Cell(then, number=True)) for what, now, then in key_figures(facts)]
    columns = (Column(HEADLINE), Column("now", number=True), Column("before, drifted", number=True))
    return Table("Key figures", columns, tuple(rows), fit=True)


def _held(facts: Report, *, earlier: bool = False) -> list[float]:
    if isinstance(facts, SleeveReport):
        return list((facts.book_before if earlier else facts.book).get(HEADLINE, {}).values())
    book = (facts.books_before if earlier else facts.books).get(HEADLINE)
    return [] if book is None else book.positions["net"].to_list()
