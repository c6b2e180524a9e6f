"""A backfill that is killed leaves a readable lake, and running it again repairs what is missing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from definitions import defs
from resources.home import Home
from resources.receipts import State
from tests.homes import TemporaryHome, checks_of, small_market

PROJECT = Path(__file__).resolve().parent.parent
KEYS = ("2022-02-09", "2022-02-19")
FILES = 15 + 60 * len(KEYS)
"""Months of bars, and partitions of every grid asset of the whole manifest."""

KILLS = sorted(random.Random(20220209).sample(range(1, 59 * len(KEYS)), 4))  # noqa: S311 - only has to be arbitrary
"""How many partitions a run may write before it dies."""


def start(root: Path, bars: Path) -> subprocess.Popen[str]:
    command = [
        "backfill",
        "--home",
        str(root),
        "--source",
        "files",
        "--path",
        str(bars),
        "--from",
        KEYS[0],
        "--to",
        KEYS[-1],
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "from commands.main import main; main()", *command],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(lake: Path, since: float) -> int:
    """How many Parquet files of the lake are younger than a moment."""
    return sum(file.stat().st_mtime >= since for file in lake.rglob("[!.]*.parquet"))


def kill_after(root: Path, bars: Path, partitions: int) -> None:
    """Run a backfill and kill it as soon as it has written so many files."""
    began = time.time()
    process = start(root, bars)
    while process.poll() is None and written(Home(root).lake, began) < partitions:
        time.sleep(0.001)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"ended before it was killed: {said}"


def require_readable(root: Path) -> None:
    for file in Home(root).lake.rglob("[!.]*.parquet"):
        assert pl.read_parquet(file, glob=False).width > 1
        assert pl.read_parquet_metadata(file)["sleevegraph_status"] in {"OK", "CASH", "BLOCKED"}
    for file in Home(root).receipts.rglob("[!.]*.json"):
        assert file.read_text(encoding="utf-8").endswith("}\n")


def finish(root: Path, bars: Path) -> None:
    process = start(root, bars)
    _, said = process.communicate()
    assert process.returncode == 0, said


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    file = tmp_path / "bars.parquet"
    small_market().write_parquet(file)
    return file


@pytest.fixture
def undisturbed(new_home: Callable[[], TemporaryHome], bars: Path) -> TemporaryHome:
    home = new_home()
    finish(home.root, bars)
    return home


@pytest.mark.slow
def test_a_backfill_killed_again_and_again_ends_as_one_that_never_was(
    undisturbed: TemporaryHome, new_home: Callable[[], TemporaryHome], bars: Path
) -> None:
    home = new_home()
    kill_after(home.root, bars, 2)  # among the first bars
    require_readable(home.root)
    for partitions in KILLS:
        kill_after(home.root, bars, partitions)
        require_readable(home.root)
    finish(home.root, bars)
    assert len(undisturbed.hashes(bars=True)) == FILES
    assert home.hashes(bars=True) == undisturbed.hashes(bars=True)
    for path, check in checks_of(defs):
        for key in KEYS:
            assert home.store.receipts.state(path, check, key) == (State.PASSED, "")
