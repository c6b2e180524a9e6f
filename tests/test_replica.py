"""The replica of Binance against what is known without it: the frames, zipfile, hashlib, the folder's own files."""

import zipfile
from datetime import UTC, date, datetime, timedelta
from hashlib import md5, sha256
from pathlib import Path

import polars as pl
import pytest

from tests.replica import markets
from tests.replica.asking import CLIENT, DAILY, MONTH, csv_of, get, klines, page, texts, walked
from tests.replica.build import build
from tests.replica.handle import Replica
from tests.shared import needs_shared

DAY = timedelta(days=1)
HEAD = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades"]
COLUMNS = [*HEAD, "taker_buy_volume", "taker_buy_quote_volume", "ignore"]


@pytest.mark.parametrize(
    ("name", "key", "unit"),
    [
        ("spot_klines_1d", MONTH, "ms"),
        ("spot_klines_1d", "data/spot/monthly/klines/币安人生USDT/1d/币安人生USDT-1d-2025-01.zip", "us"),
        ("spot_klines_1h", "data/spot/daily/klines/SPLITUSDT/1h/SPLITUSDT-1h-2025-02-08.zip", "us"),
        ("um_klines_1d", "data/futures/um/monthly/klines/ETHUSDT/1d/ETHUSDT-1d-2025-01.zip", "ms"),
    ],
)
def test_a_file_of_klines_reads_back_to_its_frame(replica: Replica, name: str, key: str, unit: str) -> None:
    rows = csv_of(replica, key)
    if name.startswith("um"):
        assert rows.pop(0)[:2] == ["open_time", "open"]
    symbol, step = key.split("/")[-3], DAY if "/1d/" in key else timedelta(hours=1)
    stem = key.rpartition("/")[2].removesuffix(".zip").split("-", 2)[2]
    expected = markets.small_market()[name].filter(
        pl.col("symbol") == symbol, pl.col("open_time").dt.strftime("%Y-%m-%d").str.starts_with(stem)
    )
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    assert expected.height == frame.height > 20
    for column in set(COLUMNS) - {"open_time", "close_time", "ignore"}:
        assert [float(value) for value in frame[column]] == expected[column].to_list()
    opened = expected["open_time"].dt.epoch(unit).to_list()
    ticks = int(step / timedelta(milliseconds=1)) * (1000 if unit == "us" else 1)
    assert [int(value) for value in frame["open_time"]] == opened
    assert [int(value) for value in frame["close_time"]] == [start + ticks - 1 for start in opened]


def test_funding_and_metrics_read_back_and_metrics_end_at_the_next_midnight(replica: Replica) -> None:
    frames = markets.small_market()
    head, *rows = csv_of(replica, "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-01.zip")
    expected = frames["um_funding_rates"].filter(
        pl.col("symbol") == "BTCUSDT", pl.col("funding_time").dt.strftime("%Y-%m") == "2025-01"
    )
    assert head == ["calc_time", "funding_interval_hours", "last_funding_rate"]
    assert [(int(t), int(h), float(r)) for t, h, r in rows] == list(
        expected.select(pl.col("funding_time").dt.epoch("ms"), "funding_interval_hours", "funding_rate").iter_rows()
    )
    _, *rows = csv_of(replica, "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2025-01-26.zip")
    metrics = frames["um_metrics"].filter(pl.col("symbol") == "BTCUSDT")[288 : 2 * 288]
    assert (rows[0][0], rows[-1][0], len(rows)) == ("2025-01-26 00:05:00", "2025-01-27 00:00:00", 288)
    assert [float(row[2]) for row in rows] == metrics["open_interest"].to_list()
    assert [float(row[7]) if row[7] else None for row in rows] == metrics["taker_volume_ratio"].to_list()


