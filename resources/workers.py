"""Processes beside the run: solvers and drawings, which take their own time and may die without taking the run along."""

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessPool

MAX_PROCESSES = 4
"""Each may import several engines, of up to 340 MB."""

P = ParamSpec("P")
T = TypeVar("T")


def submit(function: Callable[P, T], seconds: float, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
    """Call a function in the next free process; the kernel ends that by SIGALRM when the call takes longer than `seconds`.

    A limit of the pool's own would go by the clock on the wall: set forward, it would end every solve under way.
    """
    return _pool().schedule(_limited, args=(seconds, function, args, kwargs))


def processes() -> int:
    """One for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES)


def _limited(seconds: float, function: Callable[..., T], args: Sequence[Any], kwargs: Mapping[str, Any]) -> T:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


@cache
def _pool() -> ProcessPool:
    """One pool for the life of this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sleevegraph.risk_profiles.solver"])
    pool = ProcessPool(max_workers=processes(), context=context, initializer=_silence)
    atexit.register(pool.stop)
    return pool


def _silence() -> None:
    """Keep what is printed there, from C as well, out of what the run prints."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
