"""What REST is asked for beside the newest days: a day that the archive lost, and the end of a symbol."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import MarketLake
from sleevegraph.market_data.hosts import FOREIGN_HOSTS, is_foreign
from tests.ingests import BARS, expected, ingest, key_of
from tests.replica.handle import Replica
from tests.replica.markets import SMALL_SYMBOLS, small_market

DAILY = expected(small_market()["spot_klines_1d"])


@pytest.fixture
def lake(tmp_path: Path) -> MarketLake:
    return MarketLake(tmp_path / "market")


def klines(replica: Replica) -> int:
    count = int(replica.log()["requests"].get("klines", 0))
    replica.reset_log()
    return count


def of(symbol: str, day: date) -> pl.Expr:
    return (pl.col("symbol") == symbol) & (pl.col("open_time").dt.date() == day)


def test_a_day_whose_file_is_in_quarantine_comes_by_rest_though_later_ones_are_stored(
    replica: Replica, lake: MarketLake
) -> None:
    lost = of("BTCUSDT", date(2025, 2, 4))
    replica.break_key(key_of("BTCUSDT", "2025-02-04"), "corrupt")
    made = ingest(lake, replica.settings(attempts=2))
    assert list(made.transferred.quarantined.reasons) == [key_of("BTCUSDT", "2025-02-04")]
    assert lake.archive(BARS).filter(lost).collect().is_empty()
    assert lake.rows(BARS).filter(lost).equals(DAILY.filter(lost))
    klines(replica)
    ingest(lake, replica.settings(attempts=2))
    assert klines(replica) == 0


def test_the_last_days_of_a_symbol_that_ended_come_by_rest_and_are_asked_for_until_there_is_no_more(
    replica: Replica, lake: MarketLake
) -> None:
    end = SMALL_SYMBOLS["GONEUSDT"][1]
    gone = pl.col("symbol") == "GONEUSDT"
    replica.archive_until(date(2025, 1, 18))
    asked = []
    for day in (21, 22, 23):
        replica.now(datetime(2025, 1, day, 12, tzinfo=UTC))
        replica.reset_log()
        ingest(lake, replica.settings())
        assert lake.rows(BARS).filter(gone)["open_time"].max() == datetime(end.year, end.month, end.day, tzinfo=UTC)
        asked.append(sum("GONEUSDT" in name for kind, name, _, _ in replica.log()["names"] if kind == "klines"))
    assert asked == [1, 1, 0]
    assert lake.rows(BARS).filter(gone).equals(DAILY.filter(gone))


@pytest.mark.parametrize("how", ["500", "truncated"])
def test_a_symbol_that_is_answered_badly_for_good_costs_no_other_its_newest_bars(
    replica: Replica, lake: MarketLake, how: str
) -> None:
    replica.break_key("klines/ETHUSDT", how)
    made = ingest(lake, replica.settings(attempts=2))
    assert made.incomplete.startswith("newest bars of 1 symbols were not answered, first ETHUSDT: ")
    newest = lake.rows(BARS).group_by("symbol").agg(pl.col("open_time").max().dt.date()).rows()
    expected_ends = {symbol: min(end, date(2025, 2, 9)) for symbol, (_, end) in SMALL_SYMBOLS.items()}
    assert dict(newest) == {**expected_ends, "ETHUSDT": date(2025, 2, 8)}


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        ("api.binance.us", True),
        ("https://api.binance.us/api", True),
        ("binance.us:443", True),
        ("api.binance.com", False),
        ("data-api.binance.vision", False),
        ("notbinance.us", False),
        ("binance.us.example.com", False),
    ],
)
def test_hosts_of_another_exchange_are_known_by_name(host: str, *, foreign: bool) -> None:
    assert is_foreign(host) == foreign
    assert pl.select(pl.lit(host).str.contains(FOREIGN_HOSTS)).item() == foreign
