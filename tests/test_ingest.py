"""Ingests of the small market, from the first one through days, restatements and losses of the archive."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import MarketLake
from sleevegraph.errors import ConfigurationError
from sleevegraph.market_data.datasets import DATASETS
from sleevegraph.market_data.planning import NAMED
from tests.ingests import (
    BARS,
    expected,
    ingest,
    key_of,
    lines_of,
    provenance,
    read_everything,
    restate,
    rows_with_origin,
)
from tests.replica.asking import get
from tests.replica.handle import Replica
from tests.replica.markets import SMALL_ARCHIVE_UNTIL, SMALL_NOW, SMALL_SYMBOLS, small_market

MARKET = small_market()
DAILY = MARKET["spot_klines_1d"]
YESTERDAY = SMALL_NOW.date() - timedelta(days=1)
DECEMBER = key_of("BTCUSDT", "2024-12")


@pytest.fixture
def lake(tmp_path: Path) -> MarketLake:
    return MarketLake(tmp_path / "market")


def until(day: date, frame: pl.DataFrame = DAILY) -> pl.DataFrame:
    return expected(frame.filter(pl.col("open_time").dt.date() <= day))


def requests(replica: Replica) -> dict[str, int]:
    """By kind, since the last time."""
    counts = dict(replica.log()["requests"])
    replica.reset_log()
    return counts


def change_close(line: str, close: str = "123.00000000") -> str:
    fields = line.split(",")
    fields[2], fields[4] = "9999.00000000", close
    return ",".join(fields)


def test_the_first_ingest_has_every_bar_that_is_over_and_where_it_is_from(replica: Replica, lake: MarketLake) -> None:
    made = ingest(lake, replica.settings())
    assert made.survey.symbols == sorted(SMALL_SYMBOLS)
    assert lake.rows(BARS).equals(until(YESTERDAY))
    assert (made.transferred.quarantined.count, made.transferred.failed.count, made.survey.refused) == (0, 0, [])
    origin = rows_with_origin(lake)
    assert origin.select(BARS.schema.names()).equals(until(SMALL_ARCHIVE_UNTIL))
    host = replica.url("archive").removeprefix("http://")
    assert origin["host"].unique().to_list() == [host]
    for key, digest in origin.select("key", "sha256").unique().rows():
        assert get(replica, f"{key}.CHECKSUM").text == f"{digest}  {key.rpartition('/')[2]}\n"
    # Months that have ended come whole, the days of February one by one, the rest by REST from its overlap on.
    assert set(lake.sources(BARS)["period"]) == {
        "2024-11",
        "2024-12",
        "2025-01",
        *(f"2025-02-0{n}" for n in range(1, 9)),
    }
    assert made.answers.rows == 5 * 3
    assert made.answers.hosts == {replica.url("api0").removeprefix("http://")}
    assert not list((lake.root / "staging" / BARS.name).iterdir())


def test_the_second_ingest_transfers_listings_only(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings())
    before = (lake.rows(BARS), lake.sources(BARS), lake.calendar(BARS))
    requests(replica)
    made = ingest(lake, replica.settings())
    counts = requests(replica)
    assert {kind: counts.get(kind, 0) for kind in ("zip", "checksum", "klines")} == {
        "zip": 0,
        "checksum": 0,
        "klines": 0,
    }
    # Of each span one page of symbols, of each symbol a page of months and at most two of days.
    assert counts["listing"] <= 2 + 3 * len(SMALL_SYMBOLS)
    assert made.survey.totals.unchanged == before[1].height
    for old, new in zip(before, (lake.rows(BARS), lake.sources(BARS), lake.calendar(BARS)), strict=True):
        assert old.equals(new)
    assert lake.revisions(BARS) == []


def test_days_that_pass_are_added_and_a_month_that_ended_takes_the_place_of_its_days(
    replica: Replica, lake: MarketLake
) -> None:
    ingest(lake, replica.settings())
    replica.archive_until(None)
    for day in (date(2025, 2, 20), date(2025, 2, 28), date(2025, 3, 4)):
        requests(replica)
        replica.now(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        made = ingest(lake, replica.settings())
        assert lake.rows(BARS).equals(until(day - timedelta(days=1)))
        assert (made.transferred.revised, made.transferred.restated, made.survey.totals.vanished) == (0, 0, 0)
    # Five symbols trade on: their February and three days of March, nothing of what was there already.
    assert requests(replica)["zip"] == 5 * (1 + 3)
    assert "2025-02-08" not in set(lake.sources(BARS)["period"])
    assert lake.revisions(BARS) == []


@pytest.mark.parametrize("name", ["um_klines_1d", "um_funding_rates", "um_metrics", "spot_klines_1h"])
def test_every_dataset_goes_the_same_way(replica: Replica, lake: MarketLake, name: str) -> None:
    dataset = DATASETS[name]
    made = ingest(lake, replica.settings(), dataset, last=SMALL_ARCHIVE_UNTIL)
    end = datetime(2025, 2, 1, tzinfo=UTC) if name == "um_funding_rates" else datetime(2025, 2, 9, tzinfo=UTC)
    assert lake.rows(dataset).equals(expected(MARKET[name].filter(pl.col(dataset.time) < end), dataset))
    assert (made.transferred.quarantined.count, made.answers.rows) == (0, 0)
    assert ingest(lake, replica.settings(), dataset, last=SMALL_ARCHIVE_UNTIL).transferred.files == 0


def test_hours_that_the_archive_does_not_have_come_by_rest_to_the_last_one_that_is_over(
    replica: Replica, lake: MarketLake
) -> None:
    dataset = DATASETS["spot_klines_1h"]
    ingest(lake, replica.settings(), dataset, symbols=["BTCUSDT"], first=date(2025, 2, 1))
    rows = lake.rows(dataset)
    wanted = MARKET["spot_klines_1h"].filter(
        (pl.col("symbol") == "BTCUSDT")
        & pl.col("open_time").is_between(datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 2, 10, 12, tzinfo=UTC))
    )
    assert rows.equals(expected(wanted, dataset))
    replica.now(SMALL_NOW + timedelta(hours=1))
    replica.reset_log()
    made = ingest(lake, replica.settings(), dataset, symbols=["BTCUSDT"], first=date(2025, 2, 1))
    assert (made.answers.rows, requests(replica)["klines"]) == (1, 1)


@pytest.mark.parametrize("moment", [SMALL_NOW.replace(hour=0, minute=0), SMALL_NOW.replace(hour=23, minute=59)])
def test_the_bar_in_progress_is_never_stored(replica: Replica, lake: MarketLake, moment: datetime) -> None:
    replica.now(moment)
    ingest(lake, replica.settings(), symbols=["BTCUSDT"])
    assert lake.rest(BARS).collect()["open_time"].max() == datetime(2025, 2, 9, tzinfo=UTC)
    assert lake.rows(BARS).equals(until(YESTERDAY).filter(symbol="BTCUSDT"))


def test_the_archive_takes_the_place_of_an_answer_which_is_kept_to_compare(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings(), symbols=["BTCUSDT"])
    answered = lake.rest(BARS).collect().sort("open_time")
    assert answered["open_time"].dt.day().to_list() == [7, 8, 9]
    replica.archive_until(None)
    restate(replica, key_of("BTCUSDT", "2025-02-09"), lambda lines: [change_close(lines[0])])
    made = ingest(lake, replica.settings(), symbols=["BTCUSDT"])
    newest = lake.rows(BARS).filter(open_time=datetime(2025, 2, 9, tzinfo=UTC))
    assert newest["close"].to_list() == [123.0]
    assert lake.rest(BARS).collect().sort("open_time").equals(answered)
    assert made.answers.rows == 0


def test_a_restated_file_is_a_revision_with_both_rows_and_both_digests(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings())
    before = lake.sources(BARS).filter(key=DECEMBER)["sha256"][0]
    restate(replica, DECEMBER, lambda lines: [*lines[:4], change_close(lines[4]), *lines[5:-1]])
    requests(replica)
    made = ingest(lake, replica.settings())
    assert requests(replica)["zip"] == 1
    assert (made.transferred.restated, made.transferred.revised, made.transferred.added) == (1, 2, 0)
    [(rows, files)] = lake.revisions(BARS)
    assert rows.select(pl.col("open_time").dt.day(), "state").rows() == [(5, "before"), (5, "after"), (31, "before")]
    fifth = pl.col("open_time").dt.day() == 5
    was = until(YESTERDAY).filter((pl.col("symbol") == "BTCUSDT") & fifth & (pl.col("open_time").dt.month() == 12))
    assert rows.filter(fifth & (pl.col("state") == "before")).drop("state").equals(was)
    assert rows.filter(state="after")["close"].to_list() == [123.0]
    after = lake.sources(BARS).filter(key=DECEMBER)["sha256"][0]
    assert files.select("key", "sha256_before", "sha256_after").rows() == [(DECEMBER, before, after)]
    assert after == get(replica, f"{DECEMBER}.CHECKSUM").text[:64] != before
    # The withdrawn row is gone, every other one is as it was.
    last = datetime(2024, 12, 31, tzinfo=UTC)
    others = pl.struct("symbol", "open_time").is_in(rows.select(pl.struct("symbol", "open_time")).to_series().implode())
    assert lake.rows(BARS).filter(~others).equals(until(YESTERDAY).filter(~others))
    assert lake.rows(BARS).filter(symbol="BTCUSDT", open_time=last).is_empty()
    assert ingest(lake, replica.settings()).transferred.files == 0
    assert len(lake.revisions(BARS)) == 1


def test_a_file_that_is_restated_back_and_forth_is_a_revision_each_time(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings())
    genuine = lines_of(replica, DECEMBER)
    for lines in (genuine[:-1], genuine, genuine[:-1]):
        restate(replica, DECEMBER, lambda _, lines=lines: lines)
        ingest(lake, replica.settings())
    heights = [rows.height for rows, _ in lake.revisions(BARS)]
    assert heights == [1, 0, 1]  # a row that comes back revises none


def test_a_file_that_is_listed_no_longer_keeps_its_rows_and_is_named(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings())
    before = (lake.rows(BARS), provenance(lake))
    replica.archive_until(date(2025, 1, 30))  # January is listed no longer, but its days are
    requests(replica)
    made = ingest(lake, replica.settings())
    january = [key_of(symbol, "2025-01") for symbol in SMALL_SYMBOLS]
    february = [key_of(s, f"2025-02-0{n}") for s in SMALL_SYMBOLS if s != "GONEUSDT" for n in range(1, 9)]
    assert made.survey.totals.vanished == len(january + february) > NAMED
    assert made.survey.totals.first_vanished == sorted(january + february)[:NAMED]
    assert requests(replica).get("zip", 0) == 0
    assert lake.rows(BARS).equals(before[0])
    assert provenance(lake).equals(before[1])
    replica.archive_until(SMALL_ARCHIVE_UNTIL)
    again = ingest(lake, replica.settings())
    assert (again.survey.totals.vanished, again.transferred.files) == (0, 0)


def test_what_is_outside_the_days_and_symbols_of_an_ingest_is_neither_fetched_nor_missed(
    replica: Replica, lake: MarketLake
) -> None:
    for month in (11, 12):
        first = date(2024, month, 1)
        made = ingest(lake, replica.settings(), first=first, last=first + timedelta(days=27))
        assert set(lake.sources(BARS, [f"2024-{month}"])["period"]) == {f"2024-{month}"}
        assert made.survey.totals.vanished == 0
        totals = ingest(lake, replica.settings(), first=first, last=first, symbols=["BTCUSDT"]).survey.totals
        assert (totals.unchanged, totals.vanished) == (1, 0)
    assert lake.months(BARS) == ["2024-11", "2024-12"]


def test_a_start_before_anything_was_listed_and_a_symbol_that_never_was_are_one_line(
    replica: Replica, lake: MarketLake
) -> None:
    with pytest.raises(ConfigurationError, match=r"^--from: expected 2024-12 or later, when NEWUSDT, .* 2024-11-30$"):
        ingest(lake, replica.settings(), symbols=["NEWUSDT"], first=date(2024, 11, 30))
    with pytest.raises(ConfigurationError, match=r"^--symbols: expected .* found 'NOPEUSDT'; did you mean"):
        ingest(lake, replica.settings(), symbols=["NOPEUSDT"])
    assert (lake.months(BARS), replica.log()["requests"].get("zip", 0)) == ([], 0)
    read_everything(lake.root)
