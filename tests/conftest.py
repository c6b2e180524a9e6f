"""Every test begins without a home, and every temporary home is gone when it ends."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage
from hypothesis import settings

from tests.homes import KEYS, TemporaryHome, copied_home, made_home, remove_homes, small_definitions, small_market
from tests.ingest_command import BTC, home_of_btc, ingest, named
from tests.replica import markets
from tests.replica.handle import Replica


def pytest_configure(config: pytest.Config) -> None:
    """Previews of the pinned Dagster are used on purpose; pytest forgets what `assets` says about them."""
    config.addinivalue_line("filterwarnings", "ignore::dagster.BetaWarning")
    config.addinivalue_line("filterwarnings", "ignore::dagster.PreviewWarning")
    # A busy machine is no defect: no example has a deadline.
    settings.register_profile("project", deadline=None)
    settings.load_profile("project")


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """A home of the person who runs the tests must not be found, let alone written to."""
    # Without the fixture monkeypatch, so that this ends after it: it would bring back what another fixture had set.
    with _restored_environment(), set_defs_state_storage(None):  # Dagster remembers an instance whose home may be gone
        os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
        yield


@pytest.fixture(scope="module", autouse=True)
def _own_instance() -> Iterator[None]:
    """Nor do the fixtures of a module leave theirs to the next module."""
    with _restored_environment(), set_defs_state_storage(None):
        yield


@contextmanager
def _restored_environment() -> Iterator[None]:
    """No variable of ours in the block, and after it the environment as it was: our commands set what Dagster reads."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("SLEEVEGRAPH_", "DAGSTER_")):
            del os.environ[name]
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


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


def _tree(tmp_path_factory: pytest.TempPathFactory, worker_id: str, name: str, make: Callable[[Path], None]) -> Path:
    """A replica's folder, made once for all workers."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    root = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (root / "complete").exists():
            make(root)
            (root / "complete").touch()
    return root


@pytest.fixture(scope="session")
def small_tree(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What the replica of the small made market serves."""
    return _tree(tmp_path_factory, worker_id, "small_tree", markets.build_small)


@pytest.fixture(scope="session")
def recorded_tree(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What the replica of the 411 recorded symbols serves; only where the shared folder is."""
    return _tree(tmp_path_factory, worker_id, "recorded_tree", markets.build_recorded)


@pytest.fixture
def replica(small_tree: Path) -> Iterator[Replica]:
    """A server of one's own of the small market, at SMALL_NOW."""
    with Replica(small_tree) as server:
        server.now(markets.SMALL_NOW)
        server.archive_until(markets.SMALL_ARCHIVE_UNTIL)
        yield server


@pytest.fixture
def recorded_replica(recorded_tree: Path) -> Iterator[Replica]:
    """A server of one's own of the 411 recorded symbols, at RECORDED_NOW."""
    with Replica(recorded_tree) as server:
        server.archive_until(markets.RECORDED_ARCHIVE_UNTIL)
        yield server


@pytest.fixture
def binance_home(tmp_path: Path, replica: Replica) -> Iterator[Path]:
    """A new home whose environment names a replica of the small market."""
    with named(replica):
        yield tmp_path / "home"


@pytest.fixture
def btc_home(binance_home: Path) -> Path:
    """The same with the bars of BTC."""
    assert ingest(binance_home, *BTC)
    return binance_home


@pytest.fixture(scope="module")
def kept_btc_home(tmp_path_factory: pytest.TempPathFactory, small_tree: Path) -> Iterator[tuple[Path, Replica]]:
    """A home with the bars of BTC that no test changes, and its replica."""
    root = tmp_path_factory.mktemp("kept") / "home"
    with home_of_btc(root, small_tree) as server:
        yield root, server
