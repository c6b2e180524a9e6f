"""Warning: metrics too good or too bad to be believed without a look."""

from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.lake import AssetPath
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.anomalies import extreme_metrics


def extreme_metrics_check(path: AssetPath) -> PartitionCheck:
    """List every extreme metric of the sleeve_metrics or meta_metrics at `path`."""

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        return lambda key: Judgement(extreme_metrics(store.lake.read(path, key)))

    return PartitionCheck(
        Gate(path, "extreme_metrics", blocking=False),
        prepare,
        description="No |Sharpe| above 10, no window that earned more than 1000 % or fell by more than 50 %.",
    )
