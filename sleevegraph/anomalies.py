"""What is too good, too bad or the wrong way round in the metrics of a sleeve or meta (section 8)."""

from collections.abc import Mapping

import polars as pl

from sleevegraph.atoms import Direction
from sleevegraph.findings import Finding

MAX_SHARPE = 10.0
MAX_WINDOW_RETURN = 10.0
MAX_WINDOW_DRAWDOWN = 0.5
"""Beyond these a metric is extreme; the last two are asked of the horizon `window` alone."""


def extremes(horizon: str, values: Mapping[str, float]) -> list[str]:
    """What is extreme among the raw metrics of one row, by name, in words; what is absent or NaN is not."""
    sharpe, earned, drawdown = (values.get(name, 0.0) for name in ("sharpe", "total_return", "max_drawdown"))
    found = [f"|sharpe| {abs(sharpe):.6g} > {MAX_SHARPE:g}"] if abs(sharpe) > MAX_SHARPE else []
    if horizon == "window" and earned > MAX_WINDOW_RETURN:
        found.append(f"window return {100 * earned:.6g} % > {100 * MAX_WINDOW_RETURN:g} %")
    if horizon == "window" and -drawdown > MAX_WINDOW_DRAWDOWN:
        found.append(f"window drawdown {-100 * drawdown:.6g} % > {100 * MAX_WINDOW_DRAWDOWN:g} %")
    return found


def extreme_metrics(metrics: pl.DataFrame) -> list[Finding]:
    """WARN for each anomaly listed in the rows of `sleevegraph.metrics.SCHEMA`."""
    listed = metrics.select("series", "kind", "horizon", "anomalies").explode("anomalies", empty_as_null=False)
    return [
        Finding("WARN", "EXTREME_METRIC", series if kind == "benchmark" else "", f"{series}/{horizon}: {anomaly}")
        for series, kind, horizon, anomaly in listed.iter_rows()
    ]


def benchmark_beta(metrics: pl.DataFrame, direction: Direction) -> list[Finding]:
    """WARN for each risk profile that moves the wrong way with the benchmark: beta over the lookback, LONG > 0 > SHORT.

    What was not measured, such as the beta of a profile in cash, is no finding.
    """
    measured = metrics.filter(pl.col("horizon") == "lookback").drop_nulls("beta")
    sense = 1 if direction == "LONG" else -1
    expected = "> 0" if direction == "LONG" else "< 0"
    return [
        Finding(
            "WARN",
            "BETA_SIGN",
            "",
            f"{profile}: expected a beta {expected} of a {direction} sleeve over the lookback, found {beta:.6g} "
            f"({first} to {last})",
        )
        for profile, first, last, beta in measured.select("series", "first", "last", "beta").iter_rows()
        if not beta * sense > 0
    ]
