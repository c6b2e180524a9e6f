"""The two jobs: bars in, and one rebalance of everything."""

import dagster as dg

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets("daily_bars", "warehouse"),
    description="Fetch bars from the home's market source and refresh the views over the lake.",
)

rebalance = dg.define_asset_job(
    "rebalance",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("daily_bars", "warehouse"),
    description="From universe to flattened weights with every check, for one rebalance date or a range.",
)
