"""`sleevegraph ingest` against the replica: what it fetches, what it says, and what it refuses."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from commands import doctor
from resources.binance import environment as binance_environment
from resources.binance.lock import ingest_lock
from resources.binance.settings import BinanceSettings
from resources.lake import Lake
from resources.store import Store
from sleevegraph.market_data.datasets import DATASETS
from tests.browser import PROJECT, variables
from tests.command_homes import refused, simulated, sleevegraph
from tests.exchange_homes import contents
from tests.replica import markets
from tests.replica.handle import Replica

CLI = [sys.executable, "-c", "from commands.main import main; main(prog_name='sleevegraph')"]
BTC = ("--symbols", "BTCUSDT", "--from", "2025-02-01")
"""Eight files and the days that the archive does not have yet."""

Ingest = Callable[..., str]


@contextmanager
def named(replica: Replica) -> Iterator[None]:
    """Let the environment name a replica, and a host that is down be given up soon."""
    quick = partial(BinanceSettings, attempts=2, backoff_seconds=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binance_environment, "BinanceSettings", quick)
        for name, value in replica.environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def home(tmp_path: Path, replica: Replica) -> Iterator[Path]:
    """A new home beside a replica."""
    with named(replica):
        yield tmp_path / "home"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, small_tree: Path) -> Iterator[tuple[Path, Replica]]:
    """A home with the bars of BTC that no test changes, and its replica."""
    root = tmp_path_factory.mktemp("kept") / "home"
    with Replica(small_tree) as server:
        server.now(markets.SMALL_NOW)
        server.archive_until(markets.SMALL_ARCHIVE_UNTIL)
        with named(server):
            ingest(root, *BTC)
        yield root, server


@pytest.fixture
def filled(home: Path) -> Path:
    """The same with the bars of BTC."""
    assert ingest(home, *BTC)
    return home


def ingest(home: Path, *options: str) -> str:
    """What a successful ingest says on stdout; it says nothing on stderr."""
    result = sleevegraph("ingest", *options, "--home", home)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


NOTES = ("market/ingest.lock", "lake/exchange_info/", "market/spot_klines_1d/calendar.parquet")
"""What says how things stood at an ingest: who held the lock, what the exchange said, what the archive listed."""


def stored(home: Path) -> dict[str, bytes]:
    """Every file of the home's data but NOTES."""
    return {name: body for name, body in contents(home / "data").items() if not name.startswith(NOTES)}


def rejected(home: Path, *options: str) -> str:
    """The one line of an ingest that must not succeed nor change what is stored."""
    before = stored(home)
    said = refused("ingest", *options, "--home", home)
    assert stored(home) == before
    return said


