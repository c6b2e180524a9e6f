"""How much of a host's request weight is taken, so that its limit is never exceeded."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from sleevegraph.errors import ArchiveError, ConfigurationError

_SECONDS = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86400.0}


class WeightWindow:
    """Weight that requests to one host occupy, of `limit` for every `seconds`; `now` never runs backwards.

    A request occupies its weight from the moment it is sent until `seconds` after its answer came or it failed, and is
    sent only where the occupied weight, its own included, is at most the limit.

    Then no window of the server ever holds more than the limit. Let a request be sent at s and answered at e; the server
    counts it at some t with s <= t <= e. Take any window [w, w + seconds) of the server, fixed or sliding, wherever its
    clock starts, and of the requests that it counts in there the one that was sent last, at s*, counted at t*. Every
    other one of them was sent at s <= s*, and is freed at e + seconds >= t + seconds >= w + seconds > t* >= s*. So each
    of them occupied its weight when the last one was sent, and the sum of all was checked against the limit then. QED.

    Assumed: both clocks run at one rate, a request that failed is not counted after its failure was seen, and nobody else
    uses the address; `seen` makes room for somebody who does. `limit` and `seconds` may be set once the host has said
    what they are: what is occupied then stays so.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._under_way: dict[int, int] = {}
        self._ended: deque[tuple[float, int]] = deque()  # when a request ended, and its weight: in order of time
        self._occupied = 0
        self._tickets = 0

    def wait(self, weight: int, now: float) -> float:
        """Seconds until a request of that weight may be sent; 0 where it may be sent at once.

        The least that it can be: a request under way may take longer, so ask again after the wait.
        """
        if weight > self.limit:
            raise ConfigurationError(
                f"expected requests within the host's limit of {self.limit} weight in {self.seconds:g} s, "
                f"found one of weight {weight}; ask another host"
            )
        excess = self._settle(now) + weight - self.limit
        if excess <= 0:
            return 0.0
        until = now + self.seconds
        for ended, share in self._ended:
            excess -= share
            if excess <= 0:
                until = ended + self.seconds
                break
        return until - now + math.ulp(until)  # or the sum of both could be rounded to just before it

    def begin(self, weight: int, now: float) -> int:
        """Occupy the weight of a request that is sent now, right after `wait` gave 0, and give a ticket for its end."""
        self._settle(now)
        self._tickets += 1
        self._under_way[self._tickets] = weight
        self._occupied += weight
        return self._tickets

    def end(self, ticket: int, now: float) -> None:
        """The answer came, or the request failed: its weight is free `seconds` from now."""
        self._ended.append((now, self._under_way.pop(ticket)))

    def seen(self, used: int, now: float) -> None:
        """Occupy what the server counted beyond our own: somebody else uses the same address."""
        foreign = used - self._settle(now)
        if foreign > 0:
            self._ended.append((now, foreign))
            self._occupied += foreign

    def _settle(self, now: float) -> int:
        """Free what is due, and give what is occupied."""
        while self._ended and self._ended[0][0] + self.seconds <= now:
            self._occupied -= self._ended.popleft()[1]
        return self._occupied


def parse_rate_limits(exchange_info: Mapping[str, Any]) -> tuple[int, float]:
    """Request weight that the exchange allows, and in how many seconds.

    Where it names several windows: the smallest limit over the longest of them, which keeps every one.
    """
    try:
        rows = [row for row in exchange_info["rateLimits"] if row["rateLimitType"] == "REQUEST_WEIGHT"]
        limits = [(int(row["limit"]), _SECONDS[row["interval"]] * int(row["intervalNum"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"expected rateLimits as Binance documents them in exchangeInfo, found {error!r}") from error
    if not limits or min(min(limits)) < 1 or min(seconds for _, seconds in limits) <= 0:
        raise ArchiveError(f"expected a positive REQUEST_WEIGHT in exchangeInfo's rateLimits, found {rows}")
    return min(limit for limit, _ in limits), max(seconds for _, seconds in limits)
