"""`sleevegraph ingest` against the replica: the command, in this process or one of its own, and homes for it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from resources.binance import environment as binance_environment
from resources.binance.settings import BinanceSettings
from tests.browser import variables
from tests.command_homes import refused, sleevegraph
from tests.exchange_homes import contents
from tests.replica import markets
from tests.replica.handle import Replica

CLI = [sys.executable, "-c", "from commands.main import main; main(prog_name='sleevegraph')"]
BTC = ("--symbols", "BTCUSDT", "--from", "2025-02-01")
"""Eight files and the days that the archive does not have yet."""


@contextmanager
def named(replica: Replica) -> Iterator[None]:
    """Let the environment name a replica, and a host that is down be given up soon."""
    quick = partial(BinanceSettings, attempts=2, backoff_seconds=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binance_environment, "BinanceSettings", quick)
        for name, value in replica.environment().items():
            patch.setenv(name, value)
        yield


@contextmanager
def home_of_btc(root: Path, tree: Path) -> Iterator[Replica]:
    """Make a home with the bars of BTC, and serve its replica."""
    with Replica(tree) as server:
        server.now(markets.SMALL_NOW)
        server.archive_until(markets.SMALL_ARCHIVE_UNTIL)
        with named(server):
            ingest(root, *BTC)
        yield server


def process_environment(replica: Replica) -> dict[str, str]:
    """Variables for the command in a process of its own, which is told its home by an option."""
    own = variables(Path("unused")) | replica.environment()
    own.pop("DAGSTER_HOME")
    return own


def ingest(home: Path, *options: str) -> str:
    """What a successful ingest says on stdout; it says nothing on stderr."""
    result = sleevegraph("ingest", *options, "--home", home)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


NOTES = (
    "market/ingest.lock",
    "market/request_weight.sqlite",
    "lake/exchange_info/",
    "market/spot_klines_1d/calendar/",
)
"""What says how things stood at an ingest: who held the lock, what the exchange was asked and said, what was listed."""


def stored(home: Path) -> dict[str, bytes]:
    """Every file of the home's data but NOTES."""
    return {name: body for name, body in contents(home / "data").items() if not name.startswith(NOTES)}


def rejected(home: Path, *options: str) -> str:
    """The one line of an ingest that must not succeed nor change what is stored."""
    before = stored(home)
    said = refused("ingest", *options, "--home", home)
    assert stored(home) == before
    return said