def test_odd_numbers_are_plain_decimals_that_parse_back_exactly(tmp_path: Path) -> None:
    odd = [0.1 + 0.2, 1e-8, 1 / 3, 3e22, 123456789.123456789, 5e-324, 0.0, 16541.77, 2**53 + 1.0]
    start = datetime(2023, 5, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {"symbol": "XUSDT", "open_time": [start + i * DAY for i in range(len(odd))]}
        | dict.fromkeys(("open", "high", "low", "close", "volume"), odd),
        schema_overrides={"open_time": pl.Datetime("us", "UTC")},
    )
    build(tmp_path / "tree", {"spot_klines_1d": frame}, now=datetime(2023, 6, 2, tzinfo=UTC))
    path = tmp_path / "tree/archive/data/spot/monthly/klines/XUSDT/1d/XUSDT-1d-2023-05.zip"
    with zipfile.ZipFile(path) as archive:
        rows = [line.split(",") for line in archive.read("XUSDT-1d-2023-05.csv").decode().splitlines()]
    assert [float(row[1]) for row in rows] == odd
    assert not [row for row in rows if any("e" in text.lower() for text in row)]
    assert all(len(text.partition(".")[2]) >= 8 for row in rows for text in row[1:6])


@pytest.mark.parametrize(("size", "prefix"), [(1, DAILY), (7, "data/spot/"), (1000, "data/")])
def test_the_listing_visits_every_key_once(replica: Replica, small_tree: Path, size: int, prefix: str) -> None:
    replica.now(datetime(2025, 3, 6, tzinfo=UTC))
    replica.archive_until(None)
    replica.page_size(size)
    root = small_tree / "archive"
    files = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert walked(replica, prefix) == sorted((key for key in files if key.startswith(prefix)), key=str.encode)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_common_prefixes_are_paged_by_next_marker(replica: Replica, size: int) -> None:
    replica.page_size(size)
    found: list[str] = []
    marker = [""]
    while marker:
        tree = page(replica, prefix="data/spot/daily/klines/", delimiter="/", marker=marker[0])
        found += texts(tree, "CommonPrefixes/Prefix")
        marker = texts(tree, "NextMarker")
        assert bool(marker) == (texts(tree, "IsTruncated") == ["true"])
    symbols = sorted(markets.SMALL_SYMBOLS, key=str.encode)
    assert found == [f"data/spot/daily/klines/{symbol}/" for symbol in symbols]


def test_size_etag_and_checksum_are_those_of_the_file(replica: Replica) -> None:
    tree = page(replica, prefix=MONTH)
    body, said = get(replica, MONTH).content, get(replica, f"{MONTH}.CHECKSUM").text
    assert texts(tree, "Contents/ETag")[0] == f'"{md5(body, usedforsecurity=False).hexdigest()}"'
    assert texts(tree, "Contents/Size")[0] == str(len(body))
    assert said == f"{sha256(body).hexdigest()}  BTCUSDT-1d-2024-12.zip\n"
    absent = get(replica, MONTH.replace("2024-12", "2019-12"))
    assert absent.status_code == 404
    assert "<Code>NoSuchKey</Code>" in absent.text


def test_files_of_the_days_to_come_are_not_there_yet(replica: Replica) -> None:
    def newest() -> str:
        return walked(replica, DAILY)[-1]

    january = "data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2025-01.zip"
    assert newest().endswith("2025-02-08.zip.CHECKSUM")
    assert get(replica, f"{DAILY}BTCUSDT-1d-2025-02-09.zip").status_code == 404
    replica.archive_until(None)
    assert newest().endswith("2025-02-09.zip.CHECKSUM")
    assert get(replica, january).status_code == 200
    replica.now(datetime(2025, 1, 31, 12, tzinfo=UTC))
    assert get(replica, january).status_code == 404


