"""A server of attempts, as a test talks to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.crash.server import Attempt, Ended

PROJECT = Path(__file__).resolve().parents[2]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc about processes")


class Lane:
    """Runs one attempt after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def attempt(self, attempt: Attempt) -> Ended:
        """Run one, to its end or death."""
        return self.together([attempt])[0]

    def together(self, attempts: Sequence[Attempt]) -> list[Ended]:
        """Run some at the same time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(attempt) for attempt in attempts]) + "\n")
        self._process.stdin.flush()
        return [Ended(**ended) for ended in json.loads(self._process.stdout.readline())]


@contextmanager
def lane() -> Iterator[Lane]:
    """Start a server, and end it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SLEEVEGRAPH_", "DAGSTER_"))}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.crash.server"],
        cwd=PROJECT,
        env=variables | {"PYTHONPATH": str(PROJECT), "DAGSTER_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Lane(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)
