"""Calls to somebody who may never answer."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread


def within(seconds: float, call: Callable[[], object]) -> str:
    """Why a call failed or did not end in time; empty when it did. One that goes on is left behind."""
    found: SimpleQueue[str] = SimpleQueue()

    def attempt() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - clients raise whatever their transport raises
            found.put(f"{type(error).__name__}: {' '.join(str(error).split())}")
        else:
            found.put("")

    Thread(target=attempt, daemon=True).start()
    try:
        return found.get(timeout=seconds)
    except Empty:
        return f"no answer within {seconds:g} s"
