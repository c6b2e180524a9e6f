"""Daily bars of a home that is fed by the replica: what the lake holds, what is said of it, what is remembered."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from profiles.load import load_manifest
from resources.store import PATH_VARIABLE, QUOTES_VARIABLE, SOURCE_VARIABLE
from sleevegraph.errors import ConfigurationError
from tests.exchange_homes import host, ingest, restate, scope
from tests.homes import TemporaryHome, cause, environment
from tests.replica import markets
from tests.replica.handle import Replica

YESTERDAY = date(2025, 2, 9)
"""The last day that is over at SMALL_NOW; the archive goes to the day before."""
BARS = ("daily_bars",)
MONTHLY = "data/spot/monthly/klines/{symbol}/1d/{symbol}-1d-{month}.zip"

NewHome = Callable[[], TemporaryHome]


def daily(*symbols: str) -> pl.DataFrame:
    """What the replica has of these symbols, or of all, up to YESTERDAY."""
    rows = markets.small_market()["spot_klines_1d"].filter(pl.col("open_time").dt.date() <= YESTERDAY)
    return rows.filter(pl.col("symbol").is_in(symbols)) if symbols else rows


def fetched(home: TemporaryHome, replica: Replica, **variables: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Bars and figures of an ingest with short waits."""
    with environment(**{SOURCE_VARIABLE: "binance", **variables}):
        source = home.store.binance(load_manifest().market)
        source.settings = replica.settings(attempts=2)
        return source.fetch(None), source.figures()


def record(home: TemporaryHome) -> dict[str, str]:
    return dict(json.loads(home.store.folders.source.read_text()))


def test_the_bars_of_a_home_are_those_of_archive_and_exchange(replica: Replica, new_home: NewHome) -> None:
    home = new_home()
    assert ingest(home, replica).success
    rows = daily()
    assert {"GONEUSDT", "币安人生USDT"} <= set(rows["symbol"])
    expected = rows.select(
        ("BINANCE:" + pl.col("symbol")).alias("symbol"),
        pl.col("symbol").str.strip_suffix("USDT").alias("base"),
        pl.lit("USDT").alias("quote"),
        pl.col("open_time").dt.date().alias("date"),
        *("open", "high", "low", "close", "volume", "quote_volume"),
        pl.lit(value=False).alias("quote_volume_derived"),
    ).sort("symbol", "date")
    stored = home.store.lake.known_bars()
    assert stored.select("base", "quote").unique().height == len(markets.SMALL_SYMBOLS)
    assert stored.select(expected.columns).equals(expected)
    said = home.metadata(BARS)
    log = replica.log()
    assert said["files"] == log["requests"]["zip"] == log["requests"]["checksum"]
    assert said["bytes_transferred"] == log["bytes"]["zip"]
    assert said["ingested_symbols"] == said["symbols"] == len(markets.SMALL_SYMBOLS)
    assert said["added"] == said["dagster/row_count"] == expected.height
    assert said["rest_hosts"] == [host(replica, "api0")]
    assert said["last_bar"] == str(YESTERDAY)
    nothing = ("files_unchanged", "files_restated", "files_resumed", "files_quarantined", "rows_revised", "withdrawn")
    assert [said[name] for name in nothing] == [0] * len(nothing)


def test_a_bar_that_a_restated_file_lacks_is_withdrawn_and_one_that_differs_is_revised(
    replica: Replica, new_home: NewHome
) -> None:
    home, key = new_home(), MONTHLY.format(symbol="ETHUSDT", month="2024-12")
    assert ingest(home, replica, "daily_bars", **scope("BTCUSDT,ETHUSDT", "2024-12-01")).success
    before = home.store.lake.known_bars()
    december = daily("ETHUSDT").filter(pl.col("open_time").dt.strftime("%Y-%m") == "2024-12")
    gone, changed = december["open_time"][10].date(), december["open_time"][20].date()
    day = pl.col("open_time").dt.date()
    now = december.filter(day != gone).with_columns(
        volume=pl.col("volume") + pl.when(day == changed).then(1.0).otherwise(0)
    )
    restate(replica, "spot_klines_1d", key, now)
    assert ingest(home, replica, "daily_bars").success
    said = home.metadata(BARS)
    assert (said["files"], said["files_restated"], said["withdrawn"], said["revised"]) == (1, 1, 1, 1)
    touched = (pl.col("symbol") == "BINANCE:ETHUSDT") & pl.col("date").is_in([gone, changed])
    after = home.store.lake.known_bars()
    assert after.filter(~touched).equals(before.filter(~touched))
    (row,) = after.filter(touched).to_dicts()
    assert (row["date"], row["volume"]) == (changed, before.filter(touched)["volume"][1] + 1.0)


