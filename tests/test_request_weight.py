"""Request weight against servers with clocks of their own, in simulated time."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ArchiveError, ConfigurationError
from sleevegraph.market_data.backoff import backoff_delay, retry_after
from sleevegraph.market_data.request_weight import Entry, RateLimit, parse_rate_limits, wait
from tests.traffic import Request, Traffic, counted, largest, traffics


class InMemory:
    """The account as it is meant: a list that nobody loses."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.entries: dict[int, Entry] = {}
        self.tickets = 0

    def begin(self, process: int, weight: int, longest: float, now: float) -> tuple[int, float]:
        del process
        self.entries = {at: entry for at, entry in self.entries.items() if entry.ended + self.limit.seconds > now}
        held = sorted(self.entries.values())
        delay = wait(weight, sum(entry.weight for entry in held), held, self.limit, now)
        if delay:
            return 0, delay
        self.tickets += 1
        self.entries[self.tickets] = Entry(now + longest, weight)
        return self.tickets, 0.0

    def end(self, process: int, ticket: int, now: float) -> None:
        del process
        if ticket in self.entries:  # or it took so long that it is free already
            self.entries[ticket] = Entry(now, self.entries[ticket].weight)

    def kill(self, process: int) -> None:
        pass

    def boot(self, now: float) -> None:
        raise NotImplementedError


class FreedWhenSent(InMemory):
    """The usual mistake: weight is free again `seconds` after its request was sent."""

    def begin(self, process: int, weight: int, longest: float, now: float) -> tuple[int, float]:
        del longest
        return super().begin(process, weight, 0.0, now)

    def end(self, process: int, ticket: int, now: float) -> None:
        pass


class OfOneProcess(InMemory):
    """Another one: who is killed has forgotten everything when it is started again."""

    def kill(self, process: int) -> None:
        del process
        self.entries.clear()


def most(traffic: Traffic, account: InMemory, offsets: Iterable[float] = (0,)) -> int:
    """The most in any window, one part in 10^9 shorter than they are: sums of floats are no part of the proof."""
    counts = counted(account, traffic)
    assert len(counts) == len(traffic.requests)
    return largest(counts, traffic.limit.seconds * (1 - 1e-9), list(offsets))


@settings(max_examples=300, deadline=None)
@given(traffics(processes=4), st.floats(0, 120))
def test_no_window_of_a_server_ever_holds_more_than_the_limit(traffic: Traffic, offset: float) -> None:
    assert most(traffic, InMemory(traffic.limit), [offset]) <= traffic.limit.weight


MINUTE_OF_10 = RateLimit(10, 60)


def test_the_same_simulation_catches_weight_that_is_freed_by_the_time_of_sending() -> None:
    # The first takes 50 s to arrive, the second, sent when the first is held to be free, none.
    traffic = Traffic(MINUTE_OF_10, clock=0, tasks=2, requests=[Request(10, 50.0, 51.0), Request(10, 0.0, 1.0)])
    wrong = counted(FreedWhenSent(MINUTE_OF_10), traffic)
    assert largest(wrong, 60, [30]) == 20
    assert most(traffic, InMemory(MINUTE_OF_10)) == 10


def test_the_same_simulation_catches_a_process_that_forgets_when_it_is_killed() -> None:
    requests = [Request(10, 50.0, 0.0, killed=True), Request(10, 1.0, 1.0)]
    traffic = Traffic(MINUTE_OF_10, clock=0, tasks=1, requests=requests)
    assert most(traffic, OfOneProcess(MINUTE_OF_10)) == 20
    assert most(traffic, InMemory(MINUTE_OF_10)) == 10


@pytest.mark.parametrize(("limit", "weight", "tasks"), [(600, 2, 8), (1200, 20, 2), (7, 1, 3)])
def test_a_quick_server_is_used_for_at_least_80_per_cent_of_its_limit(limit: int, weight: int, tasks: int) -> None:
    requests = [Request(weight, 0.05, 0.1)] * (4 * limit // weight)
    allowed = RateLimit(limit, 60)
    counts = counted(InMemory(allowed), Traffic(allowed, 0, tasks, requests))
    three_windows = sum(share for at, share in counts if at < 180)
    assert three_windows >= 0.8 * 3 * limit


def after(weight: int, now: float, *entries: tuple[float, int]) -> float:
    """Seconds to wait, of 10 in 60 s, after requests of which these ends and weights are known."""
    return wait(weight, sum(share for _, share in entries), [Entry(*entry) for entry in entries], MINUTE_OF_10, now)


def test_a_wait_ends_when_it_says() -> None:
    assert after(6, 1.0, (0.3, 6), (0.7, 4)) == pytest.approx(59.3)
    assert after(7, 1.0, (0.3, 6), (0.7, 4)) == pytest.approx(59.7)
    assert after(6, 1.0 + after(6, 1.0, (0.3, 6), (0.7, 4)), (0.7, 4)) == 0


def test_a_request_under_way_may_end_at_once_and_is_asked_after_again_then() -> None:
    assert after(1, 500.0, (700.0, 10)) == pytest.approx(60)
    assert after(1, 530.0, (500.0, 10)) == pytest.approx(30)


def test_a_request_that_can_never_be_sent_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigurationError, match=r"limit of 10 weight in 60 s, found one of weight 20; ask another"
    ) as e:
        after(20, 0)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("interval", "number", "seconds"), [("SECOND", 10, 10), ("MINUTE", 1, 60), ("HOUR", 2, 7200), ("DAY", 1, 86400)]
)
def test_rate_limits_are_read_in_any_interval(interval: str, number: int, seconds: float) -> None:
    orders = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 1}
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": interval, "intervalNum": number, "limit": 6000}
    assert parse_rate_limits({"rateLimits": [orders, weight]}) == (6000, seconds)


def test_several_windows_are_kept_by_the_smallest_limit_over_the_longest() -> None:
    rows = [("MINUTE", 1, 6000), ("SECOND", 1, 300)]
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": interval, "intervalNum": number, "limit": limit}
        for interval, number, limit in rows
    ]
    assert parse_rate_limits({"rateLimits": limits}) == (300, 60)


@pytest.mark.parametrize(
    "exchange_info",
    [
        {},
        {"rateLimits": []},
        {"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "YEAR", "intervalNum": 1, "limit": 6000}]},
        {"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 0, "limit": 6000}]},
        {"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 0}]},
    ],
)
def test_rate_limits_that_say_nothing_are_refused(exchange_info: dict[str, object]) -> None:
    with pytest.raises(ArchiveError, match=r"rateLimits"):
        parse_rate_limits(exchange_info)


def test_backoff_doubles_up_to_its_cap_and_is_jittered_over_all_of_it() -> None:
    assert [backoff_delay(attempt, 0.5, 30, 0.5) for attempt in range(8)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert backoff_delay(3, 0.5, 30, 0.0) == 0
    assert backoff_delay(10_000, 0.5, 30, 1.0) == 30


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2024, 2, 29, 23, 59, 30, tzinfo=UTC)
    date = format_datetime(datetime(2024, 3, 1, 0, 1, tzinfo=UTC), usegmt=True)
    assert date == "Fri, 01 Mar 2024 00:01:00 GMT"
    assert retry_after(date, now.timestamp()) == 90
    assert retry_after(" 120 ", now.timestamp()) == 120
    assert retry_after("Fri, 01 Mar 2024 00:01:00 -0000", now.timestamp()) == 90


@pytest.mark.parametrize("value", ["", "soon", "-5", "nan", "inf", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_retry_after_that_asks_for_nothing_is_none(value: str) -> None:
    assert retry_after(value, 1e9) == 0
