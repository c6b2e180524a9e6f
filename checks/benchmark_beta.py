"""Warning: a sleeve that moves with the benchmark the way the other direction should."""

import polars as pl

from assets.keys import stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.anomalies import benchmark_beta
from sleevegraph.manifest import SleeveProfile


def benchmark_beta_check(sleeve: SleeveProfile) -> PartitionCheck:
    """Judge the sign of every risk profile's beta to the benchmark over the lookback."""
    path = stage(sleeve.name, "sleeve_metrics")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            metrics = store.lake.read(path, key)
            betas = metrics.filter(pl.col("horizon") == "lookback").drop_nulls("beta")
            return Judgement(
                benchmark_beta(metrics, sleeve.direction), {"betas": dict(betas.select("series", "beta").iter_rows())}
            )

        return judge

    return PartitionCheck(
        Gate(path, "benchmark_beta", blocking=False),
        prepare,
        description="Beta to the benchmark over the last 24 windows: positive of a LONG sleeve, negative of a SHORT one.",
    )