def test_a_file_that_stays_broken_is_named_in_the_metadata_and_its_bars_are_absent(
    replica: Replica, new_home: NewHome
) -> None:
    home, key = new_home(), MONTHLY.format(symbol="ETHUSDT", month="2024-12")
    replica.break_key(key, "corrupt")
    bars, said = fetched(home, replica, **scope("ETHUSDT", "2024-12-01"))
    assert said["files_quarantined"] == 1
    assert list(said["quarantined"]) == [key]
    assert "expected" in said["quarantined"][key]
    assert bars["date"].min() == date(2025, 1, 1)
    replica.break_key(key, None)
    bars, said = fetched(home, replica)
    assert bars["date"].min() == date(2024, 12, 1)
    assert (said["files"], said["quarantined"]) == (1, {})


def test_a_home_keeps_to_its_source(replica: Replica, new_home: NewHome) -> None:
    home = new_home()
    assert ingest(home, replica, "daily_bars", **scope("BTCUSDT", "2025-02-01")).success
    before = home.hashes(bars=True)
    other = ingest(home, replica, "daily_bars", **{SOURCE_VARIABLE: "files", PATH_VARIABLE: "/nowhere"})
    assert not other.success
    assert cause(other).startswith("market source: expected 'binance', which ")
    assert home.hashes(bars=True) == before


def test_a_home_remembers_what_its_first_ingest_asked_for_and_goes_on_with_what_later_ones_added(
    replica: Replica, new_home: NewHome
) -> None:
    home = new_home()
    first = {"name": "binance", "symbols": "BTCUSDT", "from": "2025-02-01"}
    assert ingest(home, replica, "daily_bars", **scope("BTCUSDT", "2025-02-01")).success
    assert record(home) == first
    assert ingest(home, replica, "daily_bars", **scope("ETHUSDT", "2025-01-01")).success
    assert record(home) == first
    bars = home.store.lake.known_bars().group_by("symbol").agg(pl.col("date").min()).sort("symbol")
    assert bars.rows() == [("BINANCE:BTCUSDT", date(2025, 2, 1)), ("BINANCE:ETHUSDT", date(2025, 1, 1))]
    assert ingest(home, replica, "daily_bars").success
    assert home.metadata(BARS)["ingested_symbols"] == 2  # what was asked for once is kept up to date
    assert home.metadata(BARS)["symbols"] == 2


@pytest.mark.parametrize(
    ("asked", "symbols", "quotes"),
    [
        ({}, ("BTCUSDT",), load_manifest().market.universe.quotes),
        ({QUOTES_VARIABLE: "EUR"}, (), ("EUR",)),
        (scope("ETHUSDT, NEWUSDT"), ("ETHUSDT", "NEWUSDT"), load_manifest().market.universe.quotes),
    ],
    ids=["nothing", "quotes", "symbols"],
)
def test_symbols_or_quotes_that_are_asked_for_now_stand_in_for_the_remembered_ones(
    new_home: NewHome, asked: dict[str, str], symbols: tuple[str, ...], quotes: tuple[str, ...]
) -> None:
    home = new_home()
    market = load_manifest().market
    with environment(**scope("BTCUSDT", "2024-12-01"), **{SOURCE_VARIABLE: "binance"}):
        home.store.record_source(home.store.binance(market))
    with environment(**asked):
        found = home.store.binance(market).scope
    assert (found.symbols, found.quotes, found.first) == (symbols, quotes, date(2024, 12, 1))


def test_an_ingest_that_cannot_be_is_not_remembered_and_one_that_was_cut_short_is(
    replica: Replica, new_home: NewHome
) -> None:
    home = new_home()
    with pytest.raises(ConfigurationError, match="found 'BTCUSD'; did you mean BTCUSDT"):
        fetched(home, replica, **scope("BTCUSD"))
    with pytest.raises(ConfigurationError, match="--from: expected 2024-11 or later, when ETHUSDT, "):
        fetched(home, replica, **scope("ETHUSDT", "2024-10-31"))
    assert not home.store.folders.source.exists()
    replica.break_key(MONTHLY.format(symbol="ETHUSDT", month="2024-12"), "500")
    fetched(home, replica, **scope("ETHUSDT", "2024-12-01"))
    assert record(home) == {"name": "binance", "symbols": "ETHUSDT", "from": "2024-12-01"}


def test_a_setting_that_cannot_be_used_ends_the_run_with_one_line(replica: Replica, new_home: NewHome) -> None:
    home = new_home()
    failed = ingest(home, replica, "daily_bars", SLEEVEGRAPH_BINANCE_CONCURRENCY="0")
    assert cause(failed) == "SLEEVEGRAPH_BINANCE_CONCURRENCY: expected a whole number from 1 to 256, found '0'"
