"""When a request may be sent to a host, so that the weight it allows is never exceeded."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sleevegraph.errors import ArchiveError, ConfigurationError

_SECONDS = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86400.0}


class RateLimit(NamedTuple):
    """Request weight that a host allows for every so many seconds."""

    weight: int
    seconds: float


class Entry(NamedTuple):
    """A request in the account of a host: when it ended, and its weight.

    Of one under way `ended` is the moment at which it is given up at the latest. It stays so where the sender died.
    """

    ended: float
    weight: int


def wait(weight: int, occupied: int, account: Iterable[Entry], limit: RateLimit, now: float) -> float:
    """Seconds until a request of that weight may be sent; 0 where it may be sent, and has to be entered, at once.

    `account` has the entries that occupy weight, which each of them does while `ended + limit.seconds > now`, ascending;
    `occupied` is the sum of their weights. The wait is the least that it can be: a request under way may take longer, so
    ask again after it.

    Let all who ask a host share one account, in which checking and entering is one step. Then no window of the host
    ever holds more than the limit. A request is sent at s, when it is entered, and the host counts it at some t >= s.
    At any time its entry has ended >= t: be that the end that was seen, or the latest one, which also holds for a
    sender that was killed. Take any window [w, w + seconds) of the host, fixed or sliding, wherever its clock starts,
    and of the requests that it counts in there the one that was entered last, sent at s*, counted at t*. Every other one
    of them was in the account by then, and is freed at ended + seconds >= t + seconds >= w + seconds > t* >= s*. So
    each of them occupied its weight when the last one was checked, and the sum of all was within the limit. QED.

    Assumed: all clocks run at one rate, and the senders have one clock; a host does not count a request after it was
    seen to fail or given up; and nobody else uses the address: who counts as much more as the host says makes room for
    somebody who does.

    Raises
    ------
    ConfigurationError
        No wait would do: the weight alone is beyond the limit.
    """
    if weight > limit.weight:
        raise ConfigurationError(
            f"expected requests within the host's limit of {limit.weight} weight in {limit.seconds:g} s, "
            f"found one of weight {weight}; ask another host"
        )
    excess = occupied + weight - limit.weight
    if excess <= 0:
        return 0.0
    until = now + limit.seconds
    for ended, share in account:
        until = min(ended, now) + limit.seconds
        excess -= share
        if excess <= 0:
            break
    return until - now + math.ulp(until)  # or the sum of both could be rounded to just before it


def parse_rate_limits(exchange_info: Mapping[str, Any]) -> RateLimit:
    """Request weight that the exchange allows, and in how many seconds.

    Where it names several windows: the smallest limit over the longest of them, which keeps every one.
    """
    try:
        rows = [row for row in exchange_info["rateLimits"] if row["rateLimitType"] == "REQUEST_WEIGHT"]
        limits = [RateLimit(int(row["limit"]), _SECONDS[row["interval"]] * int(row["intervalNum"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"expected rateLimits as Binance documents them in exchangeInfo, found {error!r}") from error
    if not limits or min(min(limits)) < 1 or min(limit.seconds for limit in limits) <= 0:
        raise ArchiveError(f"expected a positive REQUEST_WEIGHT in exchangeInfo's rateLimits, found {rows}")
    return RateLimit(min(limit.weight for limit in limits), max(limit.seconds for limit in limits))
