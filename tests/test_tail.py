"""From when on the exchange is asked for what the archive does not have yet."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.market_data.tail import EPOCH, OVERLAP, TAIL, holes, last_closed, tail

DAY, HOUR, QUARTER = timedelta(days=1), timedelta(hours=1), timedelta(minutes=15)
HOLES = {"symbol": pl.String(), "hole": pl.Date()}
CLOSED = datetime(2025, 2, 9, tzinfo=UTC)


def asked(
    *trading: str,
    archived: dict[str, date] | None = None,
    answered: dict[str, datetime] | None = None,
    lacking: dict[str, date] | None = None,
    step: timedelta = DAY,
    closed: datetime = CLOSED,
    first: date | None = None,
) -> dict[str, datetime]:
    files, rest = archived or {}, answered or {}
    last = pl.DataFrame(
        {"symbol": list(files), "last": list(files.values())}, {"symbol": pl.String(), "last": pl.Date()}
    )
    moment = {"symbol": pl.String(), "newest": pl.Datetime("us", "UTC")}
    newest = pl.DataFrame({"symbol": list(rest), "newest": list(rest.values())}, moment)
    days = pl.DataFrame({"symbol": list(lacking or {}), "hole": list((lacking or {}).values())}, HOLES)
    found = tail(trading, last, newest, days, closed, step, first)
    assert found.schema == TAIL
    assert found["symbol"].is_sorted()
    return dict(found.rows())


@given(st.datetimes(datetime(2018, 1, 1), datetime(2040, 1, 1)), st.sampled_from([DAY, HOUR, QUARTER]))  # noqa: DTZ001 - UTC is put on below
def test_the_newest_bar_that_is_over_ends_less_than_a_step_ago(moment: datetime, step: timedelta) -> None:
    now = moment.replace(tzinfo=UTC)
    opened = last_closed(now, step)
    assert timedelta() <= now - (opened + step) < step
    assert (opened - datetime(1970, 1, 1, tzinfo=UTC)) % step == timedelta()


def test_a_bar_is_over_with_its_last_microsecond() -> None:
    midnight = datetime(2025, 2, 10, tzinfo=UTC)
    assert last_closed(midnight, DAY) == midnight - DAY
    assert last_closed(midnight - timedelta(microseconds=1), DAY) == midnight - 2 * DAY


def test_who_has_every_bar_that_is_over_is_not_asked_for() -> None:
    assert asked("A", archived={"A": CLOSED.date()}) == {}


def test_days_of_the_archive_are_asked_for_again_to_compare_them() -> None:
    assert asked("A", archived={"A": date(2025, 2, 8)}) == {"A": CLOSED - OVERLAP}


def test_what_was_answered_is_not_asked_for_again() -> None:
    last = {"A": date(2025, 2, 6)}
    assert asked("A", archived=last, answered={"A": CLOSED - DAY}) == {"A": CLOSED}
    assert asked("A", archived=last, answered={"A": CLOSED}) == {}


def test_answers_older_than_the_overlap_do_not_move_it() -> None:
    assert asked("A", archived={"A": date(2025, 2, 7)}, answered={"A": CLOSED - 30 * DAY}) == {"A": CLOSED - 3 * DAY}


@pytest.mark.parametrize(("first", "start"), [(None, EPOCH), (date(2025, 2, 1), datetime(2025, 2, 1, tzinfo=UTC))])
def test_a_symbol_that_the_archive_does_not_have_is_asked_for_from_the_start(
    first: date | None, start: datetime
) -> None:
    assert asked("NEW", first=first) == {"NEW": start}
    assert asked("NEW", first=first, answered={"NEW": CLOSED - DAY}) == {"NEW": CLOSED}


def test_only_who_is_trading_is_asked_for_each_once() -> None:
    files = {"A": date(2025, 2, 1), "GONE": date(2025, 1, 5)}
    assert list(asked("B", "A", "A", archived=files, first=date(2025, 2, 1))) == ["A", "B"]


def test_a_start_that_is_still_to_come_asks_for_nothing() -> None:
    assert asked("NEW", first=date(2025, 2, 10)) == {}


def test_hours_follow_the_last_day_of_the_archive() -> None:
    closed = datetime(2025, 2, 9, 12, tzinfo=UTC)
    files = {"A": date(2025, 2, 8)}
    assert asked("A", archived=files, step=HOUR, closed=closed) == {"A": CLOSED - OVERLAP}
    answered = {"A": closed - 2 * HOUR}
    assert asked("A", archived=files, answered=answered, step=HOUR, closed=closed) == {"A": closed - HOUR}


def test_a_day_that_is_missing_before_the_last_one_is_asked_for_as_well() -> None:
    last, hole = {"A": date(2025, 2, 9), "B": date(2025, 2, 7)}, date(2025, 2, 3)
    found = asked("A", "B", archived=last, lacking={"A": hole, "B": hole})
    assert found == dict.fromkeys("AB", datetime(2025, 2, 3, tzinfo=UTC))


@given(st.sets(st.integers(0, 39), min_size=1), st.integers(0, 45))
def test_a_hole_is_the_first_day_without_rows_between_days_with_some(days: set[int], end: int) -> None:
    start = date(2025, 1, 1)
    present = pl.DataFrame({"symbol": "A", "day": [start + number * DAY for number in sorted(days)]})
    archived = pl.DataFrame({"symbol": ["A"], "last": [start + end * DAY]})
    missing = [number for number in range(min(days), end + 1) if number not in days]
    assert holes(present, archived, {})["hole"].to_list() == [start + number * DAY for number in missing[:1]]
    before = {"A": datetime(2025, 1, 1, tzinfo=UTC) + 20 * DAY, "B": CLOSED}
    later = [start + number * DAY for number in missing if number > 20]
    assert holes(present, archived, before)["hole"].to_list() == later[:1]