def in_a_process(replica: Replica, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does."""
    command = [*CLI, *map(str, arguments)]
    own = variables(Path("unused")) | replica.environment()
    own.pop("DAGSTER_HOME")
    return subprocess.run(command, cwd=PROJECT, env=own, capture_output=True, text=True, timeout=120, check=False)


def test_a_dry_run_says_what_would_be_fetched_and_neither_fetches_nor_writes(home: Path, replica: Replica) -> None:
    said = ingest(home, "--dry-run")
    assert not home.exists()
    assert set(replica.log()["requests"]) == {"listing", "exchangeInfo"}
    rows = {row[0]: row[1:] for row in re.findall(r"│ (\S.*?) +│ +(\d+) │ +(.*?) │ +(\S*) │ +(\S*) │", said)}
    assert rows["new, monthly"][0] == "17"
    assert rows["new, monthly"][2:] == ("2024-11-01", "2025-01-31")
    assert rows["new, daily"][0] == "40"
    assert rows["stored already"][0] == "0"
    replica.reset_log()
    done = ingest(home)
    fetched = replica.log()
    assert fetched["requests"]["zip"] == 57
    total = f"{fetched['bytes']['zip'] / 1000:.1f} kB"
    assert said.splitlines()[-1] == f"57 files of {total} to fetch; nothing was fetched (--dry-run)"
    assert f"57 files stored (0 of them resumed, 0 restated), 0 unchanged, {total} transferred" in done
    before, dagster = stored(home), contents(home / "dagster_home")
    again = ingest(home, "--dry-run")
    assert re.search(r"stored already +│ +57 │", again)
    assert again.splitlines()[-1].startswith("0 files of 0 bytes to fetch")
    assert (stored(home), contents(home / "dagster_home")) == (before, dagster)


def test_a_run_and_the_next_one_in_a_pipe_say_one_line_and_dagster_says_nothing(
    tmp_path: Path, replica: Replica
) -> None:
    first = in_a_process(replica, "ingest", "--home", tmp_path / "home")
    assert (first.returncode, first.stderr) == (0, "")
    assert re.fullmatch(
        r"spot_klines_1d: 6 symbols: 57 files stored \(0 of them resumed, 0 restated\), 0 unchanged, \S+ kB transferred; "
        r"\d+ rows added, 0 revised, 15 by REST from 127\.0\.0\.1:\d+; \d+\.\d s\n",
        first.stdout,
    ), first.stdout
    replica.reset_log()
    second = in_a_process(replica, "ingest", "--home", tmp_path / "home")
    assert (second.returncode, second.stderr) == (0, "")
    assert (
        "0 files stored (0 of them resumed, 0 restated), 57 unchanged, 0 bytes transferred; 0 rows added"
        in second.stdout
    )
    assert set(replica.log()["requests"]) == {"listing", "exchangeInfo", "time"}


def test_doctor_finds_a_home_of_binance_healthy(kept: tuple[Path, Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "engine_names", lambda: ("native",))
    result = sleevegraph("doctor", "--home", kept[0])
    assert result.exit_code == 0, result.output
    assert re.search(r"^source: +binance$", result.stdout, re.MULTILINE)
    assert re.search(r"^newest bar: +2025-02-09, ", result.stdout, re.MULTILINE)


def test_a_screen_shows_a_bar_for_each_stage(tmp_path: Path, replica: Replica) -> None:
    screen, terminal = pty.openpty()
    replica.latency(0.02)
    own = variables(Path("unused")) | replica.environment() | {"TERM": "xterm", "COLUMNS": "120"}
    own.pop("DAGSTER_HOME")
    command = [*CLI, "ingest", "--home", str(tmp_path / "home")]
    process = subprocess.Popen(command, cwd=PROJECT, env=own, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    seen = "".join(_read(screen))
    assert process.wait(timeout=60) == 0, seen
    assert process.stdout is not None
    assert process.stdout.read().startswith("spot_klines_1d: 6 symbols: 57 files stored")
    process.stdout.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    for stage in ("listings", "files", "bars of the exchange"):
        assert re.search(rf"{stage} +[━╸╺ ]+ +\d+/\d+", plain), plain[-2000:]
    assert "57/57" in plain
    assert re.search(r"57/57 \d+\.\d kB", plain)
    assert "dagster" not in plain.lower()


def _read(screen: int) -> Iterator[str]:
    """What appears on a screen until the last process lets go of it."""
    while select.select([screen], [], [], 60)[0]:
        try:
            yield os.read(screen, 65536).decode(errors="replace")
        except OSError:  # nobody has the other end any more
            break
    os.close(screen)


def test_symbols_and_quotes_choose_who_is_fetched(home: Path) -> None:
    assert ": 2 symbols: " in ingest(home, "--symbols", "btcusdt, GONEUSDT", "--from", "2025-01-01")
    assert ": 2 symbols: " in ingest(home), "what the first ingest asked for is remembered"
    assert ": 6 symbols: " in ingest(home, "--quotes", "usdt")
    bars = Lake(home / "data" / "lake").known_bars()
    assert bars["symbol"].n_unique() == 6
    assert bars["date"].min() == date(2025, 1, 1)
    assert json.loads((home / "data" / "source.json").read_text())["symbols"] == "BTCUSDT, GONEUSDT"


@pytest.mark.parametrize(
    ("options", "dataset", "files"),
    [
        (("--interval", "1h"), "spot_klines_1h", 8),
        (("--dataset", "um_klines_1d"), "um_klines_1d", 8),
        (("--dataset", "um_metrics"), "um_metrics", 3),
        (("--dataset", "um_funding_rates", "--from", "2025-01-01"), "um_funding_rates", 1),
    ],
)
def test_other_datasets_are_chosen_by_interval_or_name_within_what_the_home_remembers(
    filled: Path, replica: Replica, options: tuple[str, ...], dataset: str, files: int
) -> None:
    before = stored(filled)
    said = ingest(filled, *options)
    assert said.startswith(f"{dataset}: 1 symbols: {files} files stored")
    rows = Store(home=str(filled)).market_lake.rows(DATASETS[dataset])
    assert rows["symbol"].unique().to_list() == ["BTCUSDT"]
    expected = markets.small_market()[dataset].filter(pl.col("symbol") == "BTCUSDT")
    assert rows.join(expected, on=rows.columns, how="semi", nulls_equal=True).height == rows.height > 0
    assert {name: body for name, body in stored(filled).items() if name in before} == before
    replica.reset_log()
    assert f"0 files stored (0 of them resumed, 0 restated), {files} unchanged" in ingest(filled, *options)
    assert "zip" not in replica.log()["requests"]


def test_a_file_that_stays_broken_or_is_listed_no_longer_is_told_on_stderr(home: Path, replica: Replica) -> None:
    key = "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-02-03.zip"
    replica.break_key(key, "corrupt")
    result = sleevegraph("ingest", *BTC, "--home", home)
    assert result.exit_code == 0, result.output
    assert "7 files stored" in result.stdout
    assert result.stderr.startswith(f"quarantined: {key}: ")
    assert result.stderr.count("\n") == 1


TOMORROW = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
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
        ("--from", TOMORROW),
        f"--from: expected a day up to today, {datetime.now(UTC).date()}, found {TOMORROW}",
    ),
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
    kept: tuple[Path, Replica], options: tuple[str, ...], said: str
) -> None:
    home, server = kept
    with named(server):
        assert rejected(home, *options).startswith(f"Error: {said}")


def test_a_home_of_other_bars_is_refused(home: Path) -> None:
    (home / "data").mkdir(parents=True)
    simulated(home)
    expected = f"Error: market source: expected 'simulated', which {home} already holds bars of, found 'binance'; use another home\n"
    assert rejected(home) == expected
    assert rejected(home, "--dry-run") == expected


def test_a_home_in_which_another_ingest_is_at_work_is_refused_and_a_dry_run_is_not(
    filled: Path, replica: Replica
) -> None:
    replica.latency(0.3)
    own = variables(Path("unused")) | replica.environment()
    own.pop("DAGSTER_HOME")
    command = [*CLI, "ingest", "--quotes", "USDT", "--interval", "1h", "--home", str(filled)]
    replica.reset_log()
    other = subprocess.Popen(command, cwd=PROJECT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "zip" not in replica.log()["requests"]:
            assert other.poll() is None
        said = refused("ingest", "--home", filled)
        assert said == (
            f"Error: {filled / 'data' / 'market'}: expected no other ingest, found one at work (process {other.pid}); "
            "wait for it or stop it\n"
        )
        assert "nothing was fetched" in ingest(filled, "--dry-run")
        out, err = other.communicate(timeout=60)
    finally:
        other.kill()
    assert (other.returncode, err) == (0, ""), out
    assert ingest(filled)
    with ingest_lock(filled / "data" / "market" / "ingest.lock"):
        pass  # nobody holds it any more


def test_where_no_host_of_the_api_serves_this_place_it_is_said_what_to_set(filled: Path, replica: Replica) -> None:
    for role, how in (("api0", "451"), ("api1", "403"), ("api2", "400")):
        replica.restrict(role, how)
    said = rejected(filled)
    assert said.startswith("Error: expected an answer from the REST API, found the last of 3 hosts not to give one: ")
    assert said.endswith("(HTTP 400); set SLEEVEGRAPH_BINANCE_API to hosts that serve you\n")
    replica.restrict("api2", None)
    assert ingest(filled)


@pytest.mark.parametrize("role", ["archive", "listing"])
def test_a_host_that_is_down_is_named_and_the_next_ingest_goes_on(filled: Path, replica: Replica, role: str) -> None:
    replica.archive_until(None)
    replica.restrict(role, "down")
    said = rejected(filled)
    assert replica.url(role) in said
    assert said.endswith("; try again later\n")
    replica.restrict(role, None)
    assert "1 files stored" in ingest(filled)


@pytest.mark.parametrize(("pattern", "damage"), [("archive-*", "cut"), ("rest-*", "scrambled")])
def test_a_damaged_file_of_the_lake_is_named_and_once_deleted_it_is_fetched_again(
    filled: Path, pattern: str, damage: str
) -> None:
    good = stored(filled)
    (path,) = (filled / "data" / "market").rglob(f"{pattern}.parquet")
    body = path.read_bytes()
    half = len(body) // 2
    path.write_bytes(body[:half] if damage == "cut" else body[:4] + bytes(half) + body[4 + half :])
    said = rejected(filled)
    assert said.startswith(f"Error: {path}: expected a file written by an ingest, found ")
    assert said.endswith("; delete it and ingest its month again\n")
    path.unlink()
    assert ingest(filled)
    names = {name for name in stored(filled) if name.startswith("lake/daily_bars/")}
    assert names
    assert {name: stored(filled)[name] for name in names} == {name: good[name] for name in names}


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


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("left", [0, 150_000])
def test_a_full_disk_is_said_what_was_stored_stays_and_the_next_ingest_goes_on(small_disk: Path, left: int) -> None:
    home = small_disk / "home"
    assert ingest(home, *BTC)
    before = stored(home)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - left))
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
