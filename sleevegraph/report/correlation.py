"""Who moves with whom: sleeves against one another, and the winners of one sleeve."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.report.benefit import children_tables, lost_days
from sleevegraph.report.blocks import (
    MISSING,
    Cell,
    Column,
    Section,
    Table,
    listed,
    missing,
    number,
    short,
    text,
    ticker,
)
from sleevegraph.report.facts import HEADLINE, MetaReport, SleeveReport

KEY, TITLE = "correlation", "Correlation of sleeves"
SAME = 0.99
"""Correlation from which two sleeves are one for all that diversification is worth."""
WIDE = 8
WHITE_ABOVE = 7
"""Strength on which white reads better than black."""
MOST = 24
"""Names in a matrix that can still be read in print."""

Floats = NDArray[np.float64]


def sleeves_correlation(facts: MetaReport) -> Section:
    """Correlation of the realised streams of all sleeves below a meta."""
    says = (
        f"Correlation of what the sleeves earned under {HEADLINE}, day by day over the lookback, on the days that all of them have. "
        "Look for pairs near 1, which diversify nothing, and near \N{MINUS SIGN}1, which cancel each other; below it, for a meta that is "
        "no calmer than its calmest child."
    )
    names = short([sleeve.name for sleeve in facts.sleeves][:MOST])
    streams = [
        sleeve.record.filter(pl.col("profile") == HEADLINE)
        .select("date", pl.col("ret").alias(sleeve.name))
        .drop_nulls()
        for sleeve in facts.sleeves[:MOST]
    ]
    joint = streams[0]
    for stream in streams[1:]:
        joint = joint.join(stream, on="date")
    children, lost = children_tables(facts), lost_days(facts)
    if joint.height < 2:  # noqa: PLR2004 - one day has no correlation
        none = missing(KEY, TITLE, says, "the sleeves have fewer than two days in common before this rebalance")
        return replace(none, blocks=(*none.blocks, *children), attention=lost)
    rho = correlation(joint.drop("date"))
    table = matrix(f"{joint.height} days in common", list(names.values()), rho)
    pairs = zip(*np.triu_indices(len(names), 1), strict=True)
    attention = tuple(_same(list(names), rho, int(i), int(j)) for i, j in pairs if not abs(rho[i, j]) < SAME)
    left_out = f"; {len(facts.sleeves) - MOST} more sleeves are left out" if len(facts.sleeves) > MOST else ""
    return Section(KEY, TITLE, says + left_out, (table, *children), (*attention, *lost))


def winners_matrix(facts: SleeveReport) -> tuple[Table, ...]:
    """Correlation of the synthetic streams of what the headline profile holds, cluster by cluster."""
    labels = dict(facts.winners.select("symbol", "cluster").iter_rows())
    held = [symbol for symbol, _ in listed(facts.book.get(HEADLINE, {})) if symbol in facts.streams.columns][:MOST]
    joint = facts.streams.select(held).drop_nulls()
    if len(held) < 2 or joint.height < 2:  # noqa: PLR2004 - a pair, on two days
        return ()
    held.sort(key=lambda symbol: (labels.get(symbol, 0), symbol))
    names = [f"{ticker(symbol)} ({labels.get(symbol, MISSING)})" for symbol in held]
    return (
        matrix(
            f"Correlation of the streams over {joint.height} days, the cluster in brackets",
            names,
            correlation(joint.select(held)),
            1,
        ),
    )


def matrix(caption: str, names: Sequence[str], rho: Floats, digits: int = 2) -> Table:
    """A correlation matrix with shades; more than a few columns have the numbers of their rows."""
    wide = len(names) > WIDE
    heads = [str(i) for i in range(1, len(names) + 1)] if wide else names
    rows = []
    for i, name in enumerate(names):
        cells = [_shaded(float(rho[i, j]), digits) if j <= i else Cell("", number=True) for j in range(len(names))]
        rows.append((text(f"{heads[i]}  {name}" if wide else name), *cells))
    return Table(
        caption, (Column(""), *(Column(head, number=True) for head in heads)), tuple(rows), small=wide, fit=True
    )


def mean_correlation(streams: pl.DataFrame, symbols: Sequence[str]) -> float | None:
    """Mean correlation of the pairs over the days that all of them have; None for fewer than two."""
    known = [symbol for symbol in symbols if symbol in streams.columns]
    if len(known) < 2:  # noqa: PLR2004 - a pair
        return None
    rho = correlation(streams.select(known).drop_nulls())
    return float(rho[np.triu_indices(len(known), 1)].mean())


def correlation(streams: pl.DataFrame) -> Floats:
    """Correlations of columns without missing values; NaN for one that does not vary."""
    values = streams.to_numpy()
    centred = values - values.mean(axis=0) if len(values) else values
    norms = np.sqrt(np.einsum("ti,ti->i", centred, centred))
    unit = centred / np.where(norms > 0.0, norms, np.nan)
    rho: Floats = np.einsum("ti,tj->ij", unit, unit)
    return rho


def _shaded(rho: float, digits: int) -> Cell:
    if not np.isfinite(rho):
        return Cell("none", number=True, tone="attention")
    return Cell(number(rho, f".{digits}f"), number=True, shade=round(10.0 * min(max(rho, -1.0), 1.0)))


def shades() -> dict[int, tuple[str, str]]:
    """Background and ink of a matrix cell by sign and strength: orange for plus, blue for minus."""
    found = {}
    for strength in range(-10, 11):
        colour = (213, 94, 0) if strength > 0 else (0, 114, 178)
        fill = (round(255 - abs(strength) / 10 * (255 - part)) for part in colour)
        found[strength] = (f"rgb({','.join(map(str, fill))})", "#fff" if abs(strength) > WHITE_ABOVE else "#111")
    return found


def _same(names: Sequence[str], rho: Floats, i: int, j: int) -> str:
    if not np.isfinite(rho[i, j]):
        return f"{names[i]} and {names[j]}: no correlation, one of the streams does not vary"
    effect = "diversify nothing" if rho[i, j] > 0 else "cancel each other"
    return f"{names[i]} and {names[j]}: correlation {number(float(rho[i, j]), '.3f')}: together they {effect}"
