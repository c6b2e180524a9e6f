"""What an ingest fetches: monthly files for whole months, daily ones for the rest, and only what is new or restated."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.market_data.planning import LISTED, NAMED, SOURCES, covered, plan, totals, wanted, within
from tests.listed_files import keys, listed, names, stored

MONTHS = ["2024-11", "2024-12", "2025-01", "2025-02"]
DAYS = [(date(2024, 11, 1) + timedelta(days=n)).isoformat() for n in range(120)]

some_files = st.sets(st.sampled_from([f"{s} {p}" for s in ("AUSDT", "BUSDT") for p in MONTHS + DAYS]), max_size=40)
some_day = st.none() | st.sampled_from([date.fromisoformat(day) for day in DAYS])


def chosen(*files: str, first: date | None = None, last: date | None = None) -> list[str]:
    return sorted(names(wanted(listed(*files), first, last)))


def test_months_come_whole_and_the_days_of_the_month_that_has_none_one_by_one() -> None:
    files = ["A 2024-12", "A 2025-01", "A 2024-12-30", "A 2024-12-31", "A 2025-02-01", "A 2025-02-02"]
    assert chosen(*files) == ["A 2024-12", "A 2025-01", "A 2025-02-01", "A 2025-02-02"]


def test_a_hole_among_the_months_is_filled_with_days() -> None:
    files = ["A 2024-11", "A 2025-01", "A 2024-11-30", "A 2024-12-01", "A 2024-12-03", "A 2025-01-01"]
    assert chosen(*files) == ["A 2024-11", "A 2024-12-01", "A 2024-12-03", "A 2025-01"]


def test_the_month_of_one_symbol_covers_no_day_of_another() -> None:
    assert chosen("A 2025-01", "B 2025-01-05") == ["A 2025-01", "B 2025-01-05"]


def test_a_month_that_the_bounds_touch_is_taken_whole_and_a_day_is_not() -> None:
    files = ["A 2024-11", "A 2024-12", "A 2025-01", "A 2025-02-01", "A 2025-02-02", "A 2025-02-03"]
    found = chosen(*files, first=date(2024, 12, 31), last=date(2025, 2, 2))
    assert found == ["A 2024-12", "A 2025-01", "A 2025-02-01", "A 2025-02-02"]
    assert chosen(*files, first=date(2025, 2, 2)) == ["A 2025-02-02", "A 2025-02-03"]


@settings(max_examples=60, deadline=None)
@given(some_files, some_day, some_day)
def test_every_day_of_the_archive_is_wanted_from_one_file_only(
    files: set[str], first: date | None, last: date | None
) -> None:
    def days(rows: pl.DataFrame) -> list[tuple[str, date]]:
        spans = rows.select("symbol", "first", "last").rows()
        return [(s, a + timedelta(days=n)) for s, a, b in spans for n in range((b - a).days + 1)]

    everything, found = listed(*files), wanted(listed(*files), first, last)
    inside = {(s, d) for s, d in days(everything) if (not first or d >= first) and (not last or d <= last)}
    assert len(days(found)) == len(set(days(found)))
    assert inside <= set(days(found)) <= set(days(everything))
    assert found.schema == LISTED


def test_what_is_not_stored_is_new_and_comes_month_by_month() -> None:
    files = ["B 2024-12", "A 2025-01", "A 2024-12", "B 2025-01-02", "B 2025-01-01"]
    made = plan(listed(*files), SOURCES.to_frame())
    assert names(made.files) == ["A 2024-12", "B 2024-12", "A 2025-01", "B 2025-01-01", "B 2025-01-02"]
    assert (made.restated.height, made.unchanged, made.vanished) == (0, 0, [])
    assert (totals([made]).files, totals([made]).bytes) == (5, 500)


def test_what_is_stored_as_listed_is_left_alone() -> None:
    made = plan(listed("A 2024-12", "A 2025-01"), stored("A 2024-12"))
    assert (names(made.files), made.unchanged) == (["A 2025-01"], 1)


@pytest.mark.parametrize("change", [{"size": 101}, {"etag": "z"}, {"checksum_etag": "z"}, {"checksum_etag": None}])
def test_another_size_tag_or_checksum_is_a_restatement(change: dict[str, object]) -> None:
    made = plan(listed("A 2024-12", **change), stored("A 2024-12"))
    assert (names(made.restated), made.new.height, made.unchanged) == (["A 2024-12"], 0, 0)


def test_a_file_that_never_had_a_checksum_is_no_restatement() -> None:
    made = plan(listed("A 2024-12", checksum_etag=None), stored("A 2024-12", checksum_etag=None))
    assert (made.files.height, made.unchanged) == (0, 1)


def test_what_is_listed_no_longer_is_named() -> None:
    made = plan(listed("A 2025-01", "A 2025-02-01"), stored("A 2024-12", "A 2025-01", "A 2025-02-01", "A 2025-02-02"))
    assert (made.vanished, made.files.height) == (keys("A 2024-12", "A 2025-02-02"), 0)


def test_a_day_whose_month_has_come_did_not_vanish() -> None:
    made = plan(listed("A 2025-01"), stored("A 2025-01-30", "A 2025-01-31"))
    assert (names(made.new), made.vanished) == (["A 2025-01"], [])


def test_what_lies_outside_the_days_asked_for_did_not_vanish() -> None:
    first, last = date(2025, 1, 1), date(2025, 1, 31)
    known = stored("A 2024-12", "A 2025-01", "A 2025-02-01")
    made = plan(wanted(listed("A 2024-12", "A 2025-01", "A 2025-02-01"), first, last), within(known, first, last))
    assert (made.vanished, made.unchanged) == ([], 1)


def test_the_days_of_a_month_that_vanished_are_not_fetched_in_its_stead() -> None:
    files = listed("A 2024-12-01", "A 2025-01-01")
    made = plan(wanted(files, None, None), stored("A 2024-12"))
    assert (names(made.new), made.vanished) == (["A 2025-01-01"], keys("A 2024-12"))


def of_month(files: pl.DataFrame, month: str) -> pl.DataFrame:
    return files.filter(pl.col("first").dt.strftime("%Y-%m") == month)


@settings(max_examples=100, deadline=None)
@given(some_files, some_files, st.sets(st.integers(0, 9)), some_day, some_day)
def test_months_planned_one_by_one_come_to_the_plan_of_all_of_them(
    files: set[str], known: set[str], restated: set[int], first: date | None, last: date | None
) -> None:
    there = pl.concat([listed(*sorted(files)[::2]), listed(*sorted(files)[1::2], size=7)])
    before = pl.concat(
        [stored(name, etag="z" if n in restated else "a") for n, name in enumerate(sorted(known))] or [stored()]
    )
    broken = keys(*sorted(files)[::5])
    whole = plan(wanted(there, first, last, broken), within(before, first, last))
    months = [
        plan(wanted(of_month(there, month), first, last, broken), within(of_month(before, month), first, last))
        for month in MONTHS
    ]
    assert pl.concat([made.files for made in months]).equals(whole.files)
    counted = totals(months)
    assert (counted.files, counted.bytes) == (whole.files.height, whole.files["size"].sum())
    assert (counted.unchanged, counted.vanished) == (whole.unchanged, len(whole.vanished))
    assert counted.first_vanished == whole.vanished[:NAMED]
    for state, span, number, size, begin, end in counted.to_fetch.iter_rows():
        some = (whole.new if state == "new" else whole.restated).filter(span=span)
        assert (number, size, begin, end) == (some.height, some["size"].sum(), some["first"].min(), some["last"].max())
    assert counted.to_fetch.select("state", "span").is_unique().all()


def test_covered_days_are_those_of_the_months() -> None:
    inside = covered({"2025-01"})
    assert [inside(date(2024, 12, 31)), inside(date(2025, 1, 1)), inside(date(2025, 2, 1))] == [False, True, False]
