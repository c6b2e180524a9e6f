"""How a meta divides wealth: among children and sleeves per risk profile, now and over time, and how widely."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import polars as pl

from sleevegraph.child_figures import bounds
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.meta_book import WEIGHTS_SCHEMA
from sleevegraph.report.blocks import (
    Block,
    Cell,
    Column,
    Picture,
    Section,
    Table,
    Text,
    effective_number,
    figure,
    missing,
    percent,
    share,
    short,
    stacked,
    text,
)
from sleevegraph.report.facts import HEADLINE, MetaReport
from sleevegraph.report.figures import Chart, Panel, Series

KEY, TITLE = "allocation", "Allocation and effective numbers"
OTHERS = 7
TOLERANCE = 1e-9

Shares = dict[str, float]


def allocation(facts: MetaReport) -> Section:
    """Weights of children and sleeves, and effective numbers."""
    says = (
        "Weights of the children per risk profile, now and over the last rebalances, and effective numbers, 1 / sum of squared "
        "shares: how many equal parts would be as concentrated. Look for a child at its bound, and for numbers that shrink."
    )
    rows = facts.weights.get(facts.name, WEIGHTS_SCHEMA.to_frame())
    if rows.is_empty():
        return missing(KEY, TITLE, says, "; ".join(facts.held) or "no weights are in force")
    children = sorted(facts.meta.children)
    blocks: list[Block] = [_now(facts, children), _over_time(facts, children)]
    if set(children) != {sleeve.name for sleeve in facts.sleeves}:
        blocks.insert(1, _sleeves(facts))
    if facts.allocation["rebalance"].n_unique() > 1:
        blocks.append(_picture(facts, children))
    reasons = [Text(reason, "warning") for reason in _stand_ins(rows)]
    return Section(KEY, TITLE, says, (*reasons, *blocks), tuple(_attention(facts, rows)))


def sleeve_shares(name: str, weights: Mapping[str, pl.DataFrame], profile: str) -> Shares:
    """Share of the whole that each sleeve has, over all paths down to it."""
    found: Shares = {}
    waiting = [(name, 1.0)]
    while waiting:
        node, above = waiting.pop()
        for child, weight in weights[node].filter(pl.col("profile") == profile).select("child", "weight").iter_rows():
            if child in weights:
                waiting.append((child, above * weight))
            else:
                found[child] = found.get(child, 0.0) + above * weight
    return dict(sorted(found.items()))


def _child_shares(facts: MetaReport, profile: str) -> Shares:
    rows = facts.weights[facts.name].filter(pl.col("profile") == profile)
    return dict(rows.select("child", "weight").iter_rows())


def _now(facts: MetaReport, children: Sequence[str]) -> Table:
    names = short(children)
    status = dict(facts.weights[facts.name].select("profile", "status").iter_rows())
    moved = dict(bounds(facts.weights[facts.name], facts.meta).select("profile", "moved").iter_rows())
    rows = []
    for profile in RISK_PROFILES:
        shares = _child_shares(facts, profile)
        book = facts.books.get(profile)
        numbers = (
            effective_number(shares.values()),
            effective_number(sleeve_shares(facts.name, facts.weights, profile).values()),
            None if book is None else effective_number(book.positions["net"]),
        )
        word = status.get(profile, "none")
        pieces = [(shares.get(child, 0.0), min(i, OTHERS), False) for i, child in enumerate(children)]
        rows.append(
            (
                text(profile),
                *(share(shares.get(child)) for child in children),
                stacked(pieces, 0.0, 1.0),
                text(word, "" if word == "native" else "warning"),
                figure(moved.get(profile), ".3f"),
                *(figure(value, ".2f") for value in numbers),
            )
        )
    columns = (
        Column("risk profile"),
        *(Column(names[child], number=True, swatch=min(i, OTHERS)) for i, child in enumerate(children)),
        Column("", wide=True),
        Column("solved"),
        Column("moved by the bounds", number=True),
        *(Column(f"effective {what}", number=True) for what in ("children", "sleeves", "symbols")),
    )
    return Table(
        f"Children now, each between {percent(facts.meta.weight_min)} and {percent(facts.meta.weight_max)}",
        columns,
        tuple(rows),
    )


def _sleeves(facts: MetaReport) -> Table:
    names = short([sleeve.name for sleeve in facts.sleeves])
    shares = {profile: sleeve_shares(facts.name, facts.weights, profile) for profile in RISK_PROFILES}
    rows = [(text(p), *(share(shares[p].get(name)) for name in names)) for p in RISK_PROFILES]
    columns = (Column("risk profile"), *(Column(shown, number=True) for shown in names.values()))
    return Table("Sleeves now, as shares of the whole", columns, tuple(rows), fit=True)


def _over_time(facts: MetaReport, children: Sequence[str]) -> Table:
    names = short(children)
    stats = facts.allocation.group_by("profile", "child").agg(
        pl.col("weight").mean().alias("mean"), pl.col("weight").min().alias("low"), pl.col("weight").max().alias("high")
    )
    found = {(p, child): values for p, child, *values in stats.iter_rows()}
    rows = []
    for profile in RISK_PROFILES:
        cells = []
        for child in children:
            mean, low, high = found.get((profile, child), (None, None, None))
            cells += [share(mean), Cell(f"{percent(low)} to {percent(high)}", number=True, tone="muted")]
        rows.append((text(profile), *cells))
    heads = [Column(head, number=True) for child in children for head in (f"{names[child]}, mean", "least to most")]
    count = facts.allocation["rebalance"].n_unique()
    return Table(
        f"The same over the last {count} rebalances", (Column("risk profile"), *heads), tuple(rows), small=True
    )


def _picture(facts: MetaReport, children: Sequence[str]) -> Picture:
    names = short(children)
    rows = facts.allocation.filter(pl.col("profile") == HEADLINE)
    dates = rows["rebalance"].unique().sort().to_list()
    weights = {(day, child): weight for day, child, weight in rows.select("rebalance", "child", "weight").iter_rows()}
    bands = [
        Series(names[child], np.array([weights.get((day, child), 0.0) for day in dates]), min(i, OTHERS))
        for i, child in enumerate(children)
    ]
    breadth = pl.DataFrame({"rebalance": dates}).join(facts.breadth, on="rebalance", how="left", maintain_order="left")
    lines = [
        Series(what, breadth[what].cast(pl.Float64).fill_null(float("nan")).to_numpy(), i + 2, what == "symbols")
        for i, what in enumerate(("children", "sleeves", "symbols"))
    ]
    panels = (
        Panel(f"Weights of the children, {HEADLINE}", bands, ".0%", ".1%", "bands"),
        Panel(f"Effective numbers, {HEADLINE}", lines, ".0f", ".1f"),
    )
    described = "; ".join(f"{s.label} from {s.values[0]:.2f} to {s.values[-1]:.2f}" for s in [*bands, *lines])
    chart = Chart("allocation", f"{facts.name}: allocation over time", described, dates, panels, 3.4)
    return Picture(chart, f"{len(dates)} rebalances from {dates[0]} to {dates[-1]}")


def _stand_ins(rows: pl.DataFrame) -> list[str]:
    """Profiles that were not solved as asked, those with one reason together."""
    others = rows.filter(pl.col("status") != "native").select("status", "reason", "profile").unique(maintain_order=True)
    found = sorted(others.iter_rows(), key=lambda row: (row[0], row[1], RISK_PROFILES.index(row[2])))
    return [
        f"{', '.join(profile for *_, profile in group)}: {status}: {reason}"
        for (status, reason), group in groupby(found, key=lambda row: row[:2])
    ]


def _attention(facts: MetaReport, rows: pl.DataFrame) -> list[str]:
    low, high = facts.meta.weight_min, facts.meta.weight_max
    found = []
    for profile, group in rows.group_by("profile", maintain_order=True):
        total = float(group["weight"].sum())
        if abs(total - 1.0) > TOLERANCE and not facts.held:
            found.append(f"{profile[0]}: the weights of the children add up to {total:.12g}, expected 1")
    for profile, child, weight, status in rows.select("profile", "child", "weight", "status").iter_rows():
        if status != "held" and not low - TOLERANCE <= weight <= high + TOLERANCE:
            found.append(f"{profile}: {child} has {weight:.12g}, outside {low:g} to {high:g}")
    return found
