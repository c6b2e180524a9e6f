"""What the market lake keeps of every row, and which of several answers counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import SPOOL, MarketLake, Unit, unit_of
from sleevegraph.errors import LakeError
from sleevegraph.market_data.datasets import DATASETS, Dataset
from sleevegraph.market_data.merging import SOURCE, merge
from sleevegraph.market_data.planning import LISTED, SOURCES
from tests.ingests import BARS, rows_with_origin
from tests.listed_files import keys, listed, stored

QUARTERS = DATASETS["spot_klines_15m"]
BINANCE, MIRROR, AMERICAN = "api.binance.com", "data-api.binance.vision", "api.binance.us"
NOON = datetime(2025, 2, 10, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> MarketLake:
    return MarketLake(tmp_path / "market")


def bars(symbol: str, *days: int, close: float = 1.0, month: int = 1) -> pl.DataFrame:
    values = (1.0, 1.0, 1.0, close, 1.0, 1.0, 1, 1.0, 1.0)
    rows = [(symbol, datetime(2025, month, day, tzinfo=UTC), *values) for day in days]
    return pl.DataFrame(rows, schema=BARS.schema, orient="row")


def store(lake: MarketLake, *files: tuple[str, pl.DataFrame], sha256: str = "00", dataset: Dataset = BARS) -> None:
    """Put files of January over what is stored."""
    rows = [frame.with_columns(pl.lit(i, pl.UInt32).alias(SOURCE)) for i, (_, frame) in enumerate(files)]
    sources = pl.concat([stored(name, sha256=sha256, rows=frame.height) for name, frame in files])
    unit = unit_of(dataset, files[0][1]["symbol"][0], "2025-01")
    lake.commit(dataset, unit, merge(lake.read(dataset, unit), (pl.concat(rows), sources), dataset.time))


def answered(lake: MarketLake, host: str, rows: pl.DataFrame, at: datetime = NOON) -> None:
    moment = pl.lit(at).dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    lake.store_rest(BARS, rows.with_columns(host=pl.lit(host), fetched_at=moment))


def closes(lake: MarketLake) -> dict[tuple[str, int], float]:
    rows = lake.rows(BARS)
    return {(s, t.day): c for s, t, c in rows.select("symbol", "open_time", "close").rows()}


def test_an_empty_lake_has_nothing_and_says_so_in_the_right_types(lake: MarketLake) -> None:
    for dataset in DATASETS.values():
        assert lake.rows(dataset).schema == dataset.schema
        assert (lake.rows(dataset).height, lake.months(dataset), lake.revisions(dataset)) == (0, [], [])
        assert lake.sources(dataset).schema == SOURCES
        assert lake.read(dataset, Unit("2025-01", 0))[0].schema == {**dataset.schema, SOURCE: pl.UInt32()}


def test_every_row_leads_to_its_file_its_digest_its_host_and_when_it_came(lake: MarketLake) -> None:
    store(lake, ("A 2025-01-01", bars("A", 1)), ("B 2025-01", bars("B", 1, 2)), sha256="aa")
    store(lake, ("A 2025-01-02", bars("A", 2)), sha256="bb")
    found = rows_with_origin(lake).select("symbol", pl.col("open_time").dt.day(), "key", "sha256", "host").rows()
    first, second, month = keys("A 2025-01-01", "A 2025-01-02", "B 2025-01")
    assert found == [
        ("A", 1, first, "aa", "archive"),
        ("A", 2, second, "bb", "archive"),
        ("B", 1, month, "aa", "archive"),
        ("B", 2, month, "aa", "archive"),
    ]
    assert rows_with_origin(lake)["fetched_at"].unique().to_list() == [datetime(2025, 2, 10, tzinfo=UTC)]
    assert lake.sources(BARS).schema == SOURCES


def test_answers_are_kept_by_host_with_the_time_of_the_answer(lake: MarketLake) -> None:
    answered(lake, BINANCE, bars("A", 1, 2))
    answered(lake, MIRROR, bars("A", 2))
    kept = lake.rest(BARS).select("host", pl.col("open_time").dt.day(), "fetched_at").sort(pl.all()).collect()
    assert kept.rows() == [(BINANCE, 1, NOON), (BINANCE, 2, NOON), (MIRROR, 2, NOON)]
    for path in (lake.root / BARS.name / "2025-01").glob("rest-*.parquet"):
        host = pl.read_parquet_metadata(path)["sleevegraph_host"]
        assert pl.read_parquet(path)["host"].unique().to_list() == [host]


def test_an_answer_replaces_an_earlier_one_of_its_host_only(lake: MarketLake) -> None:
    answered(lake, BINANCE, bars("A", 1, 2))
    answered(lake, MIRROR, bars("A", 1, close=3.0))
    answered(lake, BINANCE, bars("A", 2, 3, close=2.0), NOON + timedelta(hours=1))
    kept = lake.rest(BARS).sort("host", "open_time").collect()
    assert kept.filter(host=BINANCE)["close"].to_list() == [1.0, 2.0, 2.0]
    assert kept.filter(host=MIRROR)["close"].to_list() == [3.0]


def test_the_archive_counts_before_any_answer(lake: MarketLake) -> None:
    answered(lake, BINANCE, bars("A", 1, 2, close=9.0))
    store(lake, ("A 2025-01-01", bars("A", 1, close=5.0)))
    assert closes(lake) == {("A", 1): 5.0, ("A", 2): 9.0}
    assert lake.rest(BARS).collect().height == 2


def test_of_two_hosts_the_later_answer_counts_and_the_other_exchange_never_does(lake: MarketLake) -> None:
    answered(lake, AMERICAN, bars("A", 1, 2, 3, close=7.0), NOON + timedelta(days=1))
    answered(lake, MIRROR, bars("A", 1, 2, close=2.0), NOON + timedelta(hours=1))
    answered(lake, BINANCE, bars("A", 1, close=1.0), NOON + timedelta(hours=2))
    assert closes(lake) == {("A", 1): 1.0, ("A", 2): 2.0, ("A", 3): 7.0}


def test_rows_come_sorted_and_by_month(lake: MarketLake) -> None:
    answered(lake, BINANCE, pl.concat([bars("B", 3, month=2), bars("B", 1), bars("A", 4, month=2), bars("A", 2)]))
    assert lake.months(BARS) == ["2025-01", "2025-02"]
    assert lake.rows(BARS).select("symbol", pl.col("open_time").dt.day()).rows() == [
        ("A", 2),
        ("A", 4),
        ("B", 1),
        ("B", 3),
    ]
    assert lake.rows(BARS, ["2025-02"])["symbol"].to_list() == ["A", "B"]


def test_a_revision_keeps_what_was_there_and_both_digests(lake: MarketLake) -> None:
    store(lake, ("A 2025-01", bars("A", 1, 2, 3)), sha256="aa")
    assert lake.revisions(BARS) == []
    store(lake, ("A 2025-01", pl.concat([bars("A", 1), bars("A", 2, close=5.0)])), sha256="bb")
    [(rows, files)] = lake.revisions(BARS)
    assert rows.select(pl.col("open_time").dt.day(), "state", "close").rows() == [
        (2, "before", 1.0),
        (2, "after", 5.0),
        (3, "before", 1.0),
    ]
    assert files.select("key", "sha256_before", "sha256_after").rows() == [(keys("A 2025-01")[0], "aa", "bb")]


def test_a_file_that_was_packed_anew_is_a_revision_without_rows(lake: MarketLake) -> None:
    store(lake, ("A 2025-01", bars("A", 1)), sha256="aa")
    store(lake, ("A 2025-01", bars("A", 1)), sha256="bb")
    [(rows, files)] = lake.revisions(BARS)
    assert (rows.height, files.height) == (0, 1)


def test_revisions_come_in_their_order(lake: MarketLake) -> None:
    for number, close in enumerate([1.0, 5.0, 3.0, 4.0, 2.0]):
        store(lake, ("A 2025-01", bars("A", 1, close=close)), sha256=f"{number:02d}")
    assert [rows["close"].to_list() for rows, _ in lake.revisions(BARS)] == [[1, 5], [5, 3], [3, 4], [4, 2]]


def test_a_symbol_is_always_stored_in_the_same_file_of_its_month_and_symbols_spread() -> None:
    symbols = [f"{a}{b}{c}USDT" for a in "ABCDE" for b in "KLMNOPQRST" for c in "VWXYZ"]
    units = [unit_of(QUARTERS, symbol, "2025-01") for symbol in symbols]
    assert units == [unit_of(QUARTERS, symbol, "2025-01") for symbol in symbols]
    assert {unit.shard for unit in units} <= set(range(QUARTERS.shards))
    assert len({unit.shard for unit in units}) == QUARTERS.shards
    assert {unit_of(BARS, symbol, "2025-01") for symbol in symbols} == {Unit("2025-01", 0)}


def test_the_calendar_knows_what_became_of_every_file(lake: MarketLake) -> None:
    lake.store_calendar(BARS, "2025-01", listed("A 2025-01", "B 2025-01"), dict.fromkeys(keys("B 2025-01"), "failed"))
    lost = dict.fromkeys(keys("A 2025-02-01"), "quarantined")
    lake.store_calendar(BARS, "2025-02", listed("A 2025-02-01", "B 2025-02-01"), lost)
    assert dict(lake.calendar(BARS, ["key", "status"]).rows())[keys("A 2025-02-01")[0]] == "quarantined"
    lake.store_calendar(BARS, "2025-02", listed("A 2025-02-02", "A 2025-02-03"), {})
    found = lake.calendar(BARS, ["key", "status"]).rows()
    stored_now = [(key, "stored") for key in keys("A 2025-01", "A 2025-02-02", "A 2025-02-03", "B 2025-02-01")]
    # What was listed of A's February before gives way: that symbol's month was listed anew.
    assert sorted(found) == sorted([*stored_now, (keys("B 2025-01")[0], "failed")])
    assert lake.calendar(BARS).select(LISTED.names()).schema == LISTED


@pytest.mark.parametrize("content", [b"", b"PAR1", b"nothing of the kind" * 9])
def test_a_file_that_cannot_be_read_is_one_line_that_names_it(lake: MarketLake, content: bytes) -> None:
    store(lake, ("A 2025-01", bars("A", 1)))
    path = lake.root / BARS.name / "2025-01" / "archive-00.parquet"
    path.write_bytes(content)
    for read in (lambda: lake.read(BARS, Unit("2025-01", 0)), lambda: lake.sources(BARS), lambda: lake.rows(BARS)):
        with pytest.raises(LakeError, match=r"archive-00.parquet: expected a file written by an ingest") as error:
            read()
        assert "\n" not in str(error.value)


def test_a_parquet_file_of_somebody_else_is_one_line_too(lake: MarketLake) -> None:
    store(lake, ("A 2025-01", bars("A", 1)))
    bars("A", 1).write_parquet(lake.root / BARS.name / "2025-01" / "archive-00.parquet")
    with pytest.raises(LakeError, match="expected a file written by an ingest"):
        lake.sources(BARS)


def test_what_a_killed_writer_left_is_seen_by_no_reader_and_swept(lake: MarketLake) -> None:
    store(lake, ("A 2025-01", bars("A", 1)))
    half = lake.root / BARS.name / "2025-01" / ".archive-00.parquet.123.tmp"
    half.write_bytes(b"PAR1 half")
    only = lake.root / BARS.name / "2025-02" / ".archive-00.parquet.123.tmp"
    only.parent.mkdir()
    only.write_bytes(b"PAR1 half")
    listing = lake.root / f"{SPOOL}abc" / "2025-02" / "0.arrow"
    listing.parent.mkdir(parents=True)
    listing.write_bytes(b"PAR1 half")
    assert (lake.months(BARS), lake.rows(BARS).height, lake.sources(BARS).height) == (["2025-01"], 1, 1)
    lake.sweep()
    assert not half.exists()
    assert not only.exists()
    assert not list(lake.root.glob(f"{SPOOL}*"))
    assert lake.rows(BARS).height == 1
