"""What `sleevegraph ingest` refuses or cannot do: one line that says what to do, and the lake as it was."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import disk_usage
from time import sleep

import polars as pl
import pytest

from resources.binance.lock import ingest_lock
from resources.store import Store
from sleevegraph.market_data.datasets import DATASETS
from tests.browser import PROJECT
from tests.command_homes import refused, simulated
from tests.ingest_command import BTC, CLI, ingest, named, process_environment, rejected, stored
from tests.replica import markets
from tests.replica.handle import Replica

NOT_YET = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
USAGE = "; see sleevegraph ingest --help"
BAD = {
    "interval": (("--interval", "2h"), "Invalid value for '--interval': '2h' is not one of '1d', '1h', '15m'" + USAGE),
    "dataset": (("--dataset", "um_metric"), "Invalid value for '--dataset': 'um_metric' is not one of "),
    "both-datasets": (
        ("--interval", "1h", "--dataset", "um_metrics"),
        "--interval: expected none beside --dataset um_metrics, found 1h",
    ),
    "both-symbols-and-quotes": (
        ("--symbols", "BTCUSDT", "--quotes", "USDT"),
        "--quotes: expected none beside --symbols; give one of them",
    ),
    "before-listing": (
        ("--quotes", "USDT", "--from", "2024-10-31"),
        "--from: expected 2024-11 or later, when BTCUSDT, the first of the chosen symbols, was listed, found 2024-10-31",
    ),
    "before-listing-of-hours": (
        ("--symbols", "NEWUSDT", "--interval", "1h", "--from", "2024-11-30"),
        "spot_klines_1h: --from: expected 2024-12 or later, when NEWUSDT, ",
    ),
    "no-date": (("--from", "2025-02-30"), "--from: expected a date as YYYY-MM-DD, found '2025-02-30'" + USAGE),
    "future": (
        ("--from", NOT_YET),
        "--from: expected a day up to today, ",
    ),
    "before-the-exchange": (
        ("--from", "2017-07-31"),
        "--from: expected 2017-08-01, the month of Binance's first bar, or later, found 2017-07-31",
    ),
    "no-symbol": (("--symbols", " ,"), "--symbols: expected at least one name, found ' ,'" + USAGE),
    "no-quote": (("--quotes", ","), "--quotes: expected at least one name, found ','" + USAGE),
    "empty-symbols": (("--symbols", ""), "--symbols: expected at least one name, found ''" + USAGE),
    "never-listed": (
        ("--symbols", "BTCUSDT,ETHUSD"),
        "--symbols: expected symbols that the exchange ever listed, found 'ETHUSD'; did you mean ETHUSDT?",
    ),
    "never-listed-there": (
        ("--symbols", "GONEUSDT", "--dataset", "um_metrics"),
        "um_metrics: --symbols: expected symbols that the exchange ever listed, found 'GONEUSDT'",
    ),
    "no-such-quote": (
        ("--quotes", "EUR,XXX"),
        "--quotes: expected a quote asset that some symbol trades in, found EUR, XXX among 6 symbols",
    ),
}


@pytest.mark.parametrize(("options", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(
    kept_btc_home: tuple[Path, Replica], options: tuple[str, ...], said: str
) -> None:
    home, server = kept_btc_home
    with named(server):
        assert rejected(home, *options).startswith(f"Error: {said}")


@pytest.mark.parametrize(
    "options",
    [("--interval", "1h", "--from", "2017-01-01"), ("--from", NOT_YET, "--dataset", "um_metrics"), ("--quotes", ",")],
)
def test_what_no_host_need_be_asked_about_is_refused_before_there_is_a_home(
    binance_home: Path, replica: Replica, options: tuple[str, ...]
) -> None:
    refused("ingest", *options, "--home", binance_home)
    assert not binance_home.exists()
    assert not replica.log()["requests"]


def test_a_home_of_other_bars_is_refused(binance_home: Path) -> None:
    (binance_home / "data").mkdir(parents=True)
    simulated(binance_home)
    expected = f"Error: market source: expected 'simulated', which {binance_home} already holds bars of, found 'binance'; use another home\n"
    assert rejected(binance_home) == expected
    assert rejected(binance_home, "--dry-run") == expected


def test_a_home_in_which_another_ingest_is_at_work_is_refused_and_a_dry_run_is_not(
    btc_home: Path, replica: Replica
) -> None:
    replica.latency(0.3)
    own = process_environment(replica)
    command = [*CLI, "ingest", "--quotes", "USDT", "--interval", "1h", "--home", str(btc_home)]
    replica.reset_log()
    other = subprocess.Popen(command, cwd=PROJECT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "zip" not in replica.log()["requests"]:
            assert other.poll() is None
            sleep(0.1)
        said = refused("ingest", "--home", btc_home)
        assert said == (
            f"Error: {btc_home / 'data' / 'market'}: expected no other ingest, found one at work (process {other.pid}); "
            "wait for it or stop it\n"
        )
        assert "nothing was fetched" in ingest(btc_home, "--dry-run")
        out, err = other.communicate(timeout=60)
    finally:
        other.kill()
    assert (other.returncode, err) == (0, ""), out
    assert ingest(btc_home)
    with ingest_lock(btc_home / "data" / "market" / "ingest.lock"):
        pass  # nobody holds it any more


def test_where_no_host_of_the_api_serves_this_place_it_is_said_what_to_set(btc_home: Path, replica: Replica) -> None:
    for role, how in (("api0", "451"), ("api1", "403"), ("api2", "400")):
        replica.restrict(role, how)
    said = rejected(btc_home)
    assert said.startswith("Error: expected an answer from the REST API, found the last of 3 hosts not to give one: ")
    assert "(HTTP 400); set SLEEVEGRAPH_BINANCE_API to hosts that serve you; everything else is stored" in said
    replica.restrict("api2", None)
    assert ingest(btc_home)


@pytest.mark.parametrize("role", ["archive", "listing"])
def test_a_host_that_is_down_is_named_and_the_next_ingest_goes_on(btc_home: Path, replica: Replica, role: str) -> None:
    replica.archive_until(None)
    replica.restrict(role, "down")
    said = rejected(btc_home)
    assert replica.url(role) in said
    assert "; try again later" in said
    replica.restrict(role, None)
    assert "1 files stored" in ingest(btc_home)


@pytest.mark.parametrize(("pattern", "damage"), [("archive-*", "cut"), ("rest-*", "scrambled")])
def test_a_damaged_file_of_the_lake_is_named_and_once_deleted_it_is_fetched_again(
    btc_home: Path, pattern: str, damage: str
) -> None:
    good = stored(btc_home)
    (path,) = (btc_home / "data" / "market").rglob(f"{pattern}.parquet")
    body = path.read_bytes()
    half = len(body) // 2
    path.write_bytes(body[:half] if damage == "cut" else body[:4] + bytes(half) + body[4 + half :])
    said = rejected(btc_home)
    assert said.startswith(f"Error: {path}: expected a file written by an ingest, found ")
    assert said.endswith("; delete it and ingest its month again\n")
    path.unlink()
    assert ingest(btc_home)
    names = {name for name in stored(btc_home) if name.startswith("lake/daily_bars/")}
    assert names
    assert {name: stored(btc_home)[name] for name in names} == {name: good[name] for name in names}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs leave to mount a file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.usefixtures("binance_home")
def test_a_full_disk_is_said_what_was_stored_stays_and_the_next_ingest_goes_on(small_disk: Path) -> None:
    home = small_disk / "home"
    assert ingest(home, *BTC)
    before = stored(home)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(disk_usage(small_disk).free - 150_000))
    said = refused("ingest", "--quotes", "USDT", "--from", "2024-11-01", "--interval", "1h", "--home", home)
    assert re.fullmatch(
        rf"Error: {home}: expected room on its disk, found \d.* left \(.*\); make room and run this again\n", said
    ), said
    after = stored(home)
    assert {name: after[name] for name in before} == before
    ballast.unlink()
    assert "spot_klines_1h: 6 symbols: " in ingest(home, "--quotes", "USDT", "--from", "2024-11-01", "--interval", "1h")
    rows = Store(home=str(home)).market_lake.rows(DATASETS["spot_klines_1h"])
    expected = markets.small_market()["spot_klines_1h"].filter(
        pl.col("open_time") < datetime(2025, 2, 10, 13, tzinfo=UTC)
    )
    assert rows.equals(expected.select(rows.columns).sort("symbol", "open_time"))
