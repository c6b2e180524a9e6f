"""Request weight against servers with clocks of their own, in simulated time."""

import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ArchiveError, ConfigurationError
from sleevegraph.market_data.backoff import backoff_delay, retry_after
from sleevegraph.market_data.request_weight import WeightWindow, parse_rate_limits


class FreedWhenSent(WeightWindow):
    """The usual mistake: weight is free again `seconds` after its request was sent."""

    def begin(self, weight: int, now: float) -> int:
        ticket = super().begin(weight, now)
        super().end(ticket, now)
        return ticket

    def end(self, ticket: int, now: float) -> None:
        pass


@dataclass(frozen=True)
class Traffic:
    """Requests in order: weight, and seconds from sending to the server's count and from there to the answer."""

    limit: int
    seconds: float
    clock: float
    tasks: int
    requests: list[tuple[int, float, float]]


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    limit = draw(st.integers(1, 60))
    seconds = draw(st.floats(0.5, 120))
    latency = st.floats(0, 2 * seconds) | st.floats(0, seconds / 100)
    request = st.tuples(st.integers(1, limit), latency, latency)
    return Traffic(
        limit=limit,
        seconds=seconds,
        clock=draw(st.floats(0, 1000)),
        tasks=draw(st.integers(1, 8)),
        requests=draw(st.lists(request, min_size=2, max_size=60)),
    )


def counted(window: WeightWindow, traffic: Traffic) -> list[tuple[float, int]]:
    """When the server counts which weight: `tasks` tasks, each of which sends the next request as soon as it may."""
    tasks = [(traffic.clock, number) for number in range(traffic.tasks)]
    answers: list[tuple[float, int]] = []
    counts = []
    for weight, there, back in traffic.requests:
        now, number = heappop(tasks)
        while True:
            while answers and answers[0][0] <= now:
                window.end(answers[0][1], heappop(answers)[0])
            delay = window.wait(weight, now)
            if delay == 0:
                break
            now = min(now + delay, answers[0][0]) if answers else now + delay
        heappush(answers, (now + there + back, window.begin(weight, now)))
        heappush(tasks, (now + there + back, number))
        tasks = [(max(at, now), other) for at, other in tasks]  # requests are sent in the order of the list
        counts.append((now + there, weight))
    return sorted(counts)


def largest_sliding(counts: list[tuple[float, int]], seconds: float) -> int:
    held: deque[tuple[float, int]] = deque()
    largest = 0
    for at, weight in counts:
        held.append((at, weight))
        while at - held[0][0] >= seconds:
            held.popleft()
        largest = max(largest, sum(share for _, share in held))
    return largest


def largest_fixed(counts: list[tuple[float, int]], seconds: float, offset: float) -> int:
    windows: dict[int, int] = {}
    for at, weight in counts:
        window = math.floor((at - offset) / seconds)
        windows[window] = windows.get(window, 0) + weight
    return max(windows.values())


@settings(max_examples=300, deadline=None)
@given(traffics(), st.floats(0, 120))
def test_no_window_of_a_server_ever_holds_more_than_the_limit(traffic: Traffic, offset: float) -> None:
    counts = counted(WeightWindow(traffic.limit, traffic.seconds), traffic)
    assert len(counts) == len(traffic.requests)
    # A window one part in 10^9 shorter: sums of floats are no part of the proof.
    assert largest_sliding(counts, traffic.seconds * (1 - 1e-9)) <= traffic.limit
    # Two counts a whole window apart may fall into one fixed window only by rounding of the division.
    assert largest_fixed([(at, w) for at, w in counts], traffic.seconds * (1 - 1e-9), offset) <= traffic.limit


def test_the_same_simulation_catches_weight_that_is_freed_by_the_time_of_sending() -> None:
    # The first takes 50 s to arrive, the second, sent when the first is held to be free, none.
    traffic = Traffic(limit=10, seconds=60, clock=0, tasks=2, requests=[(10, 50.0, 1.0), (10, 0.0, 1.0)])
    wrong = counted(FreedWhenSent(10, 60), traffic)
    assert largest_sliding(wrong, 60) == 20
    assert largest_fixed(wrong, 60, offset=30) == 20
    right = counted(WeightWindow(10, 60), traffic)
    assert largest_sliding(right, 60) == 10


@pytest.mark.parametrize(("limit", "weight", "tasks"), [(6000, 2, 8), (1200, 20, 2), (7, 1, 3)])
def test_a_quick_server_is_used_for_at_least_80_per_cent_of_its_limit(limit: int, weight: int, tasks: int) -> None:
    requests = [(weight, 0.05, 0.05)] * (4 * limit // weight)
    counts = counted(WeightWindow(limit, 60), Traffic(limit, 60, 0, tasks, requests))
    three_windows = sum(share for at, share in counts if at < 180)
    assert three_windows >= 0.8 * 3 * limit


def test_a_wait_ends_when_it_says() -> None:
    window = WeightWindow(10, 60)
    window.end(window.begin(6, 0.1), 0.3)
    window.end(window.begin(4, 0.4), 0.7)
    assert window.wait(6, 1.0) == pytest.approx(59.3)
    assert window.wait(7, 1.0) == pytest.approx(59.7)
    assert window.wait(6, 1.0 + window.wait(6, 1.0)) == 0


def test_a_request_under_way_occupies_its_weight_for_as_long_as_it_takes() -> None:
    window = WeightWindow(10, 60)
    ticket = window.begin(10, 0)
    assert window.wait(1, 500) == pytest.approx(60)
    window.end(ticket, 500)
    assert window.wait(1, 530) == pytest.approx(30)


def test_weight_that_somebody_else_uses_is_left_to_them_and_counted_once() -> None:
    window = WeightWindow(100, 60)
    window.end(window.begin(10, 0), 1)
    window.seen(95, 1)
    window.seen(95, 2)
    assert window.wait(5, 2) == 0
    assert window.wait(6, 2) == pytest.approx(59)
    window.seen(3, 3)
    assert window.wait(5, 3) == 0


def test_a_request_that_can_never_be_sent_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigurationError, match=r"limit of 10 weight in 60 s, found one of weight 20; ask another"
    ) as e:
        WeightWindow(10, 60).wait(20, 0)
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
