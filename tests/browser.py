"""Dagster's page as a person has it: `dagster dev` on a home, its GraphQL, and headless Chromium."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 240
"""Far more than anything here takes, for machines that are busy with something else."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str:
    """What a browser test needs and this machine has not; empty when all is there."""
    if CHROMIUM is None:
        return "needs Chromium on the PATH (Debian: apt-get install chromium)"
    found = find_spec("playwright")
    if found is None or found.origin is None or not (Path(found.origin).parent / "driver" / "node").exists():
        return "needs playwright with its driver (make install-dev)"
    return ""


needs_browser = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass(frozen=True, slots=True)
class Dev:
    """A running `dagster dev`: where it answers, and what it has said."""

    url: str
    log: Path

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """Data that a query or mutation answers."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60.0)
        assert answer.is_success, f"{answer.status_code} {answer.text[:2000]}\n{self.said()}"
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return dict(body["data"])

    def wait(self, what: str, ask: Callable[[], Any]) -> Any:
        """Ask again until the answer is true, and return it."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if found := ask():
                return found
            time.sleep(0.3)
        pytest.fail(f"no {what} within {PATIENCE_SECONDS} s\n{self.said()}")

    def said(self) -> str:
        """The end of what its processes printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:]


@contextmanager
def dagster_dev(home: Path, log: Path, module: str = "tests.small") -> Iterator[Dev]:
    """Serve a home that nobody has open; every process that it started is gone at the end."""
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-m", module],
            cwd=PROJECT,
            env=variables(home),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    dev = Dev(f"http://127.0.0.1:{port}", log)

    def loaded() -> bool:
        assert process.poll() is None, f"dagster dev ended with {process.returncode}\n{dev.said()}"
        with suppress(httpx.TransportError):
            return bool(dev.graphql("{ assetNodes { id } }")["assetNodes"])
        return False

    try:
        dev.wait("asset on the page", loaded)
        yield dev
    finally:
        # Asked to end by itself, it would wait for the page's open connections; nobody needs the home any more.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def variables(home: Path) -> dict[str, str]:
    """Environment of a process that works on a home, and on no other one."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SLEEVEGRAPH_", "DAGSTER_"))}
    return own | {
        "DAGSTER_HOME": str(home / "dagster_home"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(PROJECT),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def chromium_page(pictures: Path, *, width: int = 1500, height: int = 1000, scale: float = 1.0) -> Iterator["Page"]:
    """Open an empty page of a browser without history; what it showed last is kept as page.png."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - only where there is a browser, too

    with TemporaryDirectory(prefix="chromium-") as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=list(FLAGS),
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
        )
        browser.set_default_timeout(PATIENCE_SECONDS * 1000)
        expect.set_options(timeout=PATIENCE_SECONDS * 1000)
        page = browser.new_page()
        try:
            yield page
        finally:
            page.screenshot(path=pictures / "page.png")
            browser.close()
