"""Requests to a server with a clock of its own, in simulated time, and the most that any of its windows holds."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from hypothesis import strategies as st

from sleevegraph.market_data.request_weight import RateLimit


@dataclass(frozen=True)
class Request:
    """Weight, seconds from sending to the server's count, and to the answer; or to the death of who sent it."""

    weight: int
    there: float
    back: float
    killed: bool = False


@dataclass(frozen=True)
class Traffic:
    """Requests in the order in which they are sent, by `tasks` tasks in `processes` processes.

    Before those numbered in `boots` the machine starts anew: what is under way dies, and the clock begins at 0.
    """

    limit: RateLimit
    clock: float
    tasks: int
    requests: list[Request]
    processes: int = 1
    boots: frozenset[int] = frozenset()

    @property
    def longest(self) -> float:
        """Seconds after which every request is counted, and given up."""
        return max(max(request.there, request.back) for request in self.requests)


class Account(Protocol):
    """What tasks ask before they send."""

    def begin(self, process: int, weight: int, longest: float, now: float) -> tuple[int, float]:
        """Ticket and 0, or 0 and seconds to wait."""

    def end(self, process: int, ticket: int, now: float) -> None:
        """The answer came."""

    def kill(self, process: int) -> None:
        """All that the process knew is lost."""

    def boot(self, now: float) -> None:
        """As before, of every process; the clock is at 0 now."""


@st.composite
def traffics(draw: st.DrawFn, processes: int = 1, boots: int = 0) -> Traffic:
    limit = draw(st.integers(1, 60))
    seconds = draw(st.floats(0.5, 120))
    latency = st.floats(0, 2 * seconds) | st.floats(0, seconds / 100)
    killed = st.sampled_from([False, False, True])
    drawn = draw(st.lists(st.tuples(st.integers(1, limit), latency, latency, killed), min_size=2, max_size=60))
    # An answer comes after the count; a death at any time.
    requests = [Request(w, there, back if dies else there + back, dies) for w, there, back, dies in drawn]
    return Traffic(
        limit=RateLimit(limit, seconds),
        clock=draw(st.floats(0, 1000)),
        tasks=draw(st.integers(1, 8)),
        requests=requests,
        processes=draw(st.integers(1, processes)),
        boots=draw(st.frozensets(st.integers(1, len(requests)), max_size=boots)),
    )


def counted(account: Account, traffic: Traffic) -> list[tuple[float, int]]:
    """When the server counts which weight, if every task sends the next request as soon as it may."""
    tasks = [(traffic.clock, number) for number in range(traffic.tasks)]
    answers: list[tuple[float, int, int]] = []
    counts = []
    for index, request in enumerate(traffic.requests):
        now, number = heappop(tasks)
        process = number % traffic.processes
        if index in traffic.boots:
            answers.clear()
            account.boot(now)
        while True:
            while answers and answers[0][0] <= now:
                at, ticket, sender = heappop(answers)
                account.end(sender, ticket, at)
            ticket, delay = account.begin(process, request.weight, traffic.longest, now)
            if delay == 0:
                break
            later = max(now + delay, math.nextafter(now, math.inf))  # time goes on, if only to the next float
            now = min(later, answers[0][0]) if answers else later
        if request.killed:
            answers = sorted(answer for answer in answers if answer[2] != process)
            account.kill(process)
        else:
            heappush(answers, (now + request.back, ticket, process))
        heappush(tasks, (now + request.back, number))
        tasks = [(max(at, now), other) for at, other in tasks]  # requests are sent in the order of the list
        counts.append((now + request.there, request.weight))
    return sorted(counts)


def largest(counts: list[tuple[float, int]], seconds: float, offsets: list[float]) -> int:
    """The most that a sliding window holds, or a fixed one that begins at an offset."""
    return max(_sliding(counts, seconds), *(max(_fixed(counts, seconds, offset)) for offset in offsets))


def _sliding(counts: list[tuple[float, int]], seconds: float) -> int:
    held: deque[tuple[float, int]] = deque()
    most = 0
    for at, weight in counts:
        held.append((at, weight))
        while at - held[0][0] >= seconds:
            held.popleft()
        most = max(most, sum(share for _, share in held))
    return most


def _fixed(counts: list[tuple[float, int]], seconds: float, offset: float) -> Iterator[int]:
    windows: dict[int, int] = {}
    for at, weight in counts:
        window = math.floor((at - offset) / seconds)
        windows[window] = windows.get(window, 0) + weight
    yield from windows.values()
