"""What was known of the bars at each rebalance, as an observed asset: its data version is the digest of the bars before P.

A bar that is restated gives the rebalances after its day a new version, and what was made from them is stale in the UI;
a bar that is merely appended changes no rebalance before it.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from assets.keys import KNOWN_BARS, key
from resources.grid import GRID
from resources.lake import BARS, Lake
from sleevegraph.calendar import grid_dates

DATA_VERSION = "dagster/data_version"
DIGITS = 16
"""Of the digest, in hexadecimal."""


def known_bars_asset() -> dg.AssetSpec:
    """Nothing is stored under it: ingests observe it."""
    return dg.AssetSpec(
        key(KNOWN_BARS),
        deps=[key(BARS)],
        partitions_def=GRID,
        group_name="market",
        kinds={"parquet"},
        description="The bars before P. A new data version says that some of them were restated or came late. "
        "Ingests observe it and nothing materialises it: its history stands under Events.",
    )


def observe(instance: dg.DagsterInstance, lake: Lake) -> Iterator[dg.AssetObservation]:
    """An observation for every rebalance whose bars are there and are not those that were observed last."""
    months = lake.partitions(BARS)
    newest = lake.newest_bar()
    if newest is None:
        return
    first = date.fromisoformat(f"{months[0]}-01")
    for day in grid_dates(first, newest + timedelta(days=1)):
        version = lake.bars_digest(day)[:DIGITS]
        if version != _observed(instance, str(day)):
            yield dg.AssetObservation(
                key(KNOWN_BARS),
                partition=str(day),
                tags={DATA_VERSION: version},
                metadata={"bars_before": str(day), "newest_bar": str(newest)},
            )


def _observed(instance: dg.DagsterInstance, partition: str) -> str | None:
    record = instance.get_latest_data_version_record(key(KNOWN_BARS), is_source=True, partition_key=partition)
    event = record.event_log_entry.asset_observation if record else None
    return (event.tags or {}).get(DATA_VERSION) if event else None
