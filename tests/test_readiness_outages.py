from datetime import date, datetime, timedelta

import polars as pl
import pytest

from sleevegraph.readiness.gap_table import gap_table
from sleevegraph.readiness.gaps import gaps
from sleevegraph.readiness.outages import MAX_OUTAGE, outages
from tests.shared import SHARED, needs_shared

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2021, 4, 4, 21)  # noqa: DTZ001 - as recorded; the functions ask for no zone


def hours(symbols: str = "ABCDE", steps: int = 240) -> pl.DataFrame:
    return pl.DataFrame(
        [{"symbol": s, "open_time": START + i * HOUR} for s in symbols for i in range(steps)],
        schema_overrides={"open_time": pl.Datetime("us")},
    )


def at(first: int, last: int) -> pl.Expr:
    return pl.col("open_time").is_between(START + first * HOUR, START + last * HOUR)


def who(symbols: str) -> pl.Expr:
    return pl.col("symbol").is_in(list(symbols))


def recorded_hours() -> pl.DataFrame:
    return pl.read_parquet(SHARED / "market" / "spot_hourly.parquet", columns=["symbol", "open_time"])


def test_a_market_without_holes_has_neither_gaps_nor_outages() -> None:
    assert not gaps(hours(), HOUR).height
    assert not outages(hours(), HOUR).height
    assert outages(hours().clear(), HOUR).columns == [
        "from", "to", "missing_steps", "symbols_missing", "symbols_expected",
    ]  # fmt: skip


@pytest.mark.parametrize(("absent", "found"), [("AB", 0), ("ABC", 1), ("ABCDE", 1)])
def test_more_than_half_of_the_symbols_make_an_outage(absent: str, found: int) -> None:
    rows = outages(hours().filter(~(who(absent) & at(10, 12))), HOUR)
    assert rows.height == found
    if found:
        assert rows.row(0) == (START + 10 * HOUR, START + 12 * HOUR, 3, len(absent), 5)


def test_exactly_half_of_the_symbols_make_none() -> None:
    assert not outages(hours("ABCD").filter(~(who("AB") & at(10, 12))), HOUR).height


def test_one_symbol_alone_makes_no_outage() -> None:
    assert not outages(hours("A").filter(~at(10, 12)), HOUR).height
    assert outages(hours("AB").filter(~at(10, 12)), HOUR).height == 1


def test_an_outage_whose_end_differs_by_symbol_counts_its_worst_step() -> None:
    bars = hours().filter(~((who("ABCDE") & at(10, 11)) | (who("ABC") & at(12, 12)) | (who("A") & at(13, 20))))
    assert outages(bars, HOUR).rows() == [(START + 10 * HOUR, START + 12 * HOUR, 3, 5, 5)]


def test_who_has_not_listed_yet_or_has_delisted_is_not_expected() -> None:
    late = hours().filter(~(who("ABC") & at(0, 100)) & ~(who("DE") & at(150, 240)))
    assert not outages(late, HOUR).height
    assert outages(late.filter(~(who("ABCDE") & at(120, 121))), HOUR).height == 1


def test_what_lasts_longer_than_the_longest_outage_is_a_halt_of_each() -> None:
    longest = int(MAX_OUTAGE / HOUR)
    assert outages(hours().filter(~at(10, 9 + longest)), HOUR)["missing_steps"].to_list() == [longest]
    assert not outages(hours().filter(~at(10, 10 + longest)), HOUR).height


def test_neither_the_order_nor_a_repetition_of_rows_changes_the_answer() -> None:
    bars = hours().filter(~(who("ABC") & at(10, 12)))
    mixed = pl.concat([bars, bars.head(50)]).sample(fraction=1.0, shuffle=True, seed=3)
    assert outages(mixed, HOUR).equals(outages(bars, HOUR))
    assert gaps(mixed, HOUR).equals(gaps(bars, HOUR))


@needs_shared
def test_the_recorded_outages_are_found_and_no_other() -> None:
    rows = outages(recorded_hours(), HOUR)
    assert [(str(r[0]), str(r[1]), *r[2:]) for r in rows.rows()] == [
        ("2021-04-20 02:00:00", "2021-04-20 03:00:00", 2, 20, 20),
        ("2021-04-25 05:00:00", "2021-04-25 07:00:00", 3, 20, 20),
        ("2021-08-13 02:00:00", "2021-08-13 05:00:00", 4, 20, 20),
        ("2021-09-29 07:00:00", "2021-09-29 08:00:00", 2, 20, 20),
        ("2023-03-24 13:00:00", "2023-03-24 13:00:00", 1, 19, 19),
    ]


@needs_shared
def test_a_planted_hour_without_most_symbols_is_found_among_the_recorded_ones() -> None:
    hole = datetime(2022, 7, 1, 12)  # noqa: DTZ001 - as recorded
    bars = recorded_hours()
    cut = bars.filter((pl.col("open_time") != hole) | pl.col("symbol").is_in(["BTCUSDT", "ETHUSDT"]))
    new = outages(cut, HOUR).join(outages(bars, HOUR), on="from", how="anti")
    assert new["from"].to_list() == [hole]
    assert new["symbols_expected"].item() - new["symbols_missing"].item() == 2


def test_the_gap_table_tells_an_outage_from_a_symbol_that_stood_still_alone() -> None:
    bars = hours().filter(~at(10, 12) & ~(who("A") & at(40, 49)) & ~(who("B") & at(13, 13)))
    table = gap_table(bars, HOUR, outages(bars, HOUR))
    assert table.rows() == [
        ("A", START + 40 * HOUR, START + 49 * HOUR, 10, "gap"),
        ("B", START + 10 * HOUR, START + 13 * HOUR, 4, "gap"),  # longer than the outage it began with
        *[(s, START + 10 * HOUR, START + 12 * HOUR, 3, "outage") for s in "ACDE"],
    ]
    assert set(gap_table(bars, HOUR, outages(bars, HOUR).clear())["kind"]) == {"gap"}


@needs_shared
def test_a_reused_ticker_is_among_the_largest_recorded_gaps() -> None:
    bars = pl.read_parquet(SHARED / "market" / "spot_daily.parquet", columns=["symbol", "date"]).select(
        "symbol", open_time=pl.col("date").cast(pl.Datetime("us"))
    )
    table = gap_table(bars, DAY, outages(bars, DAY))
    assert set(table["kind"]) == {"gap"}
    lost = {(row[0], row[1].date()): row[3] for row in table.rows()}
    assert lost["LUNAUSDT", date(2022, 5, 14)] == 17
    assert (table["symbol"][0], table["missing"][0]) == ("FTTUSDT", 310)
    calendar = bars.with_columns(day=pl.col("open_time").diff().over("symbol").dt.total_days() - 1)
    assert table.height == calendar.filter(pl.col("day") > 0).height
    assert table["missing"].sum() == calendar["day"].sum()
