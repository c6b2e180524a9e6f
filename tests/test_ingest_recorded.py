"""Recorded bars through archive and API, and back: every value, whatever goes wrong on the way."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import MarketLake
from sleevegraph.market_data.daily import daily_bars
from sleevegraph.market_data.datasets import DATASETS
from tests.ingests import BARS, expected, ingest, key_of, market, provenance
from tests.replica import markets
from tests.replica.build import build
from tests.replica.faults import KINDS, PASSING
from tests.replica.files import zipped
from tests.replica.handle import Replica
from tests.replica.rows import completed
from tests.shared import SHARED, needs_shared

pytestmark = needs_shared

FEW = (
    "BTCUSDT",
    "ETHUSDT",
    "LUNAUSDT",
    "FTTUSDT",
    "USTCUSDT",
    "QUICKUSDT",
    "PEPEUSDT",
    "BUSDUSDT",
    "WBETHUSDT",
    "CVCUSDT",
)
AUTUMN = date(2023, 9, 1)


@pytest.fixture
def lake(tmp_path: Path) -> MarketLake:
    return MarketLake(tmp_path / "market")


@pytest.mark.slow
def test_every_recorded_day_of_411_symbols_is_stored_as_it_was_and_a_second_ingest_transfers_listings_only(
    recorded_replica: Replica, lake: MarketLake
) -> None:
    made = ingest(lake, recorded_replica.settings())
    recorded = markets.recorded_daily()
    assert len(made.survey.symbols) == recorded["symbol"].n_unique() == 411
    assert (made.transferred.quarantined.count, made.transferred.failed.count) == (0, 0)
    rows = lake.rows(BARS)
    assert rows.equals(expected(completed(recorded)))
    assert len(lake.months(BARS)) == 33
    bars, unsplit = daily_bars(rows, {}, market().symbols, "BINANCE")
    file = pl.read_parquet(SHARED / "market" / "spot_daily.parquet").sort("symbol", "date")
    assert unsplit == []
    found = bars.with_columns(pl.col("symbol").str.strip_prefix("BINANCE:")).sort("symbol", "date")
    for name in ("symbol", "date", "open", "high", "low", "close", "volume"):
        assert found[name].equals(file[name].cast(found.schema[name])), name
    recorded_replica.reset_log()
    again = ingest(lake, recorded_replica.settings())
    assert set(recorded_replica.log()["requests"]) == {"listing", "exchangeInfo", "time"}
    assert again.survey.totals.unchanged == made.transferred.files == lake.sources(BARS).height
    assert lake.rows(BARS).equals(rows)
    assert recorded_replica.violations() == 0


def test_with_one_answer_in_twenty_gone_wrong_the_bars_and_their_files_are_the_same(
    recorded_replica: Replica, lake: MarketLake, tmp_path: Path
) -> None:
    quiet = MarketLake(tmp_path / "quiet")
    ingest(quiet, recorded_replica.settings(), symbols=FEW)
    recorded_replica.reset_log()
    recorded_replica.faults(0.05, PASSING, seed=11)
    made = ingest(lake, recorded_replica.settings(timeout_seconds=0.5), symbols=FEW)
    faults = recorded_replica.log()["faults"]
    assert set(faults) == set(PASSING)
    assert lake.rows(BARS).equals(quiet.rows(BARS))
    assert provenance(lake).equals(provenance(quiet))
    assert (made.transferred.quarantined.count, made.transferred.failed.count, lake.revisions(BARS)) == (0, 0, [])


def test_what_a_stale_listing_or_answer_hid_is_there_after_the_next_ingest(
    recorded_replica: Replica, lake: MarketLake, tmp_path: Path
) -> None:
    quiet = MarketLake(tmp_path / "quiet")
    ingest(quiet, recorded_replica.settings(), symbols=FEW, first=AUTUMN)
    recorded_replica.reset_log()
    stale = sorted(set(KINDS) - set(PASSING))
    recorded_replica.faults(0.4, stale, seed=2)
    ingest(lake, recorded_replica.settings(), symbols=FEW, first=AUTUMN)
    assert set(recorded_replica.log()["faults"]) == set(stale)
    assert not lake.rows(BARS).equals(quiet.rows(BARS))
    recorded_replica.faults(0.0)
    made = ingest(lake, recorded_replica.settings(), symbols=FEW, first=AUTUMN)
    assert lake.rows(BARS).equals(quiet.rows(BARS))
    assert provenance(lake).equals(provenance(quiet))
    assert (made.transferred.quarantined.count, lake.revisions(BARS)) == (0, [])


def through(
    tmp_path: Path, frames: Mapping[str, pl.DataFrame], now: datetime, raw: Mapping[str, bytes] | None = None
) -> dict[str, pl.DataFrame]:
    """What a lake has of the datasets of a replica that is at `now`."""
    build(tmp_path / "tree", frames, now=now)
    lake = MarketLake(tmp_path / "market")
    with Replica(tmp_path / "tree") as replica:
        for key, body in (raw or {}).items():
            replica.replace(key, body)
        for name in frames:
            made = ingest(lake, replica.settings(), DATASETS[name])
            assert (made.transferred.quarantined.count, made.transferred.failed.count) == (0, 0)
    return {name: lake.rows(DATASETS[name]) for name in frames}


def test_recorded_hours_are_stored_as_they_were_also_from_the_files_of_the_archive_itself(tmp_path: Path) -> None:
    recorded = markets.recorded_hourly().filter(symbol="BTCUSDT")
    real = sorted((SHARED / "market" / "raw").glob("BTCUSDT-1h-*.csv"))
    raw = {key_of("BTCUSDT", path.stem[-7:], "1h"): zipped(path.name, path.read_bytes()) for path in real}
    assert len(raw) == 5
    now = datetime(2023, 12, 30, 19, 30, tzinfo=UTC)
    rows = through(tmp_path, {"spot_klines_1h": recorded}, now, raw)["spot_klines_1h"]
    assert rows.select(recorded.columns).equals(expected(recorded, DATASETS["spot_klines_1h"]))
    line = real[0].read_text().splitlines()[1].split(",")
    first = rows.filter(open_time=datetime(2023, 1, 1, tzinfo=UTC)).row(0, named=True)
    assert (first["quote_volume"], first["trades"], first["taker_buy_volume"]) == (
        float(line[7]),
        int(line[8]),
        float(line[9]),
    )


def test_recorded_quarter_hours_are_stored_as_they_were(tmp_path: Path) -> None:
    recorded = markets.recorded_15m()
    now = datetime(2024, 9, 8, 12, tzinfo=UTC)
    rows = through(tmp_path, {"spot_klines_15m": recorded}, now)["spot_klines_15m"]
    assert rows.equals(expected(completed(recorded), DATASETS["spot_klines_15m"]))


def test_recorded_perpetuals_are_stored_as_they_were(tmp_path: Path) -> None:
    """Over the new year in which the files of Spot, and not these, turned to microseconds."""
    first, end = datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)
    frames = {
        name: frame.filter(
            pl.col("symbol").is_in(["BTCUSDT", "ETHUSDT"])
            & pl.col(DATASETS[name].time).is_between(first, end, closed="right" if name == "um_metrics" else "left")
        )
        for name, frame in markets.recorded_perpetuals().items()
    }
    assert all(frame.height for frame in frames.values())
    for name, rows in through(tmp_path, frames, end.replace(hour=12)).items():
        given = [column for column in rows.columns if column in frames[name].columns]
        assert rows.select(given).equals(expected(frames[name], DATASETS[name])), name