def test_klines_have_the_bar_in_progress_with_other_values_than_it_will_close_with(replica: Replica) -> None:
    rows = klines(replica, limit=3).json()
    frame = markets.small_market()["spot_klines_1d"].filter(pl.col("symbol") == "BTCUSDT")
    closed = frame.filter(pl.col("open_time") < datetime(2025, 2, 10, tzinfo=UTC))[-2:]
    assert [float(row[4]) for row in rows[:2]] == closed["close"].to_list()
    progress, final = (
        rows[2],
        frame.row(closed.height + frame["open_time"].index_of(closed["open_time"][-1]) - 1, named=True),
    )
    assert progress[0] == int(datetime(2025, 2, 10, tzinfo=UTC).timestamp() * 1000)
    assert progress[6] == progress[0] + 86_400_000 - 1
    assert float(progress[1]) == final["open"]
    assert float(progress[5]) < final["volume"]
    assert float(progress[4]) != final["close"]
    assert float(progress[3]) <= min(float(progress[1]), float(progress[4])) <= float(progress[2])


def test_klines_page_forward_from_start_time_and_say_what_is_wrong(replica: Replica) -> None:
    first = int(datetime(2024, 11, 1, tzinfo=UTC).timestamp() * 1000)
    rows = klines(replica, interval="1h", startTime=first, limit=1500).json()
    more = klines(replica, interval="1h", startTime=rows[-1][0] + 1, endTime=rows[-1][0] + 7_200_000).json()
    assert len(rows) == 1000
    assert len(klines(replica, interval="1h").json()) == 500
    assert [row[0] for row in [*rows, *more]] == [first + hour * 3_600_000 for hour in range(1002)]
    assert klines(replica, symbol="NOPEUSDT").json() == {"code": -1121, "msg": "Invalid symbol."}
    assert klines(replica, interval="7d").json()["code"] == -1120
    assert not klines(replica, symbol="GONEUSDT", startTime=rows[-1][0] + 60 * 86_400_000).json()


def test_exchange_info_follows_the_clock(replica: Replica) -> None:
    def statuses() -> dict[str, str]:
        info = CLIENT.get(f"{replica.url('api0')}/api/v3/exchangeInfo").json()
        return {about["symbol"]: about["status"] for about in info["symbols"]}

    assert [symbol for symbol, status in statuses().items() if status == "BREAK"] == ["GONEUSDT"]
    replica.now(datetime(2024, 12, 1, tzinfo=UTC))
    assert set(statuses()) == set(markets.SMALL_SYMBOLS) - {"NEWUSDT"}
    assert set(statuses().values()) == {"TRADING"}
    said = CLIENT.get(f"{replica.url('api1')}/api/v3/time").json()["serverTime"] / 1000
    assert 0 <= said - datetime(2024, 12, 1, tzinfo=UTC).timestamp() < 30


def test_a_file_that_was_never_listed_can_be_added(replica: Replica) -> None:
    key = "data/spot/daily/klines/EVILUSDT/1d/EVILUSDT-1d-2025-02-01.zip"
    replica.replace(key, b"not a zip")
    assert walked(replica, "data/spot/daily/klines/EVILUSDT/") == [key, f"{key}.CHECKSUM"]
    assert get(replica, key).content == b"not a zip"


@needs_shared
def test_the_recorded_archive_has_every_symbol_and_the_api_the_days_since(recorded_replica: Replica) -> None:
    symbols = {
        prefix.split("/")[4]
        for span in ("monthly", "daily")
        for prefix in texts(
            page(recorded_replica, prefix=f"data/spot/{span}/klines/", delimiter="/"), "CommonPrefixes/Prefix"
        )
    }
    assert len(symbols) == 411  # seven of them have no month yet
    rows = klines(recorded_replica, startTime=int(datetime(2023, 12, 28, tzinfo=UTC).timestamp() * 1000)).json()
    recorded = pl.read_parquet(markets.SHARED / "market" / "spot_daily.parquet").filter(
        pl.col("symbol") == "BTCUSDT", pl.col("date") >= date(2023, 12, 28)
    )
    assert [float(row[4]) for row in rows[:2]] == recorded["close"].to_list()
    assert [len(rows), float(rows[2][5])] == [3, 0.0]
