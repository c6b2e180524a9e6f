"""Metrics of every sleeve and meta, with the benchmark beside them: groups sleeves and metas."""

from collections.abc import Sequence
from datetime import date
from functools import cache

import dagster as dg
import polars as pl

from assets.gates import record_gates
from assets.grid import reaching_back
from assets.keys import KNOWN_BARS, key, stage
from assets.metadata import markdown_table
from assets.partitioned import Compute, Metadata, Partition, Stage, blocked, rules_of
from resources.lake import AssetPath, Lake
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.anomalies import extreme_metrics
from sleevegraph.manifest import MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.metrics import LOOKBACK_WINDOWS, SCHEMA, metrics
from sleevegraph.panel import build_panel

SHOWN = "hrp"
"""The risk profile whose figures stand in the metadata; the partition has all of them."""
READ = ("profile", "date", "ret", "turnover")


def sleeve_metrics_stage(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    """Metrics of a sleeve's eight risk profiles."""
    (gate,) = record_gates(sleeve.name, meta=False)
    return _metrics_stage(sleeve, market, "sleeve_metrics", gate, "sleeves")


def meta_metrics_stage(meta: MetaProfile, market: MarketProfile) -> Stage:
    """Metrics of a meta's eight risk profiles."""
    (gate,) = record_gates(meta.name, meta=True)
    return _metrics_stage(meta, market, "meta_metrics", gate, "metas")


def _metrics_stage(
    portfolio: SleeveProfile | MetaProfile, market: MarketProfile, asset: str, gate: Gate, group: str
) -> Stage:
    path = gate.path

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        stored = _partitions(store.lake, path, max(days))
        benchmark = _benchmark(store.lake, market.benchmark_symbols, max(days))

        vouched = cache(lambda partition: store.receipts.refusal([gate], partition))

        def compute(at: date) -> Partition:
            refusal = next((text for partition in stored if partition < str(at) and (text := vouched(partition))), "")
            if refusal:
                return blocked(refusal)
            record = pl.concat(rows for partition, rows in stored.items() if partition <= str(at))
            frame = metrics(record, benchmark, at)
            missing = sorted(set(market.benchmark_symbols) - set(frame["series"]))
            return Partition(frame, _figures(frame) | ({"benchmark_without_returns": missing} if missing else {}))

        return compute

    return Stage(
        stage(portfolio.name, asset),
        group,
        SCHEMA,
        # A record is a chain, so whatever changes before the lookback has to change the windows within it, too.
        [key(KNOWN_BARS), dg.AssetDep(key(path), partition_mapping=reaching_back(LOOKBACK_WINDOWS - 1))],
        prepare,
        gates=[gate],
        description="Return, risk and drawdown of every risk profile and of the benchmark: window, lookback, record.",
        rules=rules_of(market, "benchmark_symbols"),
        owner=portfolio.owner,
    )


def _partitions(lake: Lake, path: AssetPath, last: date) -> dict[str, pl.DataFrame]:
    """What is read of the stored record partitions up to `last`."""
    wanted = [partition for partition in lake.partitions(path) if partition <= str(last)]
    return {partition: lake.read(path, partition).select(READ) for partition in wanted}


def _benchmark(lake: Lake, symbols: Sequence[str], last: date) -> pl.DataFrame:
    """[symbol, date, ret] of the benchmark symbols before `last`, under the rule for gaps that all returns keep."""
    bars = lake.bars_before(last, symbols)
    if bars.is_empty():
        return pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "ret": pl.Float64})
    panel = build_panel(bars)
    wide = pl.DataFrame(panel.returns, schema=list(panel.symbols)).with_columns(date=pl.Series(panel.dates))
    long = wide.unpivot(index="date", variable_name="symbol", value_name="ret")
    return long.filter(pl.col("ret").is_not_nan()).select("symbol", pl.col("date").cast(pl.Date), "ret")


def _figures(frame: pl.DataFrame) -> Metadata:
    shown = frame.filter((pl.col("series") == SHOWN) | (pl.col("kind") == "benchmark"))
    listed = [finding.message for finding in extreme_metrics(frame)]
    beta = frame.filter((pl.col("series") == SHOWN) & (pl.col("horizon") == "lookback"))["beta"].item()
    return {
        "metrics": markdown_table(shown.drop("kind", "anomalies")),
        "anomalies": len(listed),
        **({"anomaly_list": listed} if listed else {}),
        **({} if beta is None else {f"{SHOWN}_beta": beta}),
    }
