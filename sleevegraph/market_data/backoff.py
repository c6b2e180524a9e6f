"""How long to leave a host alone after it failed or refused."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def backoff_delay(attempt: int, base: float, cap: float, random: float) -> float:
    """Seconds before the next try after `attempt` (0 for the first) failed: exponential with full jitter.

    `random` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015:
    sleep = random_between(0, min(cap, base * 2 ** attempt)).
    """
    return random * min(cap, base * 2.0 ** min(attempt, 64))


def retry_after(value: str, now: float) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as an HTTP date (RFC 9110, 10.2.3).

    `now` is POSIX time. 0 for a date that is past and for a value that is neither.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)
