"""Group exchange: what Binance says of its symbols, and its datasets beside the daily bars, by month."""

from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256

import dagster as dg
import polars as pl

from assets.metadata import add_metadata, markdown_table
from resources.binance.market_lake import MarketLake
from resources.binance.source import figures
from resources.lanes import BARS as BARS_LANE
from resources.lanes import HISTORY as HISTORY_LANE
from resources.store import Store
from sleevegraph.errors import SleevegraphError
from sleevegraph.manifest import MarketProfile
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.exchange_info import CHANGES, changes

OWNER = "market"
GROUP = "exchange"
MONTHS = dg.MonthlyPartitionsDefinition(start_date="2017-08-01", end_offset=1)
"""From the month of Binance's first bar to the present one, which is not over."""
SHOWN = 100
"""Changes that are listed one by one."""


def exchange_info_asset(market: MarketProfile) -> dg.AssetsDefinition:
    """Build the snapshot of the exchange's symbols."""

    @dg.asset(
        group_name="market",
        kinds={"polars", "parquet"},
        owners=[f"team:{OWNER}"],
        pool=BARS_LANE,
        output_required=False,
    )
    def exchange_info(context: dg.AssetExecutionContext, store: Store) -> Iterator[dg.MaterializeResult[None]]:
        """Status, base, quote and trading rules of every symbol as the exchange gives them, under the day they are of."""
        if store.source_name() != "binance":
            context.log.info("this home's bars do not come from an exchange: nothing to ask")
            return
        try:
            source = store.binance(market)
            info = source.fetch_info()
            before = source.info_before(info["as_of"][0].date())
        except SleevegraphError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        yield dg.MaterializeResult(metadata=_info_metadata(before, info))

    return exchange_info


def dataset_asset(dataset: Dataset, market: MarketProfile) -> dg.AssetsDefinition:
    """Build the asset of one dataset, whose partitions are months."""

    @dg.asset(
        name=dataset.name,
        group_name=GROUP,
        kinds={"polars", "parquet"},
        owners=[f"team:{OWNER}"],
        pool=HISTORY_LANE,
        partitions_def=MONTHS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=_description(dataset),
    )
    def ingested(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
        keys = sorted(context.partition_keys)
        try:
            source = store.binance(market)
            made = source.ingest(source.request(dataset, *_days(keys)))
            store.record_source(source)
            with store.market_lake.reading(dataset):
                stored = {key: _stored(store.market_lake, dataset, key[:7]) for key in keys}
        except SleevegraphError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for key in keys:
            add_metadata(context, key, {**stored[key], **figures(made)})
        return dg.MaterializeResult()

    return ingested


def _stored(lake: MarketLake, dataset: Dataset, month: str) -> dict[str, object]:
    """What there is of a month, whichever ingest brought it."""
    files = lake.sources(dataset, [month])
    return {
        "stored_files": files.height,
        "stored_symbols": files["symbol"].n_unique(),
        "dagster/row_count": lake.height(dataset, month),
        "digest": _digest(dataset, files, lake.newer(dataset, [month])),
    }


def _digest(dataset: Dataset, files: pl.DataFrame, rest: pl.DataFrame) -> str:
    """SHA-256 over a month's files, by key and SHA-256, and its REST rows: a range run has one data version for all."""
    rows = rest.select(dataset.schema.names()).sort("symbol", dataset.time)
    content = files.select("key", "sha256").sort("key").write_csv() + rows.write_csv()
    return sha256(content.encode()).hexdigest()


def _info_metadata(before: pl.DataFrame | None, info: pl.DataFrame) -> dict[str, object]:
    changed = CHANGES.to_frame() if before is None else changes(before, info)
    return {
        "as_of": _moment(info),
        "dagster/row_count": info.height,
        "statuses": markdown_table(info["status"].value_counts(sort=True, name="symbols")),
        "compared_with": "no earlier day" if before is None else _moment(before),
        "changed": changed.height,
        "changes": markdown_table(changed.head(SHOWN)),
    }


def _moment(info: pl.DataFrame) -> str:
    return f"{info['as_of'][0]:%Y-%m-%d %H:%M:%S} UTC"


def _days(keys: list[str]) -> tuple[date | None, date | None]:
    """First and last day of a range of months; no bound where the range begins or ends with all there is."""
    newest = MONTHS.get_last_partition_key()
    first = None if keys[0] == MONTHS.get_first_partition_key() else date.fromisoformat(keys[0])
    after = (date.fromisoformat(keys[-1]) + timedelta(days=31)).replace(day=1)
    return first, None if keys[-1] == newest else after - timedelta(days=1)


def _description(dataset: Dataset) -> str:
    market = "Spot" if dataset.market == "spot" else "USD-M futures"
    what = {
        "klines": f"bars of {dataset.interval}",
        "fundingRate": "funding rates",
        "metrics": "open interest and ratios",
    }
    return f"Binance {market}: {what[dataset.kind]}, with the file that each row came from."
