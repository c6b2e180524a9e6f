from datetime import UTC, date, datetime

import polars as pl
import pytest

from sleevegraph.market_data.datasets import DATASETS, Period
from sleevegraph.market_data.tables import read_tables

FUNDING, METRICS = DATASETS["um_funding_rates"], DATASETS["um_metrics"]
FUNDING_HEADER = b"calc_time,funding_interval_hours,last_funding_rate\n"
METRICS_HEADER = (
    b"create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    b"sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
MAY = Period("2023-05", date(2023, 5, 1), date(2023, 5, 31))


def test_funding_rates_are_read_with_their_milliseconds() -> None:
    content = FUNDING_HEADER + b"1682899200007,8,-0.00008191\n1682928000000,4,0E-8\n"
    for form in (content, content.split(b"\n", 1)[1]):
        rows, reasons = read_tables(FUNDING, [("BTCUSDT", MAY, form)])
        assert reasons == {}
        assert rows.rows() == [
            ("BTCUSDT", datetime(2023, 5, 1, 0, 0, 0, 7000, tzinfo=UTC), 8, -0.00008191, 0),
            ("BTCUSDT", datetime(2023, 5, 1, 8, tzinfo=UTC), 4, 0.0, 0),
        ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"1682899200007,8\n", "line 1: expected 3 columns, found 2"),
        (b"1682899200007,8,\n", "line 1: last_funding_rate: expected a finite rate, found ''"),
        (b"1682899200007,8,1e999\n", "line 1: last_funding_rate: expected a finite rate"),
        (b"1682899200007,0,0.1\n", "line 1: funding_interval_hours: expected a whole number > 0, found '0'"),
        (
            b"1682899199999,8,0.1\n",
            "line 1: calc_time: expected a time inside 2023-05, found '1682899199999' (2023-04-30",
        ),
        (b"1682899200007,8,0.1\n1682899200007,8,0.1\n", "line 2: calc_time: expected a later time than the row before"),
        (
            b"1682899200007,8,0.1\n1682928000000000,8,0.1\n",
            "line 2: calc_time: expected the unit of the file's first time",
        ),
        (METRICS_HEADER + b"1682899200007,8,0.1\n", "line 1: expected a row of numbers or the header calc_time,"),
    ],
)
def test_broken_funding_rates_are_named(content: bytes, named: str) -> None:
    rows, reasons = read_tables(FUNDING, [("BTCUSDT", MAY, content), ("A", MAY, b"1682899200007,8,0.1\n")])
    assert rows["source"].to_list() == [1]
    assert named in reasons[0]


NEW_YEAR = Period("2023-01-01", date(2023, 1, 1), date(2023, 1, 1))
METRIC = b"2023-01-01 00:05:00,%s,100243.058,12494186585.40,0.69,1.82,0.56,1.15\n"


def metrics(*rows: bytes, symbol: str = "币安人生USDT") -> tuple[pl.DataFrame, dict[int, str]]:
    return read_tables(METRICS, [(symbol, NEW_YEAR, METRICS_HEADER + b"".join(rows))])


def test_metrics_run_from_the_first_five_minutes_to_the_midnight_that_ends_the_day() -> None:
    symbol = "币安人生USDT".encode()
    last = METRIC.replace(b"01-01 00:05:00", b"01-02 00:00:00").replace(b"0.69,1.82,0.56,1.15", b",nan,NaN,0")
    blank = b"2023-01-02 00:00:00,%s,,,,,,\n"
    rows, reasons = metrics(METRIC % symbol, last % symbol)
    assert reasons == {}
    assert rows.rows() == [
        ("币安人生USDT", datetime(2023, 1, 1, 0, 5, tzinfo=UTC), 100243.058, 12494186585.40, 0.69, 1.82, 0.56, 1.15, 0),
        ("币安人生USDT", datetime(2023, 1, 2, tzinfo=UTC), 100243.058, 12494186585.40, None, None, None, 0.0, 0),
    ]
    rows, reasons = metrics(METRIC % symbol, blank % symbol)
    assert reasons == {}
    assert rows.row(1)[2:] == (None,) * 6 + (0,)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (b"01-01 00:05:00", b"01-02 00:00:01", "create_time: expected a time inside 2023-01-01"),
        (b"01-01 00:05:00", b"01-02 00:05:00", "create_time: expected a time inside 2023-01-01"),
        (b"2023-01-01", b"2022-12-31", "create_time: expected a time inside 2023-01-01, found '2022-12-31 00:05:00'"),
        (b"00:05:00", b"00:05:60", "create_time: expected a time as in 2023-01-01 00:05:00"),
        (b"00:05:00", b"0:5:0", "create_time: expected a time as in 2023-01-01 00:05:00"),
        (b"2023-01-01 00:05:00", b"1672531500000", "create_time: expected a time inside 2023-01-01"),
        (b"BTCUSDT", b"ETHUSDT", "symbol: expected BTCUSDT, found 'ETHUSDT'"),
        (b"BTCUSDT", b"", "symbol: expected BTCUSDT, found ''"),
        (b"100243.058", b"-1", "sum_open_interest: expected a finite number >= 0, nan or nothing, found '-1'"),
        (b"12494186585.40", b"1e999", "sum_open_interest_value: expected a finite number >= 0, nan or nothing"),
        (
            b"0.69",
            b"-0.69",
            "count_toptrader_long_short_ratio: expected a finite number >= 0, nan or nothing, found '-0.69'",
        ),
        (b"1.82", b"inf", "sum_toptrader_long_short_ratio: expected a finite number >= 0"),
        (b"0.56", b"none", "count_long_short_ratio: expected a finite number >= 0, nan or nothing, found 'none'"),
        (b"1.15", b"1.1.5", "sum_taker_long_short_vol_ratio: expected a finite number >= 0"),
        (b"1.15", b'"1.15"', "sum_taker_long_short_vol_ratio: expected a plain text"),
        (b"1.15", b"1.15,", "expected 8 columns, found 9"),
        (b"1.15", b"\xff", "expected text in UTF-8"),
    ],
)
def test_broken_metrics_are_named(before: bytes, after: bytes, named: str) -> None:
    row = METRIC % b"BTCUSDT"
    assert metrics(row, symbol="BTCUSDT")[1] == {}
    rows, reasons = metrics(row.replace(before, after), symbol="BTCUSDT")
    assert rows.is_empty()
    assert named in reasons[0]


def test_repeated_metrics_are_refused() -> None:
    assert "line 3: create_time: expected a later time" in metrics(METRIC % b"A", METRIC % b"A", symbol="A")[1][0]
