import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.datasets import DATASETS, Period
from sleevegraph.market_data.tables import read_tables, rest_klines
from tests.shared import SHARED, needs_shared

DAILY, HOURLY = DATASETS["spot_klines_1d"], DATASETS["spot_klines_1h"]
RAW = SHARED / "market" / "raw"
HEADER = b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
VALUES = [name for name, dtype in DAILY.schema.items() if dtype == pl.Float64]

Content = tuple[str, Period, bytes]


def month(year: int, number: int) -> Period:
    following = date(year + number // 12, number % 12 + 1, 1)
    return Period(f"{year}-{number:02}", date(year, number, 1), following - timedelta(days=1))


MAY = month(2023, 5)
MAY_MS = 1_682_899_200_000


def kline(opened: int, width: int = DAY_MS, **changes: object) -> list[object]:
    row = dict(zip(HEADER.decode().strip().split(","), (
        opened, "29233.20000000", "29337.34000000", "29215.93000000", "29315.57000000", "1884.84043000",
        opened + width - 1, "55200888.19800800", 43324, "898.64952000", "26318179.46702700", "0",
    ), strict=True))  # fmt: skip
    return list((row | changes).values())


def text(*rows: list[object]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def may(*changes: dict[str, object]) -> bytes:
    """The first days of May, the first of them with the first changes, and so on; at least three."""
    days = [*changes, {}, {}, {}][: max(3, len(changes))]
    return text(*(kline(MAY_MS + i * DAY_MS, **change) for i, change in enumerate(days)))


def in_microseconds(rows: bytes) -> bytes:
    """As the exchange has written since 2025: the close is the last microsecond of the bar."""
    fields = [line.split(b",") for line in rows.splitlines()]
    for row in fields:
        row[0], row[6] = row[0] + b"000", row[6] + b"999"
    return b"".join(b",".join(row) + b"\n" for row in fields)


def read(*contents: Content) -> pl.DataFrame:
    rows, reasons = read_tables(DAILY, contents)
    assert reasons == {}
    return rows


def recorded(symbol: str) -> pl.DataFrame:
    hourly = pl.scan_parquet(SHARED / "market" / "spot_hourly.parquet").filter(pl.col("symbol") == symbol)
    return hourly.with_columns(pl.col("open_time").dt.replace_time_zone("UTC")).collect()


def python_rows(content: bytes, symbol: str, source: int) -> pl.DataFrame:
    """The same rows by the standard library, value by value."""
    rows = []
    for row in csv.DictReader(content.decode().splitlines()):
        opened = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(row["open_time"]))
        values = {name: float(row[name]) for name in VALUES}
        rows.append({"symbol": symbol, "open_time": opened, "trades": int(row["count"]), "source": source} | values)
    return pl.DataFrame(rows, schema_overrides={"source": pl.UInt32}).select(*HOURLY.schema, "source")


@needs_shared
def test_the_recorded_files_are_the_recorded_bars_with_header_and_without_in_ms_and_in_us() -> None:
    months = [month(2023, number) for number in range(1, 6)]
    files = [(RAW / f"BTCUSDT-1h-{period.text}.csv").read_bytes() for period in months]
    bare = [file.split(b"\n", 1)[1] for file in files]
    want = pl.concat(python_rows(file, "BTCUSDT", i) for i, file in enumerate(files))
    stored = recorded("BTCUSDT").filter(pl.col("open_time").dt.date().is_between(months[0].first, months[-1].last))
    assert_frame_equal(want.select(stored.columns), stored, check_exact=True)
    assert want.height == 3623
    micro = [in_microseconds(file) for file in bare]
    crlf = [file.replace(b"\n", b"\r\n") for file in files]
    for form in (files, bare, micro, crlf, [file.removesuffix(b"\n") for file in bare]):
        rows, reasons = read_tables(HOURLY, [("BTCUSDT", p, f) for p, f in zip(months, form, strict=True)])
        assert reasons == {}
        assert_frame_equal(rows, want, check_exact=True)


def test_a_batch_keeps_the_order_of_its_files_and_says_whose_row_each_is() -> None:
    march = text(kline(MAY_MS - 60 * DAY_MS))
    rows = read(
        ("币安人生USDT", MAY, may()), ("BTCUSDT", month(2023, 3), in_microseconds(march)), ("A", MAY, HEADER + may())
    )
    assert rows["symbol"].to_list() == ["币安人生USDT"] * 3 + ["BTCUSDT"] + ["A"] * 3
    assert rows["source"].to_list() == [0, 0, 0, 1, 2, 2, 2]
    assert rows["open_time"][3] == datetime(2023, 3, 2, tzinfo=UTC)
    assert rows.schema == DAILY.schema | {"source": pl.UInt32()}


def test_no_files_are_no_rows() -> None:
    for dataset in DATASETS.values():
        rows, reasons = read_tables(dataset, [])
        assert (rows.schema, rows.height, reasons) == (dataset.schema | {"source": pl.UInt32()}, 0, {})


numbers = st.one_of(
    st.floats(0, allow_infinity=False, exclude_min=True).map(repr),
    st.decimals(1, 10**18, places=8).map(lambda d: f"{d:f}"),
    st.from_regex(r"[1-9][0-9]{0,30}(\.[0-9]{0,40})?", fullmatch=True),
    st.just("6248400000000.00000000"),
)


@given(st.lists(st.tuples(numbers, numbers, st.integers(0, 2**63 - 1)), min_size=1, max_size=31))
def test_numbers_are_to_the_bit_what_python_reads(rows: list[tuple[str, str, int]]) -> None:
    days = [{"open": a, "taker_buy_quote_volume": b, "count": n} for a, b, n in rows]
    content = text(*(kline(MAY_MS + i * DAY_MS, **change) for i, change in enumerate(days)))
    found = read(("X", MAY, content)).select("open", "taker_buy_quote_volume", "trades").rows()
    assert found == [(float(a), float(b), n) for a, b, n in rows]


KLINE_DEFECTS: list[tuple[bytes, str]] = [
    (b"", "expected rows, found an empty file"),
    (HEADER, "expected rows, found none below the header"),
    (b"\n" + may(), "line 1: expected a row of numbers or the header open_time,open,"),
    (HEADER.replace(b"count", b"trades") + may(), "found 'open_time,open,high"),
    (HEADER.upper() + may(), "line 1: expected a row of numbers or the header"),
    (b"\xef\xbb\xbf" + may(), "line 1: expected a row of numbers or the header"),
    (HEADER + HEADER + may(), "line 2: open_time: expected a plain number, found 'open_time'"),
    (may() + b"\n", "line 4: expected 12 columns, found 1"),
    (may()[:-40], "line 3: expected 12 columns, found 8"),
    (may({}, {"ignore": "0,0"}), "line 2: expected 12 columns, found 13"),
    (may({"ignore": "0,0"}) + b"1,2,3,4,5,6,7,8,9,10,11\n", "line 1: expected 12 columns, found 13"),
    (may({}, {"open": '"1"'}), "line 2: open: expected a plain number, found '\"1\"'"),
    (may({}, {"low": " 1"}), "line 2: low: expected a plain number, found ' 1'"),
    (may({}, {"low": "1\r"}), "line 2: low: expected a plain number"),
    (may({}, {"low": "\u0661"}), "line 2: low: expected a plain number, found '\u0661'"),
    (may({}, {"high": "nan"}), "line 2: high: expected a plain number, found 'nan'"),
    (may({}, {"high": "inf"}), "line 2: high: expected a plain number, found 'inf'"),
    (may({}, {"close": "1e999"}), "line 2: close: expected a finite price > 0, found '1e999'"),
    (may({}, {"close": "1.2.3"}), "line 2: close: expected a finite price > 0, found '1.2.3'"),
    (may({}, {"close": ""}), "line 2: close: expected a finite price > 0, found ''"),
    (may({}, {"open": "0.00000000"}), "line 2: open: expected a finite price > 0, found '0.00000000'"),
    (may({}, {"low": "-1"}), "line 2: low: expected a finite price > 0, found '-1'"),
    (may({}, {"volume": "-0.1"}), "line 2: volume: expected a finite amount >= 0, found '-0.1'"),
    (may({}, {"quote_volume": "-1"}), "line 2: quote_volume: expected a finite amount >= 0, found '-1'"),
    (may({}, {"taker_buy_volume": ""}), "line 2: taker_buy_volume: expected a finite amount >= 0, found ''"),
    (may({}, {"taker_buy_quote_volume": "e"}), "line 2: taker_buy_quote_volume: expected a finite amount >= 0, found 'e'"),
    (may({}, {"count": "1.0"}), "line 2: count: expected a whole number >= 0, found '1.0'"),
    (may({}, {"count": "-1"}), "line 2: count: expected a whole number >= 0, found '-1'"),
    (may({}, {"count": str(2**63)}), f"line 2: count: expected a whole number >= 0, found '{2**63}'"),
    (may({"open_time": 1_682_899_200}), "line 1: open_time: expected 13 digits (milliseconds) or 16 (microseconds)"),
    (may({"open_time": ""}), "line 1: expected a row of numbers or the header"),
    (may({}, {"open_time": ""}), "line 2: open_time: expected 13 digits (milliseconds) or 16 (microseconds), found ''"),
    (may({}, {"open_time": MAY_MS * 1000 + DAY_MS * 1000}), "line 2: open_time: expected the unit of the file's first time"),
    (may() + in_microseconds(may()), "line 4: open_time: expected the unit of the file's first time"),
    (may({}, {"close_time": (MAY_MS + 2 * DAY_MS) * 1000 - 1}), "line 2: close_time: expected the unit of the file's first"),
    (may({"close_time": MAY_MS - 1}), "line 1: close_time: expected a time within 1d of open_time"),
    (may({"close_time": MAY_MS + DAY_MS}), "line 1: close_time: expected a time within 1d of open_time"),
    (may({"open_time": MAY_MS + 1}), "line 1: open_time: expected midnight UTC, found '1682899200001' (2023-05-01 00:00:00.001"),
    (may({}, {"open_time": MAY_MS}), "line 2: open_time: expected a later time than the row before, found '1682899200000'"),
    (may() + may(), "line 4: open_time: expected a later time than the row before"),
    (HEADER + may({}, {"open": "0"}), "line 3: open: expected a finite price > 0, found '0'"),
    (may({}, {"open": "0"}, {"open": "-1"}), "line 2: open: expected a finite price > 0, found '0'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "named"), KLINE_DEFECTS)
def test_a_broken_file_gives_no_rows_and_one_line_that_says_where(content: bytes, named: str) -> None:
    sound = ("ETHUSDT", MAY, may())
    broken = ("BTCUSDT", MAY, content)
    rows, reasons = read_tables(DAILY, [sound, broken, sound, broken])
    assert rows["source"].to_list() == [0, 0, 0, 2, 2, 2]
    assert named in reasons[1]
    assert "\n" not in reasons[1]
    assert reasons == {1: reasons[1], 3: reasons[1]}
    alone, why = read_tables(DAILY, [broken])
    assert (alone.height, alone.schema, why) == (0, DAILY.schema | {"source": pl.UInt32()}, {0: reasons[1]})


@pytest.mark.parametrize("form", [bytes, in_microseconds])
def test_a_row_of_the_next_month_or_of_the_last_breaks_a_file(form: Callable[[bytes], bytes]) -> None:
    whole = text(*(kline(MAY_MS + i * DAY_MS) for i in range(31)))
    assert read(("X", MAY, form(whole))).height == 31
    for day, line, shown in ((31, 32, "2023-06-01"), (-1, 1, "2023-04-30")):
        other = text(kline(MAY_MS + day * DAY_MS))
        content = form(whole + other if day > 0 else other + whole)
        rows, reasons = read_tables(DAILY, [("X", MAY, content)])
        assert rows.is_empty()
        assert f"line {line}: open_time: expected a time inside 2023-05, found '" in reasons[0]
        assert f"({shown} 00:00:00+00:00)" in reasons[0]


def test_a_daily_file_holds_its_day_alone() -> None:
    day = Period("2023-05-02", date(2023, 5, 2), date(2023, 5, 2))
    hours = [text(kline(MAY_MS + DAY_MS + i * HOUR_MS, HOUR_MS)) for i in range(-1, 25)]
    rows, reasons = read_tables(
        HOURLY, [("X", day, b"".join(hours[1:25])), ("X", day, hours[0]), ("X", day, hours[25])]
    )
    assert (rows.height, sorted(reasons)) == (24, [1, 2])


def test_bars_of_an_interrupted_session_are_read_as_they_are() -> None:
    opened = 1_518_168_494_789  # BTCUSDT after the outage of 2018-02-09: off the grid, and shorter than an hour
    content = text(kline(opened, HOUR_MS), kline(opened + HOUR_MS, 1_000_000))
    rows, reasons = read_tables(HOURLY, [("BTCUSDT", month(2018, 2), content)])
    assert reasons == {}
    assert rows["open_time"][0] == datetime(2018, 2, 9, 9, 28, 14, 789_000, tzinfo=UTC)


def test_the_order_of_open_high_low_and_close_is_not_judged_here() -> None:
    assert read(("X", MAY, may({"high": "1", "low": "2"}))).height == 3


def is_sound(content: bytes) -> bool:
    """The rules once more, row by row in plain Python, for one daily file of May without a header."""
    before = MAY_MS - 1
    for line in content.removesuffix(b"\n").split(b"\n"):
        row = line.split(b",")
        if len(row) != 12 or set(line) - set(b"0123456789.+-eE,"):
            return False
        try:
            opened, closed, trades = (int(row[i]) for i in (0, 6, 8))
            prices, volumes = [float(row[i]) for i in range(1, 5)], [float(row[i]) for i in (5, 7, 9, 10)]
        except ValueError:
            return False
        inside = before < opened < MAY_MS + 31 * DAY_MS and opened % DAY_MS == 0 and opened <= closed < opened + DAY_MS
        finite = all(map(math.isfinite, prices + volumes))
        if not (inside and finite and min(prices) > 0 and min(volumes) >= 0 and 0 <= trades < 2**63):
            return False
        before = opened
    return True


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(b'0123456789,.-+eE\n\r" x\0\xff')), min_size=1, max_size=3
    )
)
def test_a_damaged_file_is_read_only_where_a_plain_reader_would(damage: list[tuple[int, int]]) -> None:
    content = bytearray(may())
    for at, byte in damage:
        content[at % len(content)] = byte
    rows, reasons = read_tables(DAILY, [("A", MAY, may()), ("B", MAY, bytes(content)), ("C", MAY, may())])
    if content.find(b"\r\n") < 0:
        assert is_sound(bytes(content)) == (1 not in reasons)
    assert set(reasons) <= {1}
    assert rows.filter(pl.col("source") != 1).drop("source", "symbol").n_unique() == 3


