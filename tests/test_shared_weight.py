"""All that one home asks the exchange is within its limit: by steps, by processes, and by those that were killed."""

import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from resources.binance.ingest import Ingest
from resources.binance.market_lake import MarketLake
from resources.binance.progress import Silent
from resources.binance.settings import BinanceSettings
from resources.binance.survey import Request
from resources.binance.weight_ledger import FILE
from sleevegraph.errors import LakeError
from tests import exchange_homes
from tests.homes import TemporaryHome
from tests.ingest_driver import Death, run
from tests.ingests import BARS, ingest, market
from tests.replica.handle import Replica
from tests.replica.markets import SMALL_NOW
from tests.weight_driver import CONTEXT, PAGES, ask_for_everything

LIMIT = 40
"""Two readings of exchangeInfo, or one of them and ten answers of bars: an ingest of six symbols takes 31."""


def begun(root: Path, settings: BinanceSettings) -> BaseProcess:
    """A process that ingests daily bars into `root`."""
    process = CONTEXT.Process(target=run, args=(root, settings, Death(), root.with_suffix(".report"), BARS))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    process.join(60)
    return process.exitcode


def dry_run(root: Path, settings: BinanceSettings) -> None:
    planned = Ingest(MarketLake(root), settings, market().symbols, {}, Silent())
    planned.run(Request(BARS, ("USDT",), None, None, ()), lambda: None, dry_run=True)


def within_the_limit(replica: Replica) -> bool:
    return replica.violations() == 0 and 0 < replica.largest_weight() <= LIMIT


def test_ingests_in_a_row_in_processes_of_their_own_keep_the_limit_together(replica: Replica, tmp_path: Path) -> None:
    replica.limits(LIMIT, "SECOND", 2)
    root = tmp_path / "market"
    assert ended(begun(root, replica.settings())) == 0
    dry_run(root, replica.settings())
    assert ended(begun(root, replica.settings())) == 0
    assert replica.log()["requests"]["exchangeInfo"] == 3
    assert within_the_limit(replica)


def test_with_an_account_each_they_do_not(replica: Replica, tmp_path: Path) -> None:
    replica.limits(LIMIT)
    root = tmp_path / "market"
    for _ in range(2):
        assert ended(begun(root, replica.settings())) == 0
        (root / FILE).unlink()
    assert replica.violations() > 0


@pytest.mark.parametrize("steps", [("exchange_info", "daily_bars"), ()])
def test_the_steps_of_a_job_keep_the_limit_together_unless_the_account_is_lost_between_them(
    replica: Replica, new_home: Callable[[], TemporaryHome], steps: tuple[str, ...]
) -> None:
    replica.limits(LIMIT, "SECOND", 5 if steps else 2)
    replica.now(SMALL_NOW)  # where a window begins
    home = new_home()
    for step in steps:
        assert exchange_homes.ingest(home, replica, step).success
        (home.store.market_lake.root / FILE).unlink()
    if not steps:
        assert exchange_homes.ingest(home, replica).success
        assert replica.log()["requests"]["exchangeInfo"] == 2
    assert within_the_limit(replica) == (not steps)


def until_asked(replica: Replica, kind: str) -> None:
    """Wait for another request of a kind."""
    before, patience = replica.log()["requests"].get(kind, 0), time.monotonic() + 60
    while replica.log()["requests"].get(kind, 0) == before:
        assert time.monotonic() < patience
        time.sleep(0.005)


@pytest.mark.parametrize("lost", [False, True])
def test_ingests_that_are_killed_and_the_one_that_resumes_them_keep_the_limit_together_unless_the_account_is_lost(
    replica: Replica, tmp_path: Path, lost: bool
) -> None:
    replica.latency(0.1)
    replica.limits(LIMIT, *("MINUTE", 1) if lost else ("SECOND", 2))
    root, settings = tmp_path / "market", replica.settings(timeout_seconds=0.5)
    for kind in ("exchangeInfo", "exchangeInfo" if lost else "klines", "exchangeInfo"):
        process = begun(root, settings)
        until_asked(replica, kind)
        process.kill()
        assert ended(process) == -signal.SIGKILL
        if lost:
            (root / FILE).unlink()
    assert ended(begun(root, settings)) == 0
    assert within_the_limit(replica) != lost
    if not lost:
        ingest(MarketLake(tmp_path / "quiet"), replica.settings(), BARS)
        assert MarketLake(root).rows(BARS).equals(MarketLake(tmp_path / "quiet").rows(BARS))


@pytest.mark.parametrize("shared", [True, False])
def test_two_processes_at_once_keep_the_limit_together_where_they_share_an_account(
    replica: Replica, tmp_path: Path, shared: bool
) -> None:
    replica.limits(LIMIT, "SECOND", 1 if shared else 5)
    files = [tmp_path / (FILE if shared else str(number)) for number in range(2)]
    settings = replica.settings(attempts=8 if shared else 1)
    together = CONTEXT.Barrier(2)
    both = [CONTEXT.Process(target=ask_for_everything, args=(file, settings, together)) for file in files]
    for process in both:
        process.start()
    assert [ended(process) for process in both] == [0, 0]
    asked = replica.log()["requests"]
    assert not shared or (asked["exchangeInfo"], asked["klines"]) == (2, 2 * PAGES)
    assert within_the_limit(replica) == shared


def test_without_a_usable_account_nothing_is_asked(replica: Replica, tmp_path: Path) -> None:
    root = tmp_path / "market"
    ingest(MarketLake(root), replica.settings(), BARS)
    (root / FILE).write_bytes(b"?" * 4096)
    replica.reset_log()
    for attempt in (
        lambda: ingest(MarketLake(root), replica.settings(), BARS),
        lambda: dry_run(root, replica.settings()),
    ):
        with pytest.raises(LakeError, match=rf"{root / FILE}: expected the account of requests .* delete it and run"):
            attempt()
    assert replica.log()["requests"] == {}
