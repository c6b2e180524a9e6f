"""When something that failed is tried again, from what is stored of the tries: nothing is kept in memory."""

from collections.abc import Sequence
from datetime import datetime, timedelta

NOW = timedelta()


def wait_left(tries: int, ended: datetime | None, now: datetime, delays: Sequence[timedelta]) -> timedelta:
    """How long to wait before the next try; zero when it is due.

    Parameters
    ----------
    tries
        How many have failed in a row. After the nth the nth delay is waited, after more the last one.
    ended
        When the last one ended. Where that is yet to come, because the clock was set back, it counts as long ago: one try is
        made at once, and its end is of the clock that is right again.
    """
    if tries < 1 or ended is None or ended > now:
        return NOW
    return max(delays[min(tries, len(delays)) - 1] - (now - ended), NOW)


def minutes(*counts: int) -> tuple[timedelta, ...]:
    """Delays of so many minutes."""
    return tuple(timedelta(minutes=count) for count in counts)


def spoken(wait: timedelta) -> str:
    """A wait in words: `under a minute`, `5 min`, `2 h 30 min`."""
    whole = int(wait.total_seconds() // 60)
    hours, rest = divmod(whole, 60)
    if not whole:
        return "under a minute"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)
