"""What a home knows of an exchange beside the daily bars, cut at a rebalance."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from resources.binance.source import EXCHANGE_INFO
from resources.store import Store
from sleevegraph.market_data.datasets import DAILY, DATASETS
from sleevegraph.readiness.evidence import Evidence

DAYS = 60
"""Looked back at: only the window before P can block, and what is older was judged at its own rebalance."""

LISTINGS_DAYS = 5
"""A snapshot of the exchange's symbols that is older says nothing of who trades now."""

HOURLY = "spot_klines_1h"


def fetched(store: Store) -> bool:
    """Whether this home holds anything that was fetched of an exchange."""
    return bool(store.market_lake.months(DATASETS[DAILY]))


def evidence_before(store: Store, at: date) -> Evidence:
    """What the market lake says on the bars before `at`."""
    lake, daily = store.market_lake, DATASETS[DAILY]
    last, first = (datetime.combine(day, time(), UTC) for day in (at, at - timedelta(days=DAYS)))
    inside = (pl.col("open_time") >= first) & (pl.col("open_time") < last)
    months = [month for month in lake.months(daily) if f"{first:%Y-%m}" <= month <= f"{last:%Y-%m}"]
    rest = lake.rest(daily, months).filter(inside).collect()
    archive = lake.archive(daily, months).filter(inside).collect().join(rest, on=["symbol", "open_time"], how="semi")
    hourly = lake.archive(DATASETS[HOURLY], months).filter(inside).collect()
    return Evidence(
        calendar=lake.calendar(daily, ["symbol", "first", "last", "status"]),
        listings=_listings(store, at),
        hourly=hourly if hourly.height else None,
        archive=archive,
        rest=rest,
    )


def _listings(store: Store, at: date) -> pl.DataFrame | None:
    """What the exchange said of its symbols the last time that it was asked before `at`, unless that is long ago."""
    oldest = str(at - timedelta(days=LISTINGS_DAYS))
    days = [day for day in store.lake.partitions(EXCHANGE_INFO) if oldest <= day < str(at)]
    if not days:
        return None
    info = store.lake.read(EXCHANGE_INFO, days[-1])
    return info.select("symbol", pl.lit(None, pl.Date).alias("listed"), "status")
