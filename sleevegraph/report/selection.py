"""Who was chosen: how stable the pools of winners are, what the vetoes did, and why candidates went no further."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

import polars as pl

from sleevegraph.report.blocks import (
    MISSING,
    Block,
    Cell,
    Column,
    Names,
    Section,
    Table,
    Text,
    Tone,
    figure,
    percent,
    share,
    short,
    text,
    ticker,
)
from sleevegraph.report.facts import SleeveReport
from sleevegraph.vetoes import vetoes_of

POOL_KEY, POOL_TITLE = "pools", "Stability of the winner pools"
VETO_KEY, VETO_TITLE = "vetoes", "Vetoes per rule"
NEW_POOL = 0.10
"""Share of winners kept up to which a pool is as good as new."""


def pools(sleeves: Sequence[SleeveReport]) -> Section:
    """Share of winners kept from rebalance to rebalance, and who came and went at P."""
    says = (
        "Of the winners of one rebalance, the share that still wins at the next. Look for a pool that changes completely: its "
        "turnover is paid for, while the train window that it was chosen from has hardly changed."
    )
    names, dates = (
        short([sleeve.name for sleeve in sleeves]),
        sorted({day for sleeve in sleeves for day in sleeve.pools}),
    )
    if len(dates) < 2:  # noqa: PLR2004 - a change has two ends
        return Section(
            POOL_KEY,
            POOL_TITLE,
            says,
            (Text("Nothing to compare with: this is the first rebalance of its record.", "muted"),),
        )
    shown = list(pairwise(dates))[-12:]
    rows = [(text(names[s.name]), *(_kept_cell(s, before, after) for before, after in shown)) for s in sleeves]
    columns = (Column("sleeve"), *(Column(f"{after:%y-%m-%d}", number=True) for _, after in shown))
    stability = Table(
        "Winners kept from the rebalance before; a dash where one of the two had none", columns, tuple(rows), small=True
    )
    moved = [(text(names[s.name]), *_in_and_out(s, *dates[-2:])) for s in sleeves]
    heads = (
        Column("sleeve"),
        Column("winners", number=True),
        Column("kept", number=True),
        Column("in", wide=True),
        Column("out", wide=True),
    )
    table = Table(f"Who came and went at {dates[-1]}", heads, tuple(moved))
    attention = []
    for sleeve in sleeves:
        kept = _kept(sleeve, *dates[-2:])
        if kept is not None and kept <= NEW_POOL:
            attention.append(f"{sleeve.name}: the pool is as good as new: {percent(kept)} of its winners were kept")
    return Section(POOL_KEY, POOL_TITLE, says, (stability, table), tuple(attention))


def vetoes(sleeves: Sequence[SleeveReport]) -> Section:
    """How often each veto fired, and what became of the candidates."""
    says = (
        "How many candidates each veto refuses, and how many it alone refuses; benchmark symbols are never vetoed. Look for a rule that "
        "refuses everybody, or that can never fire: neither does its work."
    )
    names = short([sleeve.name for sleeve in sleeves])
    rows = [row for sleeve in sleeves for row in _rules(sleeve, names[sleeve.name])]
    heads = ("refused", "alone", "of candidates")
    columns = (
        Column("sleeve"),
        Column("rule"),
        Column("limit", number=True),
        *(Column(h, number=True) for h in heads),
        Column("share", number=True),
        Column("defect"),
    )
    blocks: list[Block] = [Table("Vetoes at the manifest's limits", columns, tuple(rows)), _protocol(sleeves, names)]
    for sleeve in sleeves:
        refused = sleeve.winners.filter(pl.col("vetoes").list.len() > 0)
        if refused.height:
            lines = [f"{ticker(s)}: {reason}" for s, reason in refused.select("symbol", "reason").iter_rows()]
            blocks.append(Names(f"{names[sleeve.name]}: {refused.height} candidates with a veto", tuple(lines)))
    return Section(VETO_KEY, VETO_TITLE, says, tuple(blocks), tuple(_defects(sleeves)))


def fired(sleeve: SleeveReport) -> list[tuple[str, float, int, int, int, str]]:
    """Of each rule its name, limit, how many it refused, alone, of how many, and its defect or an empty string."""
    vetoable = sleeve.winners.filter(~pl.col("symbol").is_in(sleeve.market.benchmark_symbols))["vetoes"].to_list()
    counts = Counter(rule for rules in vetoable for rule in rules)
    alone = Counter(rules[0] for rules in vetoable if len(rules) == 1)
    found = []
    for veto in vetoes_of(sleeve.sleeve.selection):
        defect = "" if veto.fires(veto.extreme) else "can never fire"
        if 0 < counts[veto.rule] == len(vetoable):
            defect = "vetoes everything"
        found.append((veto.rule, veto.threshold, counts[veto.rule], alone[veto.rule], len(vetoable), defect))
    return found


def _kept(sleeve: SleeveReport, before: date, after: date) -> float | None:
    old, new = set(sleeve.pools.get(before, ())), set(sleeve.pools.get(after, ()))
    return len(old & new) / len(old) if old and new else None


def _kept_cell(sleeve: SleeveReport, before: date, after: date) -> Cell:
    kept = _kept(sleeve, before, after)
    tone: Tone = "" if kept is None or kept > NEW_POOL else "attention"
    return Cell(MISSING if kept is None else f"{kept:.0%}", number=True, tone=tone)


def _in_and_out(sleeve: SleeveReport, before: date, after: date) -> tuple[Cell, ...]:
    old, new = sleeve.pools.get(before, ()), sleeve.pools.get(after, ())
    entered, left = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    listed = (", ".join(map(ticker, names)) for names in (entered, left))
    return (figure(len(new), "d"), share(_kept(sleeve, before, after)), *(text(names) for names in listed))


def _rules(sleeve: SleeveReport, name: str) -> Iterator[tuple[Cell, ...]]:
    for rule, limit, count, alone, candidates, defect in fired(sleeve):
        numbers = (figure(limit, "g"), figure(count, "d"), figure(alone, "d"), figure(candidates, "d"))
        yield (
            text(name),
            text(rule),
            *numbers,
            share(count / candidates if candidates else None),
            text(defect, "attention" if defect else ""),
        )


def _protocol(sleeves: Sequence[SleeveReport], names: dict[str, str]) -> Table:
    rows = []
    for sleeve in sleeves:
        reasons = Counter(sleeve.candidates["reason"])
        winners = sleeve.winners.filter("winner")
        stages = Counter(winners["stage"])
        by_stage = ", ".join(f"{count} in stage {stage}" for stage, count in sorted(stages.items()))
        beyond = Counter(
            reason.split(":")[0].split(" of cluster")[0]
            for reason in sleeve.winners.filter(~pl.col("winner"))["reason"]
        )
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(beyond.items()))
        kinds = ("rating_wrong_sign", "rating_unknown", "beyond_limit", "kept")
        rows.append(
            (
                text(names[sleeve.name]),
                *(figure(reasons[kind], "d") for kind in kinds),
                figure(winners.height, "d"),
                text(by_stage),
                text(lost),
            )
        )
    heads = ("rated the other way", "not rated", "beyond the limit", "candidates", "winners")
    columns = (
        Column("sleeve"),
        *(Column(head, number=True) for head in heads),
        Column("by stage of the protocol"),
        Column("candidates that did not win", wide=True),
    )
    return Table("From eligible symbols to winners", columns, tuple(rows))


def _defects(sleeves: Sequence[SleeveReport]) -> list[str]:
    """The same defect of one rule in several sleeves in one line."""
    groups: dict[tuple[str, str, float], list[str]] = {}
    for sleeve in sleeves:
        for rule, limit, _, _, candidates, defect in fired(sleeve):
            if defect and candidates:
                groups.setdefault((rule, defect, limit), []).append(sleeve.name)
    return [
        f"the veto {rule} {defect} (limit {limit:g}): {', '.join(names)}"
        for (rule, defect, limit), names in groups.items()
    ]
