import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.atomic import write_atomically
from resources.lake import BARS, AssetPath, Lake, Status
from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.errors import LakeError
from tests.homes import small_market

ASSET: AssetPath = ("sleeve", "risk_weights")
KEY = "2022-03-01"
ROWS = pl.DataFrame({"symbol": ["A", "B"], "weight": [0.25, 0.75]})
FIRST = date(2022, 1, 28)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    """Bars of 24 symbols on 40 days, over the end of a month."""
    return small_market().filter(pl.col("date").is_between(FIRST, FIRST + timedelta(days=39)))


def states(lake: Lake) -> dict[str, tuple[bytes, int]]:
    """Content and time of writing of every file."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in lake.root.rglob("*") if file.is_file()}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    write_atomically(path, lambda temporary: temporary.write_text("old"))

    def fails(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomically(path, fails)
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, lambda temporary: temporary.write_text("old"))
    seen = []

    def slow(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.read_text())

    write_atomically(path, slow)
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_a_write_under_way_is_no_partition(lake: Lake) -> None:
    lake.write(ASSET, KEY, ROWS)
    hidden = lake.path(ASSET, KEY).with_name(f".2022-03-11.parquet.{os.getpid()}.tmp")
    hidden.write_bytes(b"half a file")
    assert lake.partitions(ASSET) == [KEY]
    assert lake.scan(ASSET).collect().equals(ROWS)


def test_a_stored_partition_is_read_back_with_its_digest(lake: Lake) -> None:
    digest = lake.write(ASSET, KEY, ROWS)
    assert lake.read(ASSET, KEY).equals(ROWS)
    assert lake.digest(ASSET, KEY) == digest
    assert lake.write(ASSET, KEY, ROWS) == digest, "the same rows are the same bytes"
    assert lake.write(ASSET, KEY, ROWS.reverse()) != digest


@pytest.mark.parametrize("status", [Status.CASH, Status.BLOCKED])
@pytest.mark.parametrize("rows", [ROWS, ROWS.clear()], ids=["rows", "no rows"])
@pytest.mark.parametrize("reason", ["", "because: \"'\n\\ ü \U0001f600 {} | ;"])
def test_how_a_partition_stands_is_stored_with_it(lake: Lake, status: Status, rows: pl.DataFrame, reason: str) -> None:
    lake.write(ASSET, KEY, rows, status, reason)
    assert lake.standing(ASSET, KEY) == (status, reason)
    assert lake.read(ASSET, KEY).equals(rows)


def test_a_partition_stands_ok_unless_told(lake: Lake) -> None:
    lake.write(ASSET, KEY, ROWS)
    assert lake.standing(ASSET, KEY) == (Status.OK, "")


def test_a_partition_that_stands_ok_must_have_rows(lake: Lake) -> None:
    lake.write(ASSET, KEY, ROWS)
    with pytest.raises(LakeError, match=r"sleeve/risk_weights 2022-03-01: expected rows, found none"):
        lake.write(ASSET, KEY, ROWS.clear())
    assert lake.read(ASSET, KEY).equals(ROWS)


@pytest.mark.parametrize("content", [b"", b"not a Parquet file", b"PAR1" + bytes(40) + b"PAR1"])
@pytest.mark.parametrize("ask", ["read", "standing"])
def test_a_file_that_cannot_be_read_is_a_one_line_error_with_the_way_out(lake: Lake, content: bytes, ask: str) -> None:
    lake.write(ASSET, KEY, ROWS)
    lake.path(ASSET, KEY).write_bytes(content)
    with pytest.raises(LakeError) as broken:
        getattr(lake, ask)(ASSET, KEY)
    text = str(broken.value)
    assert "\n" not in text
    for part in ("sleeve/risk_weights", KEY, str(lake.path(ASSET, KEY)), "delete it and materialise"):
        assert part in text


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_a_one_line_error(lake: Lake, market: pl.DataFrame, cut: float) -> None:
    lake.write(ASSET, KEY, market)
    path = lake.path(ASSET, KEY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(LakeError, match="cannot be read"):
        lake.read(ASSET, KEY)


@pytest.mark.parametrize("ask", ["read", "standing", "digest"])
def test_an_absent_partition_is_an_error_that_says_where_it_was_expected(lake: Lake, ask: str) -> None:
    with pytest.raises(LakeError, match=r"sleeve/risk_weights 2022-03-01: expected a stored partition at .*found none"):
        getattr(lake, ask)(ASSET, KEY)


def test_an_asset_without_partitions_cannot_be_scanned(lake: Lake) -> None:
    assert lake.partitions(ASSET) == []
    with pytest.raises(LakeError, match="run a backfill"):
        lake.scan(ASSET)


def test_a_scan_unites_the_partitions_and_a_blocked_one_adds_nothing(lake: Lake) -> None:
    lake.write(ASSET, "2022-03-01", ROWS)
    lake.write(ASSET, "2022-03-11", ROWS.clear(), Status.BLOCKED, "why")
    lake.write(ASSET, "2022-03-21", ROWS.reverse())
    assert lake.scan(ASSET).collect().equals(pl.concat([ROWS, ROWS.reverse()]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(-3, 45))
def test_bars_before_a_date_are_exactly_those_dated_before_it(
    tmp_path_factory: pytest.TempPathFactory, market: pl.DataFrame, offset: int
) -> None:
    lake = Lake(tmp_path_factory.getbasetemp() / "bars_before")
    if not lake.has_bars():
        lake.store_bars(market)
    at = FIRST + timedelta(days=offset)
    expected = market.filter(pl.col("date") < at).sort("symbol", "date")
    if at.strftime("%Y-%m") < "2022-01":
        with pytest.raises(LakeError, match="run an ingest"):
            lake.bars_before(at)
        return
    assert lake.bars_before(at).equals(expected)
    if not expected.is_empty():
        assert lake.panel_before(at).dates[-1] < at


def test_a_lake_without_bars_says_what_to_do(lake: Lake) -> None:
    assert not lake.has_bars()
    assert lake.newest_bar() is None
    assert lake.known_bars().schema == BAR_SCHEMA
    with pytest.raises(LakeError, match=r"daily_bars: expected bars before 2022-03-01, found none .* run an ingest"):
        lake.bars_before(date(2022, 3, 1))


def test_one_unreadable_month_of_bars_is_named(lake: Lake, market: pl.DataFrame) -> None:
    lake.store_bars(market)
    lake.path(BARS, "2022-02").write_bytes(b"not a Parquet file")
    with pytest.raises(LakeError, match="daily_bars 2022-02: expected a Parquet file"):
        lake.bars_before(date(2022, 3, 1))
    lake.bars_before(date(2022, 1, 31))  # does not need that month


def test_bars_stored_twice_touch_no_file(lake: Lake, market: pl.DataFrame) -> None:
    first = lake.store_bars(market)
    assert (first.added, first.revised) == (market.height, 0)
    before = states(lake)
    again = lake.store_bars(market)
    assert (again.added, again.revised, again.unchanged) == (0, 0, market.height)
    assert states(lake) == before


def test_the_newest_record_of_a_bar_wins_and_only_its_month_is_written(lake: Lake, market: pl.DataFrame) -> None:
    lake.store_bars(market)
    before = states(lake)
    revised = market.filter(pl.col("date") == date(2022, 2, 10)).with_columns(pl.col("close") * 1.01)
    report = lake.store_bars(revised)
    assert (report.added, report.revised, report.first_revised) == (0, revised.height, date(2022, 2, 10))
    after = states(lake)
    assert {name for name in after if after[name] != before[name]} == {"2022-02.parquet"}
    expected = pl.concat([market.filter(pl.col("date") != date(2022, 2, 10)), revised]).sort("symbol", "date")
    assert lake.known_bars().equals(expected)


def test_bars_in_any_portions_make_the_same_files(tmp_path: Path, market: pl.DataFrame) -> None:
    whole, portions = Lake(tmp_path / "whole"), Lake(tmp_path / "portions")
    whole.store_bars(market)
    for days in ((20, 40), (0, 12), (10, 25)):
        part = pl.col("date").is_between(FIRST + timedelta(days=days[0]), FIRST + timedelta(days=days[1]))
        portions.store_bars(market.filter(part))
    assert {name: content for name, (content, _) in states(portions).items()} == {
        name: content for name, (content, _) in states(whole).items()
    }
    assert whole.newest_bar() == FIRST + timedelta(days=39)


def test_telemetry_is_stored_and_no_part_of_the_digest_and_a_damaged_file_has_another_one(lake: Lake) -> None:
    timed = ROWS.with_columns(solve_ms=pl.lit(1.5))
    digest = lake.write(ASSET, KEY, timed, telemetry=("solve_ms",))
    assert lake.read(ASSET, KEY).equals(timed)
    assert lake.write(ASSET, KEY, timed.with_columns(solve_ms=pl.lit(9.0)), telemetry=("solve_ms",)) == digest
    assert lake.write(ASSET, KEY, timed.with_columns(solve_ms=pl.lit(9.0))) != digest
    lake.write(ASSET, KEY, timed, telemetry=("solve_ms",))
    path = lake.path(ASSET, KEY)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    assert lake.digest(ASSET, KEY) != digest, "and it is no exception: whoever asks finds the verdict stale"
