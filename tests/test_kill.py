"""A backfill that is killed leaves a readable lake, and running it again repairs what is missing, on Dagster's page too."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from definitions import defs
from resources.alive import report_dead
from resources.home import Home
from resources.receipts import State
from tests.crash.aftermath import defects, leftovers
from tests.homes import TemporaryHome, checks_of, small_market
from tests.ticks import on_record

PROJECT = Path(__file__).resolve().parent.parent
KEY = "2022-02-09"
FILES = 15 + 60
"""Months of bars, and partitions of every grid asset of the whole manifest."""
KILLS = (2, 41)
"""How many files of the lake a backfill may write before it dies: among the first bars, and among the solver's cells."""


def start(root: Path, bars: Path) -> "subprocess.Popen[str]":
    options = {"--home": root, "--source": "files", "--path": bars, "--from": KEY, "--to": KEY}
    arguments = [str(word) for option in options.items() for word in option]
    return subprocess.Popen(
        [sys.executable, "-c", "from commands.main import main; main()", "backfill", *arguments],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(lake: Path, since: float) -> int:
    """How many Parquet files of the lake are younger than a moment."""
    return sum(file.stat().st_mtime >= since for file in lake.rglob("[!.]*.parquet"))


def kill_after(root: Path, bars: Path, files: int) -> None:
    """Run a backfill and kill it as soon as it has written so many files."""
    began = time.time()
    process = start(root, bars)
    while process.poll() is None and written(Home(root).lake, began) < files:
        time.sleep(0.01)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"ended before it was killed: {said}"


def finish(root: Path, bars: Path) -> str:
    """Run a backfill to its end, and return what it said on stderr."""
    process = start(root, bars)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said


def statuses(home: TemporaryHome) -> list[dg.DagsterRunStatus]:
    """Of every run on Dagster's page, the oldest first."""
    return [run.status for run in reversed(home.instance.get_runs())]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    file = tmp_path / "bars.parquet"
    small_market().write_parquet(file)
    return file


@pytest.mark.slow
def test_a_backfill_killed_again_and_again_ends_as_one_that_never_was(
    new_home: Callable[[], TemporaryHome], bars: Path
) -> None:
    undisturbed, home = new_home(), new_home()
    assert finish(undisturbed.root, bars) == ""
    for files in KILLS:
        kill_after(home.root, bars, files)
        assert defects(home.root) == []
    before = statuses(home)
    assert before[-1] is dg.DagsterRunStatus.STARTED, "nobody has looked since"
    assert finish(home.root, bars).count("was killed before its end: now on record as failed") == 1
    after = statuses(home)
    assert after.count(dg.DagsterRunStatus.FAILURE) == len(KILLS)
    assert set(after[len(before) :]) == {dg.DagsterRunStatus.SUCCESS}
    assert dg.DagsterRunStatus.STARTED not in after
    assert leftovers(home.root) == []
    assert len(undisturbed.hashes(bars=True)) == FILES
    assert home.hashes(bars=True) == undisturbed.hashes(bars=True)
    for path, check in checks_of(defs):
        assert home.store.receipts.state(path, check, KEY) == (State.PASSED, "")


def test_a_run_whose_process_lives_is_left_alone(home: TemporaryHome) -> None:
    run_id = on_record(home, dg.DagsterRunStatus.STARTED, KEY)
    assert report_dead(home.instance) == []
    run = home.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.STARTED
