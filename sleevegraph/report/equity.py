"""What was earned: wealth and drawdown of every risk profile over the lookback, the benchmark beside them."""

from datetime import date

import numpy as np
import polars as pl

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.report.blocks import (
    Block,
    Column,
    Picture,
    Section,
    Table,
    Text,
    figure,
    missing,
    percent,
    share,
    text,
    ticker,
)
from sleevegraph.report.facts import HEADLINE, Report
from sleevegraph.report.figures import Chart, Floats, Panel, Series

KEY, TITLE = "equity", "Equity and drawdown"
BENCHMARK_COLOUR = 8
DEEP = 0.5
"""Drawdown that nobody should overlook; the limit of an extreme metric."""


def equity(facts: Report) -> Section:
    """Wealth and drawdown of every risk profile."""
    name = ticker(facts.market.benchmark_symbols[0])
    says = (
        f"Wealth after costs over the lookback, set to 1 at its start, and the distance below its highest point; {name} is held "
        "beside it. Look for profiles that fall together with the benchmark, and for drawdowns that last."
    )
    wealth, dates = wealth_by_profile(facts.record), earned(facts.record)
    if not dates:
        return missing(KEY, TITLE, says, "nothing was earned before this rebalance: it is the first of its record")
    curves = [
        Series(profile, values, i % BENCHMARK_COLOUR, profile == HEADLINE)
        for i, (profile, values) in enumerate(wealth.items())
    ]
    curves += benchmark_curve(facts)
    falls = [Series(curve.label, _below_peak(curve.values), curve.colour, curve.strong) for curve in curves]
    described = "; ".join(
        f"{curve.label} ends at {curve.values[-1]:.3f}, at worst {percent(float(fall.values.min()))}"
        for curve, fall in zip(curves, falls, strict=True)
    )
    panels = (
        Panel("Wealth", curves, ".2f", ".3f", share=1.7),
        Panel("Below the highest wealth so far", falls, ".0%", ".1%"),
    )
    chart = Chart("equity", f"{facts.name}: wealth and drawdown before {facts.at}", described, dates, panels, 4.4)
    picture = Picture(chart, f"{len(dates)} days from {dates[0]} to {dates[-1]}")
    blocks = (picture, *_unknown(facts, name, len(dates)), _table(facts, curves, falls, dates))
    return Section(KEY, TITLE, says, blocks, _deep(falls))


def earned(record: pl.DataFrame) -> list[date]:
    """Days with a return."""
    return record.drop_nulls("ret")["date"].unique().sort().to_list()


def benchmark_curve(facts: Report) -> list[Series]:
    """Wealth of the benchmark on the days of the record; it is carried through days on which it has no return."""
    if facts.benchmark.is_empty():
        return []
    days = pl.DataFrame({"date": earned(facts.record)}, schema={"date": pl.Date})
    returns = days.join(facts.benchmark, on="date", how="left", maintain_order="left")["ret"].fill_null(0.0)
    return [Series(ticker(facts.market.benchmark_symbols[0]), wealth_of(returns.to_numpy()), BENCHMARK_COLOUR)]


def _unknown(facts: Report, name: str, days: int) -> list[Block]:
    without = days - facts.benchmark.height
    return [Text(f"{name} has no return on {without} of the {days} days.", "warning")] if without else []


def _deep(falls: list[Series]) -> tuple[str, ...]:
    worst = {fall.label: -float(fall.values.min()) for fall in falls if fall.colour != BENCHMARK_COLOUR}
    deep = ", ".join(f"{profile} {percent(fall)}" for profile, fall in worst.items() if fall > DEEP)
    return (f"fell below its highest wealth within the lookback by more than {percent(DEEP)}: {deep}",) if deep else ()


def wealth_by_profile(record: pl.DataFrame) -> dict[str, Floats]:
    """Wealth at every close by risk profile, 1 before the first day."""
    parts = record.drop_nulls("ret").partition_by("profile", as_dict=True)
    return {p: wealth_of(parts[(p,)].sort("date")["ret"].to_numpy()) for p in RISK_PROFILES if (p,) in parts}


def growth(stream: pl.DataFrame) -> float | None:
    """Total return of a stream; None where it has no day."""
    returns = stream["ret"].drop_nulls().to_numpy()
    return float(wealth_of(returns)[-1]) - 1.0 if len(returns) else None


def drawdown(stream: pl.DataFrame) -> float | None:
    """Largest fall of a stream below its highest wealth, its start included; None where it has no day."""
    returns = stream["ret"].drop_nulls().to_numpy()
    return float(_below_peak(wealth_of(returns)).min()) if len(returns) else None


def wealth_of(returns: Floats) -> Floats:
    """Wealth at the close of every day, 1 before the first."""
    return np.asarray(np.cumprod(1.0 + returns), dtype=np.float64)


def _below_peak(wealth: Floats) -> Floats:
    peak = np.maximum.accumulate(np.maximum(wealth, 1.0))
    return np.asarray(wealth / peak - 1.0, dtype=np.float64)


def _table(facts: Report, curves: list[Series], falls: list[Series], dates: list[date]) -> Table:
    ends = dict(
        facts.record.sort("date").group_by("profile", maintain_order=True).agg(pl.col("equity").last()).iter_rows()
    )
    days = min(len(dates), 10)
    rows = []
    for curve, fall in zip(curves, falls, strict=True):
        start = float(curve.values[-days - 1]) if len(dates) > days else 1.0
        rows.append(
            (
                text(curve.label),
                share(float(curve.values[-1]) - 1.0, sign=True),
                share(float(curve.values[-1]) / start - 1.0 if start else None, sign=True),
                share(float(fall.values.min())),
                share(float(fall.values[-1])),
                figure(ends.get(curve.label), ".4f"),
            )
        )
    heads = (
        "return over the lookback",
        f"last {days} days",
        "largest drawdown",
        "drawdown now",
        "wealth since the start",
    )
    columns = (Column("risk profile"), *(Column(head, number=True) for head in heads))
    return Table("The same in figures", columns, tuple(rows), fit=True)
