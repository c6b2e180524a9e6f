"""Extreme metrics: the anomalies that were found, and the metrics of every series, raw."""

from collections.abc import Iterator

import polars as pl

from sleevegraph.anomalies import MAX_SHARPE, MAX_WINDOW_DRAWDOWN, MAX_WINDOW_RETURN
from sleevegraph.report.blocks import (
    Block,
    Column,
    Section,
    Table,
    Text,
    Tone,
    figure,
    missing,
    percent,
    share,
    text,
    ticker,
)
from sleevegraph.report.facts import MetaReport, Report

KEY, TITLE = "metrics", "Metrics and extremes"
SAYS = (
    f"Metrics of the realised streams, raw and never clipped, and those that are extreme: |Sharpe| above {MAX_SHARPE:g}, a window's "
    f"return above {percent(MAX_WINDOW_RETURN)}, a window's drawdown above {percent(MAX_WINDOW_DRAWDOWN)}. Look for figures that are "
    "too good to be true."
)


def extremes(facts: Report) -> Section:
    """Anomalies of the portfolio and of the sleeves below it, and its metrics."""
    below = facts.sleeves if isinstance(facts, MetaReport) else ()
    attention = tuple(line for report in (facts, *below) for line in _anomalies(report))
    absent = [report.name for report in (facts, *below) if report.metrics is None]
    notes: list[Block] = [Text(f"Not computed: the metrics of {', '.join(absent)}.", "warning")] if absent else []
    if facts.metrics is None:
        return Section(KEY, TITLE, SAYS, tuple(notes), attention)
    if facts.metrics.is_empty():
        return missing(KEY, TITLE, SAYS, "there is no stream to measure before this rebalance")
    verdict = () if attention else (Text("No extreme metric.", "good"),)
    return Section(KEY, TITLE, SAYS, (*notes, *verdict, _table(facts.metrics)), attention)


def _anomalies(report: Report) -> Iterator[str]:
    if report.metrics is None:
        return
    for series, horizon, anomalies in report.metrics.select("series", "horizon", "anomalies").iter_rows():
        for anomaly in anomalies or ():
            yield f"{report.name}, {series}, {horizon}: {anomaly}"


def _table(metrics: pl.DataFrame) -> Table:
    rows = []
    shares = ("total_return", "cagr", "volatility", "max_drawdown", "cvar_95", "turnover")
    ratios = ("sharpe", "sortino", "calmar", "beta", "correlation")
    for row in metrics.iter_rows(named=True):
        extreme: Tone = "attention" if row["anomalies"] else ""
        numbers = [share(row[name]) for name in shares] + [figure(row[name]) for name in ratios]
        rows.append(
            (
                text(ticker(row["series"]), extreme),
                text(row["horizon"]),
                figure(row["observations"], "d"),
                *numbers,
            )
        )
    columns = (
        Column("series"),
        Column("horizon"),
        *(Column(name.replace("_", " "), number=True) for name in ("days", *shares, *ratios)),
    )
    return Table("Metrics, annualised over 365 days", columns, tuple(rows), small=True)
