"""Group exchange: what Binance says of its symbols, and its datasets beside the daily bars, by month."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import polars as pl

from assets.metadata import add_metadata
from resources.binance.source import figures
from resources.store import Store
from sleevegraph.errors import SleevegraphError
from sleevegraph.manifest import MarketProfile
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.exchange_info import changes

OWNER = "market"
GROUP = "exchange"
MONTHS = dg.MonthlyPartitionsDefinition(start_date="2017-08-01", end_offset=1)
"""From the month of Binance's first bar to the present one, which is not over."""


def exchange_info_asset(market: MarketProfile) -> dg.AssetsDefinition:
    """Build the snapshot of the exchange's symbols."""

    @dg.asset(
        group_name="market",
        kinds={"polars", "parquet"},
        owners=[f"team:{OWNER}"],
        output_required=False,
    )
    def exchange_info(context: dg.AssetExecutionContext, store: Store) -> Iterator[dg.MaterializeResult[None]]:
        """Status, base, quote and trading rules of every symbol as the exchange gives them, under the day they are of."""
        if store.source_name() != "binance":
            context.log.info("this home's bars do not come from an exchange: nothing to ask")
            return
        try:
            source = store.binance(market)
            before = source.newest_info()
            info = source.fetch_info()
        except SleevegraphError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        statuses = dict(info["status"].value_counts(sort=True).iter_rows())
        changed = changes(before, info).to_dicts() if before is not None else []
        yield dg.MaterializeResult(
            metadata={
                "as_of": str(info["as_of"][0]),
                "dagster/row_count": info.height,
                "statuses": statuses,
                "changes": changed[:100],
            }
        )

    return exchange_info


def dataset_asset(dataset: Dataset, market: MarketProfile) -> dg.AssetsDefinition:
    """Build the asset of one dataset, whose partitions are months."""

    @dg.asset(
        name=dataset.name,
        group_name=GROUP,
        kinds={"polars", "parquet"},
        owners=[f"team:{OWNER}"],
        partitions_def=MONTHS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=_description(dataset),
    )
    def ingested(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
        keys = sorted(context.partition_keys)
        try:
            source = store.binance(market)
            store.record_source(source)
            made = source.ingest(source.request(dataset, *_days(keys)))
        except SleevegraphError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        sources = store.market_lake.sources(dataset, [key[:7] for key in keys])
        by_month = sources.group_by(pl.col("first").dt.strftime("%Y-%m").alias("month")).agg(
            pl.len().alias("files"), pl.col("rows").sum(), pl.col("symbol").n_unique().alias("symbols")
        )
        known = {row["month"]: row for row in by_month.to_dicts()}
        for month in keys:
            row = known.get(month[:7], {"files": 0, "rows": 0, "symbols": 0})
            add_metadata(
                context, month, {"files": row["files"], "symbols": row["symbols"], "dagster/row_count": row["rows"]}
            )
        return dg.MaterializeResult(metadata=figures(made))

    return ingested


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
