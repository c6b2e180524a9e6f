"""`backfill` in a home of an exchange: the stored bars, and those of the exchange only where there are none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_homes import CERTIFIED, finished_home, own_copy, sleevegraph, store_of
from tests.exchange_homes import contents
from tests.ingest_command import named
from tests.replica.handle import Replica


@pytest.fixture
def exchange(replica: Replica) -> Iterator[Replica]:
    """A replica that the environment names."""
    with named(replica):
        yield replica


def test_a_home_with_bars_asks_no_host_and_gives_the_same_weights(
    exchange: Replica, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    finished, home = finished_home(tmp_path_factory)[0], own_copy(tmp_path_factory, tmp_path / "home")
    (home / "data" / "source.json").write_text('{"name": "binance"}')
    bars, weights = contents(home / "data" / "lake" / "daily_bars"), ("meta_fractal", "flattened_weights")
    store_of(home).lake.path(weights, CERTIFIED).unlink()
    result = sleevegraph("backfill", "--from", CERTIFIED, "--to", CERTIFIED, "--home", home)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("1 rebalances ")
    assert not exchange.log()["requests"]
    assert contents(home / "data" / "lake" / "daily_bars") == bars
    assert store_of(home).lake.digest(weights, CERTIFIED) == store_of(finished).lake.digest(weights, CERTIFIED)


def test_a_home_without_bars_fetches_them_first(
    exchange: Replica, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLEEVEGRAPH_SYMBOLS", "BTCUSDT")
    on, home = "2025-02-03", tmp_path / "home"
    result = sleevegraph("backfill", "--source", "binance", "--from", on, "--to", on, "--home", home)
    assert result.exit_code == 0, result.output
    assert exchange.log()["requests"]["zip"] > 0
    assert str(store_of(home).lake.newest_bar()) == "2025-02-09"
