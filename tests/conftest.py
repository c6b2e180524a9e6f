"""Every test begins without a home, and every temporary home is gone when it ends."""

import os
from collections.abc import Callable, Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from tests.homes import KEYS, TemporaryHome, copied_home, made_home, remove_homes, small_definitions, small_market


def pytest_configure(config: pytest.Config) -> None:
    """Previews of the pinned Dagster are used on purpose; pytest forgets what `assets` says about them."""
    config.addinivalue_line("filterwarnings", "ignore::dagster.BetaWarning")
    config.addinivalue_line("filterwarnings", "ignore::dagster.PreviewWarning")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home of the person who runs the tests must not be found, let alone written to."""
    for name in list(os.environ):
        if name.startswith(("SLEEVEGRAPH_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    # Dagster remembers the instance that was opened last, whose home may be gone by now.
    with set_defs_state_storage(None):
        yield


@pytest.fixture
def new_home() -> Iterator[Callable[..., TemporaryHome]]:
    """Make empty homes: `new_home()` for the small manifest, `new_home(definitions)` for another one."""
    made: list[TemporaryHome] = []

    def make(defs: dg.Definitions | None = None) -> TemporaryHome:
        made.append(made_home(defs or small_definitions()))
        return made[-1]

    yield make
    remove_homes(made)


@pytest.fixture(scope="session")
def _four_rebalances(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Root of a home of the small manifest with every partition of KEYS, made once for all workers."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    root = shared / "four_rebalances"
    with (shared / "four_rebalances.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (root / "complete").exists():
            home = made_home(small_definitions(), root)
            home.ingest(small_market())
            assert home.run(*KEYS).success
            home.close()
            (root / "complete").touch()
    return root


@pytest.fixture
def home(_four_rebalances: Path) -> Iterator[TemporaryHome]:
    """A copy of one's own of a home that has every partition of KEYS and all of their verdicts."""
    own = copied_home(_four_rebalances, small_definitions())
    yield own
    remove_homes([own])
