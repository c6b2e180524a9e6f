"""What `sleevegraph ingest` fetches and says, against the replica."""

import json
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from commands import doctor
from resources.lake import Lake
from resources.store import Store
from sleevegraph.market_data.datasets import DATASETS
from tests.browser import PROJECT
from tests.command_homes import sleevegraph
from tests.exchange_homes import contents, restate
from tests.ingest_command import BTC, CLI, ingest, process_environment, stored
from tests.replica import markets
from tests.replica.handle import Replica


def in_a_process(replica: Replica, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does."""
    command = [*CLI, *map(str, arguments)]
    own = process_environment(replica)
    return subprocess.run(command, cwd=PROJECT, env=own, capture_output=True, text=True, timeout=120, check=False)


def test_a_dry_run_says_what_would_be_fetched_and_neither_fetches_nor_writes(
    binance_home: Path, replica: Replica
) -> None:
    said = ingest(binance_home, "--dry-run")
    assert not binance_home.exists()
    assert set(replica.log()["requests"]) == {"listing", "exchangeInfo"}
    rows = {row[0]: row[1:] for row in re.findall(r"│ (\S.*?) +│ +(\d+) │ +(.*?) │ +(\S*) │ +(\S*) │", said)}
    assert rows["new, monthly"][0] == "17"
    assert rows["new, monthly"][2:] == ("2024-11-01", "2025-01-31")
    assert rows["new, daily"][0] == "40"
    assert rows["stored already"][0] == "0"
    replica.reset_log()
    done = ingest(binance_home)
    fetched = replica.log()
    assert fetched["requests"]["zip"] == 57
    total = f"{fetched['bytes']['zip'] / 1000:.1f} kB"
    assert said.splitlines()[-1] == f"57 files of {total} to fetch; nothing was fetched (--dry-run)"
    assert f"57 files stored, 0 unchanged, {total} transferred" in done
    before, dagster = stored(binance_home), contents(binance_home / "dagster_home")
    again = ingest(binance_home, "--dry-run")
    assert re.search(r"stored already +│ +57 │", again)
    assert again.splitlines()[-1].startswith("0 files of 0 bytes to fetch")
    assert (stored(binance_home), contents(binance_home / "dagster_home")) == (before, dagster)


def test_a_run_and_the_next_one_in_a_pipe_say_one_line_and_dagster_says_nothing(
    tmp_path: Path, replica: Replica
) -> None:
    first = in_a_process(replica, "ingest", "--home", tmp_path / "home")
    assert (first.returncode, first.stderr) == (0, "")
    assert re.fullmatch(
        r"spot_klines_1d: 6 symbols: 57 files stored, 0 unchanged, \S+ kB transferred; "
        r"\d+ rows added, 0 revised, 15 by REST from 127\.0\.0\.1:\d+; \d+\.\d s\n",
        first.stdout,
    ), first.stdout
    replica.reset_log()
    second = in_a_process(replica, "ingest", "--home", tmp_path / "home")
    assert (second.returncode, second.stderr) == (0, "")
    assert ": 0 files stored, 57 unchanged, 0 bytes transferred; 0 rows added" in second.stdout
    assert set(replica.log()["requests"]) == {"listing", "exchangeInfo", "time"}


def test_files_that_were_restated_are_counted_in_the_summary(btc_home: Path, replica: Replica) -> None:
    day = pl.col("open_time").dt.date() == date(2025, 2, 3)
    bar = markets.small_market()["spot_klines_1d"].filter(day, pl.col("symbol") == "BTCUSDT")
    key = "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-02-03.zip"
    restate(replica, "spot_klines_1d", key, bar.with_columns(pl.col("volume") * 2))
    assert ": 1 files stored (of them 1 restated), 7 unchanged, " in ingest(btc_home)


def test_doctor_finds_a_home_of_binance_behind_and_nothing_else_wrong(
    kept_btc_home: tuple[Path, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "engine_names", lambda: ("native",))
    result = sleevegraph("doctor", "--home", kept_btc_home[0])
    assert re.search(r"^source: +binance$", result.stdout, re.MULTILINE)
    assert re.search(r"^newest bar: +2025-02-09, ", result.stdout, re.MULTILINE)
    (problem,) = re.findall(r"^problem: +(.*)$", result.stdout, re.MULTILINE)
    found = "expected the newest at most 2 days behind today, found 2025-02-09"
    assert problem == f"bars: {found}; run sleevegraph ingest --home {kept_btc_home[0]}"
    assert "quarantine" not in result.stdout


def test_a_screen_shows_a_bar_for_each_stage(tmp_path: Path, replica: Replica) -> None:
    screen, terminal = pty.openpty()
    replica.latency(0.02)
    own = process_environment(replica) | {"TERM": "xterm", "COLUMNS": "120"}
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


def test_symbols_and_quotes_choose_who_is_fetched(binance_home: Path) -> None:
    assert ": 2 symbols: " in ingest(binance_home, "--symbols", "btcusdt, GONEUSDT", "--from", "2025-01-01")
    assert ": 2 symbols: " in ingest(binance_home), "what the first ingest asked for is remembered"
    assert ": 6 symbols: " in ingest(binance_home, "--quotes", "usdt")
    bars = Lake(binance_home / "data" / "lake").known_bars()
    assert bars["symbol"].n_unique() == 6
    assert bars["date"].min() == date(2025, 1, 1)
    assert json.loads((binance_home / "data" / "source.json").read_text())["symbols"] == "BTCUSDT, GONEUSDT"


@pytest.mark.parametrize(
    ("options", "dataset", "files"),
    [
        (("--interval", "1h"), "spot_klines_1h", 8),
        (("--dataset", "um_metrics"), "um_metrics", 3),
        (("--dataset", "um_funding_rates", "--from", "2025-01-01"), "um_funding_rates", 1),
    ],
)
def test_other_datasets_are_chosen_by_interval_or_name_within_what_the_home_remembers(
    btc_home: Path, replica: Replica, options: tuple[str, ...], dataset: str, files: int
) -> None:
    before = stored(btc_home)
    said = ingest(btc_home, *options)
    assert said.startswith(f"{dataset}: 1 symbols: {files} files stored")
    rows = Store(home=str(btc_home)).market_lake.rows(DATASETS[dataset])
    assert rows["symbol"].unique().to_list() == ["BTCUSDT"]
    expected = markets.small_market()[dataset].filter(pl.col("symbol") == "BTCUSDT")
    assert rows.join(expected, on=rows.columns, how="semi", nulls_equal=True).height == rows.height > 0
    assert {name: body for name, body in stored(btc_home).items() if name in before} == before
    replica.reset_log()
    assert f": 0 files stored, {files} unchanged" in ingest(btc_home, *options)
    assert "zip" not in replica.log()["requests"]


def test_a_file_that_stays_broken_is_told_on_stderr(binance_home: Path, replica: Replica) -> None:
    key = "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-02-03.zip"
    replica.break_key(key, "corrupt")
    result = sleevegraph("ingest", *BTC, "--home", binance_home)
    assert result.exit_code == 0, result.output
    assert "7 files stored" in result.stdout
    assert re.fullmatch(rf"quarantined: {re.escape(key)}: expected .*, found .*\n", result.stderr)
    reason = result.stderr.removeprefix("quarantined: ").strip()
    (warning,) = re.findall(r"^warning: +(.*)$", sleevegraph("doctor", "--home", binance_home).stdout, re.MULTILINE)
    assert warning == f"1 files in quarantine, which every ingest tries again; first {reason}"
