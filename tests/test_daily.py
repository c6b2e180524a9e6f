"""Daily klines as bars under the bar contract."""

from datetime import UTC, datetime

import polars as pl
import pytest

from profiles.load import load_manifest
from sleevegraph.bars import BAR_SCHEMA, validate_bars
from sleevegraph.errors import BarsError
from sleevegraph.market_data.daily import daily_bars
from sleevegraph.market_data.datasets import DATASETS

RULES = load_manifest().market.symbols


def klines(*rows: tuple[str, int], close: float = 2.5) -> pl.DataFrame:
    values = (1.5, 3.0, 1.0, close, 10.0, 25.0, 7, 5.0, 12.5)
    data = [(symbol, datetime(2025, 1, day, tzinfo=UTC), *values) for symbol, day in rows]
    return pl.DataFrame(data, schema=DATASETS["spot_klines_1d"].schema, orient="row")


def test_a_kline_is_the_bar_of_its_day() -> None:
    bars, unsplit = daily_bars(klines(("BTCUSDT", 3)), {"BTCUSDT": ("BTC", "USDT")}, RULES, "BINANCE")
    assert bars.schema == BAR_SCHEMA
    day = datetime(2025, 1, 3, tzinfo=UTC).date()
    assert bars.rows() == [("BINANCE:BTCUSDT", "BTC", "USDT", day, 1.5, 3.0, 1.0, 2.5, 10.0, 25.0, False)]
    assert unsplit == []


def test_bars_keep_the_contract_and_are_sorted() -> None:
    bars, _ = daily_bars(klines(("ETHUSDT", 2), ("BTCUSDT", 2), ("ETHUSDT", 1)), {}, RULES, "BINANCE")
    validate_bars(bars, "test")
    assert bars["symbol"].to_list() == ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:ETHUSDT"]
    assert bars["date"].dt.day().to_list() == [2, 1, 2]


def test_the_exchange_says_the_quote_and_the_rules_do_for_whom_it_no_longer_names() -> None:
    bars, unsplit = daily_bars(
        klines(("GONEUSDT", 1), ("MUU", 1), ("XYZ", 1), ("币安人生USDT", 1)), {"MUU": ("MU", "U")}, RULES, "BINANCE"
    )
    assert bars.select("base", "quote").rows() == [("GONE", "USDT"), ("MU", "U"), ("币安人生", "USDT")]
    assert unsplit == ["XYZ"]


def test_a_bar_that_breaks_the_contract_is_one_line() -> None:
    with pytest.raises(BarsError, match="daily klines of the exchange") as error:
        daily_bars(klines(("BTCUSDT", 1), close=float("nan")), {}, RULES, "BINANCE")
    assert "\n" not in str(error.value)