def test_an_answer_of_the_rest_api_gives_the_rows_of_the_file() -> None:
    opened = [MAY_MS + i * DAY_MS for i in range(3)]
    answer = json.loads(json.dumps([kline(o) for o in opened]))
    want = read(("币安人生USDT", MAY, may())).drop("source")
    assert_frame_equal(rest_klines(DAILY, "币安人生USDT", answer), want, check_exact=True)
    assert_frame_equal(rest_klines(DAILY, "X", []), want.clear(), check_exact=True)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"code": -1121, "msg": "Invalid symbol."}, "expected a JSON array, found \"{'code': -1121"),
        (None, "expected a JSON array"),
        ([1], "line 1: expected whole numbers"),
        ([kline(MAY_MS)[:11]], "line 1: expected whole numbers"),
        ([kline(MAY_MS), kline(MAY_MS + DAY_MS, open=1.0)], "line 2: expected whole numbers"),
        ([kline(MAY_MS, open_time=str(MAY_MS))], "line 1: expected whole numbers"),
        ([kline(MAY_MS, count=True)], "line 1: expected whole numbers"),
        ([kline(MAY_MS, count=None)], "line 1: expected whole numbers"),
        ([kline(MAY_MS, open="1,2")], "line 1: expected 12 columns, found 13"),
        ([kline(MAY_MS, open="1\n2")], "line 1: expected 12 columns, found 2"),
        ([kline(MAY_MS, open="\ud800")], "line 1: open: expected a plain number"),
        ([kline(MAY_MS, open="0")], "line 1: open: expected a finite price > 0, found '0'"),
        (
            [kline(MAY_MS * 1000, close_time=MAY_MS * 1000)],
            "line 1: open_time: expected milliseconds, found 1682899200000000",
        ),
        ([kline(MAY_MS // 1000)], "line 1: open_time: expected 13 digits"),
        ([kline(MAY_MS), kline(MAY_MS)], "line 2: open_time: expected a later time than the row before"),
        ([kline(MAY_MS, close_time=MAY_MS + DAY_MS)], "line 1: close_time: expected a time within 1d"),
        ([kline(MAY_MS + 1)], "line 1: open_time: expected midnight UTC"),
    ],
)
def test_a_malformed_answer_is_refused(answer: object, named: str) -> None:
    with pytest.raises(ArchiveError) as error:
        rest_klines(DAILY, "BTCUSDT", answer)
    assert named in str(error.value)
    assert str(error.value).startswith("BTCUSDT 1d klines of the REST API: ")
    assert "\n" not in str(error.value)
