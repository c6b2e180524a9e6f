"""Views over what was fetched of an exchange, against the market lake's own answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from resources.binance.market_lake import MarketLake
from resources.lake import Lake
from resources.warehouse import write_warehouse
from sleevegraph.market_data.datasets import DATASETS
from tests.ingests import BARS, ingest, rows_with_origin
from tests.replica.handle import Replica

HOURLY, METRICS = DATASETS["spot_klines_1h"], DATASETS["um_metrics"]
SYMBOLS = ("BTCUSDT", "NEWUSDT", "币安人生USDT")
HOME, FOREIGN = "api.binance.com", "api.binance.us"
ASKED = datetime(2100, 1, 1, tzinfo=UTC)
"""After whatever the replica answered."""


@pytest.fixture
def lake(tmp_path: Path, replica: Replica) -> MarketLake:
    """Three symbols by day and hour, and a perpetual's metrics; REST has the newest bars."""
    lake = MarketLake(tmp_path / "it's 50 % [1]" / "market")
    ingest(lake, replica.settings(), symbols=SYMBOLS)
    ingest(lake, replica.settings(), HOURLY, symbols=SYMBOLS[:2])
    ingest(lake, replica.settings(), METRICS, symbols=["BTCUSDT"])
    return lake


def written(lake: MarketLake) -> list[str]:
    return write_warehouse(lake.root.parent / "warehouse.duckdb", lake.root.parent / "lake", lake.root)


def asked(lake: MarketLake, query: str) -> pl.DataFrame:
    with duckdb.connect(str(lake.root.parent / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return pl.DataFrame(pl.from_arrow(connection.sql(query).to_arrow_table()))


def answered(lake: MarketLake, host: str, shift: float, minutes: int) -> None:
    """Let a host have answered every daily bar of BTCUSDT, with other closes."""
    rows = lake.rows(BARS).filter(pl.col("symbol") == "BTCUSDT")
    said = rows.with_columns(
        pl.col("close") + shift, host=pl.lit(host), fetched_at=pl.lit(ASKED + minutes * timedelta(minutes=1))
    )
    lake.store_rest(BARS, said.with_columns(pl.col("fetched_at").cast(pl.Datetime("us", "UTC"))))


def test_a_dataset_s_view_has_the_rows_that_count(lake: MarketLake) -> None:
    assert written(lake) == ["spot_klines_1d", "spot_klines_1h", "um_metrics", "market_files"]
    for dataset in (BARS, HOURLY, METRICS):
        columns = ", ".join(dataset.schema.names())
        found = asked(lake, f"SELECT {columns} FROM {dataset.name}")  # noqa: S608 - our own names
        assert found.cast(dict(dataset.schema)).sort("symbol", dataset.time).equals(lake.rows(dataset))


def test_rest_rows_count_where_the_archive_has_none_and_say_of_which_host(lake: MarketLake) -> None:
    answered(lake, HOME, 1.0, minutes=1)
    answered(lake, FOREIGN, 2.0, minutes=2)
    written(lake)
    found = asked(lake, "SELECT symbol, open_time, close, host FROM spot_klines_1d")
    expected = lake.rows(BARS).select("symbol", "open_time", "close")
    assert found.select(expected.columns).cast(dict(expected.schema)).sort("symbol", "open_time").equals(expected)
    newest = found.filter(pl.col("symbol") == "BTCUSDT").sort("open_time").tail(2)
    assert newest["host"].to_list() == [None, HOME]  # the archive's last day, and the one after it


def test_an_archive_row_leads_to_the_file_that_it_is_from(lake: MarketLake) -> None:
    written(lake)
    for dataset in (BARS, HOURLY, METRICS):
        found = asked(
            lake,
            f"SELECT k.symbol, k.{dataset.time} AS at, f.key, f.sha256, f.host FROM {dataset.name} k "  # noqa: S608 - our own names
            "JOIN market_files f USING (stored_in, source) ORDER BY ALL",
        )
        expected = rows_with_origin(lake, dataset).select(
            "symbol", pl.col(dataset.time).alias("at"), "key", "sha256", "host"
        )
        assert found.cast(dict(expected.schema)).equals(expected.sort("symbol", "at"))


def test_every_stored_file_is_listed_with_its_provenance(lake: MarketLake) -> None:
    written(lake)
    for dataset in (BARS, HOURLY, METRICS):
        expected = lake.sources(dataset).sort("key")
        found = asked(lake, f"FROM market_files WHERE dataset = '{dataset.name}' ORDER BY key")
        assert found.select(expected.columns).cast(dict(expected.schema)).equals(expected)


def test_what_is_ingested_later_appears_without_a_new_warehouse(lake: MarketLake, replica: Replica) -> None:
    written(lake)
    before = asked(lake, "SELECT count(*) AS n FROM market_files")["n"].item()
    replica.now(datetime(2025, 3, 4, 12, tzinfo=UTC))
    replica.archive_until(None)
    ingest(lake, replica.settings(), symbols=SYMBOLS)
    assert asked(lake, "SELECT count(*) AS n FROM spot_klines_1d")["n"].item() == lake.rows(BARS).height
    stored = sum(lake.sources(dataset).height for dataset in (BARS, HOURLY, METRICS))
    assert asked(lake, "SELECT count(*) AS n FROM market_files")["n"].item() == stored != before


def test_a_dataset_that_only_rest_has_has_a_view(tmp_path: Path, lake: MarketLake) -> None:
    other = MarketLake(tmp_path / "market")
    other.store_rest(BARS, lake.rest(BARS).collect())
    assert written(other) == ["spot_klines_1d"]
    found = asked(other, "SELECT DISTINCT symbol, open_time FROM spot_klines_1d ORDER BY ALL")
    assert found.rows() == lake.rest(BARS).select("symbol", "open_time").sort("symbol", "open_time").collect().rows()
    assert other.root.joinpath("spot_klines_1d").is_dir()


def test_a_snapshot_of_the_exchange_s_symbols_is_found_by_its_day(lake: MarketLake, replica: Replica) -> None:
    snapshot = ingest(lake, replica.settings(), symbols=["BTCUSDT"]).info
    assert snapshot is not None
    Lake(lake.root.parent / "lake").write(("exchange_info",), "2025-02-10", snapshot)
    assert "exchange_info" in written(lake)
    found = asked(lake, "SELECT day::VARCHAR AS day, symbol, base_asset, as_of FROM exchange_info ORDER BY symbol")
    assert found["day"].unique().to_list() == ["2025-02-10"]
    assert found["symbol"].to_list() == snapshot["symbol"].to_list()
    assert "rebalance" not in asked(lake, "FROM exchange_info").columns
