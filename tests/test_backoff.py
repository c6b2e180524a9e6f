from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.backoff import minutes, spoken, wait_left

NOW = datetime(2022, 3, 1, tzinfo=UTC)
DELAYS = minutes(1, 5, 15)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("tries", "ended", "left"),
    [(0, ago(0), 0), (1, ago(20), 40), (2, ago(20), 280), (3, ago(20), 880), (9, ago(20), 880), (1, ago(60), 0)],
)
def test_the_nth_failure_waits_the_nth_delay_and_later_ones_the_last(tries: int, ended: datetime, left: float) -> None:
    assert wait_left(tries, ended, NOW, DELAYS) == timedelta(seconds=left)


@given(st.integers(0, 20), st.floats(-1e9, 1e9))
def test_no_wait_is_negative_or_longer_than_the_longest_delay(tries: int, seconds: float) -> None:
    assert timedelta() <= wait_left(tries, ago(seconds), NOW, DELAYS) <= DELAYS[-1]


def test_an_end_in_the_future_counts_as_long_ago() -> None:
    assert wait_left(3, ago(-1), NOW, DELAYS) == timedelta()
    assert wait_left(3, ago(0), NOW, DELAYS) == DELAYS[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "under a minute"), (300, "5 min"), (7200, "2 h"), (9060, "2 h 31 min")]
)
def test_a_wait_in_words(seconds: int, text: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == text
