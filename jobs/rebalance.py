"""The jobs: bars in, history by month, and one rebalance of everything."""

import dagster as dg

from resources.lanes import BARS, GRID, HISTORY, TAG

BARS_ASSETS = dg.AssetSelection.assets("exchange_info", "daily_bars", "warehouse")
HISTORY_ASSETS = dg.AssetSelection.groups("exchange")

PRIORITY = "dagster/priority"
"""Of a queued run; the page's runs and backfills have 0."""
IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

ingest = dg.define_asset_job(
    "ingest",
    selection=BARS_ASSETS,
    tags={TAG: BARS, PRIORITY: "10"},
    executor_def=dg.in_process_executor,  # what is fetched lies in the home of this machine
    description="Fetch bars from the home's market source and refresh the views over the lake.",
)

history = dg.define_asset_job(
    "history",
    selection=HISTORY_ASSETS,
    tags={TAG: HISTORY},
    executor_def=dg.in_process_executor,
    description="Finer bars and futures' data of Binance, by month.",
)

rebalance = dg.define_asset_job(
    "rebalance",
    selection=dg.AssetSelection.all() - BARS_ASSETS - HISTORY_ASSETS,
    tags={TAG: GRID},
    description="From universe to flattened weights with every check, for one rebalance date or a range.",
)
