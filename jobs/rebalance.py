"""The jobs: bars in, history by month, and one rebalance of everything."""

import dagster as dg

BARS = dg.AssetSelection.assets("exchange_info", "daily_bars", "warehouse")
HISTORY = dg.AssetSelection.groups("exchange")

ingest = dg.define_asset_job(
    "ingest",
    selection=BARS,
    description="Fetch bars from the home's market source and refresh the views over the lake.",
)

history = dg.define_asset_job(
    "history",
    selection=HISTORY,
    description="Finer bars and futures' data of Binance, by month.",
)

rebalance = dg.define_asset_job(
    "rebalance",
    selection=dg.AssetSelection.all() - BARS - HISTORY,
    description="From universe to flattened weights with every check, for one rebalance date or a range.",
)
