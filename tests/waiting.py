"""Wait for something that another process does."""

import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE_SECONDS = 240
"""Far more than anything takes, for machines that are busy with something else."""


def until(ask: Callable[[], Any], what: str) -> Any:
    """Ask again until the answer is true, and return it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(0.2)
    pytest.fail(f"no {what} within {PATIENCE_SECONDS} s")
