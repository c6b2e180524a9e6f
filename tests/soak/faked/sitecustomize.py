"""Read by every Python process under the moved clock: how it sleeps.

libfaketime 0.9.10 takes the monotonic deadline that `time.sleep` gives to `clock_nanosleep` for one of the faked clock, and the
call fails with EINVAL. A `select` on nothing sleeps as long and has no deadline.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select((), (), (), seconds)


time.sleep = _sleep
