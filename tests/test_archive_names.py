from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.market_data.datasets import (
    DATASETS,
    INTERVALS,
    Period,
    file_name,
    files_prefix,
    is_symbol,
    parse_key,
    symbols_prefix,
)

MAY = Period("2023-05", date(2023, 5, 1), date(2023, 5, 31))
CHRISTMAS_EVE = Period("2023-12-24", date(2023, 12, 24), date(2023, 12, 24))

# Addresses as https://data.binance.vision shows them.
REAL_KEYS = [
    ("spot_klines_1d", "monthly", "BTCUSDT", MAY, "data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2023-05.zip"),
    ("spot_klines_1h", "daily", "1INCHBTC", CHRISTMAS_EVE, "data/spot/daily/klines/1INCHBTC/1h/1INCHBTC-1h-2023-12-24.zip"),
    ("um_klines_15m", "daily", "ETHUSDT_230630", CHRISTMAS_EVE,
     "data/futures/um/daily/klines/ETHUSDT_230630/15m/ETHUSDT_230630-15m-2023-12-24.zip"),
    ("um_funding_rates", "monthly", "BTCUSDT", MAY,
     "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-05.zip"),
    ("um_metrics", "daily", "BTCUSDT", CHRISTMAS_EVE,
     "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2023-12-24.zip"),
    ("spot_klines_1d", "monthly", "币安人生USDT", MAY,
     "data/spot/monthly/klines/币安人生USDT/1d/币安人生USDT-1d-2023-05.zip"),
]  # fmt: skip

MARKED = ("हिंदीUSDT", "தமிழ்USDT", "ไม่ใช่USDT", "q\u0301USDT", "1\u0301")
"""Words that Unicode has no single characters for: their vowels and tones are marks, of Mc and Mn."""

letters = st.characters(categories=("Lu", "Ll", "Lo", "Nd", "Mn", "Mc"), include_characters="_")
tickers = st.text(letters, min_size=1, max_size=40).filter(is_symbol)
days = st.dates(date(2017, 7, 1), date(2099, 12, 31))


def may_key(symbol: str = "BTCUSDT", name: str = "BTCUSDT-1d-2023-05.zip") -> str:
    return f"data/spot/monthly/klines/{symbol}/1d/{name}"


def test_eight_datasets_are_named_by_their_market_kind_and_interval() -> None:
    klines = [f"{market}_klines_{interval}" for market in ("spot", "um") for interval in INTERVALS]
    assert list(DATASETS) == [*klines, "um_funding_rates", "um_metrics"]
    assert all(dataset.name == name for name, dataset in DATASETS.items())


@pytest.mark.parametrize(("name", "span", "symbol", "period", "key"), REAL_KEYS)
def test_keys_are_those_of_the_public_archive(name: str, span: str, symbol: str, period: Period, key: str) -> None:
    dataset = DATASETS[name]
    assert key.startswith(symbols_prefix(dataset, span) + symbol + "/")
    assert files_prefix(dataset, span, symbol) + file_name(dataset, symbol, period) == key
    assert parse_key(dataset, span, symbol, key) == period


@given(st.sampled_from(list(DATASETS.values())), tickers, days)
def test_every_key_reads_back_as_the_period_that_it_was_made_of(dataset, symbol, day) -> None:  # noqa: ANN001 - drawn
    for span in dataset.spans:
        last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        month = Period(f"{day:%Y-%m}", day.replace(day=1), last)
        period = month if span == "monthly" else Period(f"{day}", day, day)
        key = files_prefix(dataset, span, symbol) + file_name(dataset, symbol, period)
        assert parse_key(dataset, span, symbol, key) == period


@pytest.mark.parametrize(
    "key",
    [
        may_key(name="BTCUSDT-1d-2023-05.zip.CHECKSUM"),
        may_key(name="BTCUSDT-1d-2023-13.zip"),
        may_key(name="BTCUSDT-1d-2023-5.zip"),
        may_key(name="BTCUSDT-1d-202305.zip"),
        may_key(name="BTCUSDT-1d-2023-05-04.zip"),
        may_key(name="BTCUSDT-1d-2023-W05.zip"),
        may_key(name="BTCUSDT-1d-\u0662\u0660\u0662\u0663-\u0660\u0665.zip"),
        may_key(name="BTCUSDT-1d-9999-12.zip"),
        may_key(name="BTCUSDT-1d-2023-05.ZIP"),
        may_key(name="BTCUSDT-1d-2023-05.zip "),
        may_key(name="BTCUSDT-1h-2023-05.zip"),
        may_key(name="ETHUSDT-1d-2023-05.zip"),
        may_key(name="x/BTCUSDT-1d-2023-05.zip"),
        may_key(name="../1d/BTCUSDT-1d-2023-05.zip"),
        may_key(name="BTCUSDT-1d-.zip"),
        may_key(symbol="ETHUSDT"),
        "/" + may_key(),
        may_key().replace("monthly", "daily"),
        may_key().replace("spot", "futures/um"),
        "",
    ],
)
def test_a_key_that_differs_in_one_place_is_no_file_of_the_dataset(key: str) -> None:
    dataset = DATASETS["spot_klines_1d"]
    assert parse_key(dataset, "monthly", "BTCUSDT", may_key()) == MAY
    assert parse_key(dataset, "monthly", "BTCUSDT", key) is None


def test_daily_names_are_no_months_and_need_every_digit() -> None:
    dataset, folder = DATASETS["spot_klines_1d"], "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-"
    for text in ("2023-02-29", "20230228", "2023-02", "2023-W05-1", "2023-2-28"):
        assert parse_key(dataset, "daily", "BTCUSDT", f"{folder}{text}.zip") is None
    assert parse_key(dataset, "daily", "BTCUSDT", f"{folder}2024-02-29.zip") is not None


@pytest.mark.parametrize(
    "text", ["BTCUSDT", "1000SHIBUSDT", "BTCUSDT_230630", "币安人生USDT", "ÉUSDT", "a", "A" * 40, *MARKED]
)
def test_tickers_of_any_script_are_symbols(text: str) -> None:
    assert is_symbol(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../X",
        "a/b",
        "a\\b",
        "C:",
        "A B",
        "A-B",
        "A\n",
        "A\0",
        "A" * 41,
        "E\u0301USDT",
        "\u212bUSDT",
        "A\u200bB",
        "A½",
        "\u093fUSDT",
        "_\u0301",
        "A\u20dd",
        "\u0928\u093cUSDT",
        "~",
    ],
)
def test_what_could_be_a_path_or_look_like_another_ticker_is_no_symbol(text: str) -> None:
    assert not is_symbol(text)
    dataset, period = DATASETS["spot_klines_1d"], MAY
    assert (
        parse_key(dataset, "monthly", text, files_prefix(dataset, "monthly", text) + file_name(dataset, text, period))
        is None
    )


@given(tickers)
def test_the_longest_file_name_fits_a_disk(symbol: str) -> None:
    longest = Period("2023-12-24", date(2023, 12, 24), date(2023, 12, 24))
    for dataset in DATASETS.values():
        assert len((file_name(dataset, symbol, longest) + ".CHECKSUM").encode()) <= 255
