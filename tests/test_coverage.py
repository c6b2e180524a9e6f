"""What is said of a dataset's rows, against the same counted one by one."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sleevegraph.coverage import Chunk, Coverage, coverage, only
from sleevegraph.coverage_tables import by_symbol, matrix, summary
from sleevegraph.manifest import Rename, SymbolRules
from tests.shared import SHARED, needs_shared

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2023, 1, 20, tzinfo=UTC)
NO_NAMES = pl.DataFrame(schema={"symbol": pl.String(), "base": pl.String(), "quote": pl.String()})
RULES = SymbolRules(
    renames=(
        Rename(old="MATIC", new="POL", since=date(2023, 3, 1)),
        Rename(old="ERD", new="EGLD", since=date(2023, 3, 1)),
    )
)

Present = dict[str, list[datetime]]


def frame(present: Present) -> pl.DataFrame:
    rows = [(symbol, moment) for symbol, moments in present.items() for moment in moments]
    return pl.DataFrame(rows, schema={"symbol": pl.String(), "open_time": pl.Datetime("us", "UTC")}, orient="row")


def whole(present: Present, step: timedelta | None) -> Coverage:
    return coverage([(START.date().replace(day=1), frame(present))], step)


def by_month(times: pl.DataFrame) -> list[Chunk]:
    first = pl.col("open_time").dt.date().dt.month_start().alias("month")
    parts = times.with_columns(first).partition_by("month", as_dict=True, include_key=False)
    return [(key[0], part) for key, part in sorted(parts.items())]


def days(first: date, last: date) -> list[datetime]:
    count = (last - first).days + 1
    return [datetime.combine(first, datetime.min.time(), UTC) + i * DAY for i in range(count)]


@st.composite
def markets(draw: st.DrawFn, step: timedelta, steps: int) -> Present:
    """Symbols with lives of their own, each with a few holes; a hole may befall all of them."""
    holes = st.tuples(st.integers(0, steps), st.integers(1, max(1, 4 * DAY // step)))
    common = draw(st.lists(holes, max_size=2))
    present: Present = {}
    for symbol in draw(st.sampled_from([["A"], ["A", "B"], ["A", "B", "C", "D"]])):
        first = draw(st.integers(0, steps // 2))
        last = draw(st.integers(first, steps))
        gone = {i for at, length in common + draw(st.lists(holes, max_size=2)) for i in range(at, at + length)}
        kept = sorted(set(range(first, last + 1)) - gone)
        if kept:
            present[symbol] = [START + i * step for i in kept]
    return present


@given(markets(DAY, 100).filter(bool))
def test_a_month_s_share_is_its_rows_over_the_days_of_the_symbol_s_life(present: Present) -> None:
    found = {
        (symbol, month): (rows, expected) for symbol, month, rows, expected, _ in matrix(whole(present, DAY)).rows()
    }
    counted: dict[tuple[str, date], tuple[int, int]] = {}
    for symbol, moments in present.items():
        for moment in days(moments[0].date(), moments[-1].date()):
            key = (symbol, moment.date().replace(day=1))
            rows, expected = counted.get(key, (0, 0))
            counted[key] = (rows + (moment in moments), expected + 1)
    assert found == counted


@given(markets(DAY, 100).filter(bool))
def test_a_symbol_s_figures_are_those_of_its_days(present: Present) -> None:
    found = whole(present, DAY)
    told = {row["symbol"]: row for row in by_symbol(found, NO_NAMES, RULES).iter_rows(named=True)}
    for symbol, moments in present.items():
        expected = (moments[-1] - moments[0]).days + 1
        lost = [(b - a).days - 1 for a, b in pairwise(moments) if b - a > DAY]
        row = told[symbol]
        assert (row["first"], row["last"], row["rows"]) == (moments[0], moments[-1], len(moments))
        assert (row["expected"], row["missing"]) == (expected, expected - len(moments))
        assert row["share"] == len(moments) / expected
        assert row["largest_gap"] == max(lost, default=None)
        assert found.gaps.filter(pl.col("symbol") == symbol)["missing"].sort().to_list() == sorted(lost)
        assert row["gaps"] <= len(lost)
    assert summary(found)["rows"] == sum(map(len, present.values()))
    assert summary(found)["months"] == len({moment.date().replace(day=1) for m in present.values() for moment in m})


@given(markets(HOUR, 24 * 75).filter(bool))
def test_rows_that_come_month_by_month_give_what_all_of_them_at_once_give(present: Present) -> None:
    once, parts = whole(present, HOUR), coverage(by_month(frame(present)), HOUR)
    for name in ("months", "symbols", "gaps", "outages"):
        assert_frame_equal(getattr(parts, name), getattr(once, name))


def test_a_gap_of_most_symbols_is_an_outage_and_no_gap_of_theirs() -> None:
    hours = [START + i * HOUR for i in range(500)]
    edge = hours.index(datetime(2023, 2, 1, tzinfo=UTC))
    shut = hours[edge - 2 : edge + 3]
    present = {symbol: [h for h in hours if h not in shut] for symbol in "ABC"} | {"D": hours[:100] + hours[103:]}
    found = coverage(by_month(frame(present)), HOUR)
    assert found.outages.rows() == [(shut[0], shut[-1], 5, 3, 4)]
    assert {(symbol, kind) for symbol, *_, kind in found.gaps.rows()} == {*((s, "outage") for s in "ABC"), ("D", "gap")}
    assert dict(by_symbol(found, NO_NAMES, RULES).select("symbol", "gaps").rows()) == {"A": 0, "B": 0, "C": 0, "D": 1}
    assert (summary(found)["gaps"], summary(found)["outages"]) == (1, 1)
    assert only(found, ["A"]).outages.height == 1


def test_the_worst_symbol_comes_first() -> None:
    month = days(date(2023, 1, 1), date(2023, 1, 31))
    found = whole({"WHOLE": month, "BAD": [month[0], month[-1]], "POOR": month[:3] + month[5:]}, DAY)
    assert by_symbol(found, NO_NAMES, RULES)["symbol"].to_list() == ["BAD", "POOR", "WHOLE"]
    assert matrix(found)["symbol"].unique(maintain_order=True).to_list() == ["BAD", "POOR", "WHOLE"]
    later = whole({"B": month, "A": month[10:]}, DAY)
    assert matrix(later)["symbol"].to_list() == ["B", "A"]


def test_without_a_step_nothing_is_missing_and_a_month_is_there_or_not() -> None:
    moments = [*days(date(2023, 1, 1), date(2023, 1, 3)), datetime(2023, 3, 5, 8, tzinfo=UTC)]
    found = whole({"A": moments}, None)
    assert matrix(found)["share"].to_list() == [1.0, 0.0, 1.0]
    assert by_symbol(found, NO_NAMES, RULES).row(0, named=True)["share"] is None
    assert [summary(found)[name] for name in ("share", "gaps", "outages", "rows")] == [None, None, None, 4]


def test_moments_that_are_off_their_step_by_milliseconds_are_no_more_than_all() -> None:
    moments = [START + i * 5 * timedelta(minutes=1) + timedelta(milliseconds=7 * (i % 2)) for i in range(300)]
    found = whole({"A": moments}, timedelta(minutes=5))
    assert summary(found)["share"] == 1.0
    assert found.gaps.is_empty()


def names(*symbols: str) -> pl.DataFrame:
    return pl.DataFrame(
        [(symbol, symbol.removesuffix("USDT"), "USDT") for symbol in symbols], NO_NAMES.schema, orient="row"
    )


@pytest.mark.parametrize(
    ("last", "end", "note"),
    [
        (date(2023, 2, 25), date(2023, 4, 1), "renamed to POL on 2023-03-01, POLUSDT from 2023-03-02"),
        (date(2023, 1, 5), date(2023, 4, 1), ""),  # it ended long before
        (date(2023, 3, 5), date(2023, 4, 1), ""),  # and here it went on
        (date(2023, 2, 25), date(2023, 2, 26), ""),  # of the day of the renaming there is nothing yet
    ],
)
def test_a_symbol_that_ends_where_its_coin_was_renamed_says_so(last: date, end: date, note: str) -> None:
    present = {"MATICUSDT": days(date(2023, 1, 1), last), "BTCUSDT": days(date(2023, 1, 1), end)}
    present |= {"POLUSDT": days(date(2023, 3, 2), end)} if end > date(2023, 3, 2) else {}
    told = by_symbol(whole(present, DAY), names(*present), RULES)
    assert dict(told.select("symbol", "note").rows()) == {**dict.fromkeys(present, ""), "MATICUSDT": note}


def test_a_new_name_without_rows_is_told_as_such() -> None:
    present = {
        "ERDUSDT": days(date(2023, 1, 1), date(2023, 2, 27)),
        "BTCUSDT": days(date(2023, 1, 1), date(2023, 4, 1)),
    }
    told = by_symbol(whole(present, DAY), names(*present), RULES)
    assert told.filter(pl.col("symbol") == "ERDUSDT")["note"].item() == "renamed to EGLD on 2023-03-01, no rows in USDT"


@needs_shared
def test_the_recorded_bars_have_the_gaps_that_are_known_of_them() -> None:
    bars = pl.read_parquet(SHARED / "market" / "spot_daily.parquet")
    times = bars.select("symbol", open_time=pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    found = coverage([(date(2021, 4, 1), times)], DAY)
    counted = {}
    for symbol, some in bars.partition_by("symbol", as_dict=True).items():
        day = np.sort(some["date"].to_numpy().astype("datetime64[D]")).astype(int)
        counted[symbol[0]] = (len(day), int(day[-1] - day[0] + 1), int((np.diff(day) > 1).sum()))
    told = by_symbol(found, NO_NAMES, RULES)
    assert {
        symbol: tuple(rest) for symbol, *rest in told.select("symbol", "rows", "expected", "gaps").rows()
    } == counted
    assert told["symbol"][0] == "FTTUSDT"
    assert told["largest_gap"][0] == 310
    assert matrix(found)["rows"].sum() == bars.height
