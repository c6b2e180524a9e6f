"""Processes beside the run: solvers and drawings, which take their own time and may die without taking the run along."""

import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import ParamSpec, TypeVar

from pebble import ProcessPool

MAX_PROCESSES = 4
"""Each may import several engines, of up to 340 MB."""

P = ParamSpec("P")
T = TypeVar("T")


def submit(function: Callable[P, T], seconds: float, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
    """Call a function in the next free process, which is ended when the call takes longer than `seconds`."""
    return _pool().schedule(function, args=args, kwargs=kwargs, timeout=seconds)


def processes() -> int:
    """One for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES)


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
