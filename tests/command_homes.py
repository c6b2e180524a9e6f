"""The commands, run in this process, and a home that `backfill` made once for all tests of commands."""

import json
import os
import shutil
from datetime import date
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from commands.main import main
from resources.home import Home
from resources.store import Store
from sleevegraph.simulated_market import simulated_bars

KEYS = ("2022-02-19", "2022-03-01", "2022-03-11", "2022-03-21")
"""The bars end on 2022-03-16, so the gate on bars blocks the last one."""
CERTIFIED, BLOCKED = KEYS[2], KEYS[3]


@cache
def market() -> pl.DataFrame:
    """A simulated market of 24 symbols."""
    return simulated_bars(date(2022, 3, 16), symbols=24)


def sleevegraph(*arguments: object) -> Result:
    """Run `sleevegraph` and leave the environment as it was, as the end of a process does."""
    before = dict(os.environ)
    try:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="sleevegraph")
    finally:
        os.environ.clear()
        os.environ.update(before)


def refused(*arguments: object) -> str:
    """Return the one line on stderr of a command that must not succeed."""
    result = sleevegraph(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def finished_home(factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Root of a home with every rebalance of KEYS, for all workers, and what `backfill` said on stdout and stderr."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root, said = shared / "finished_home", shared / "finished_home.json"
    with (shared / "finished_home.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not said.exists():
            bars = shared / "bars.parquet"
            market().write_parquet(bars)
            result = sleevegraph("backfill", "--from", KEYS[0], "--to", KEYS[-1], "--path", bars, "--home", root)
            assert result.exit_code == 0, result.output
            said.write_text(json.dumps([result.stdout, result.stderr]))
    stdout, stderr = json.loads(said.read_text())
    return root, stdout, stderr


def own_copy(factory: pytest.TempPathFactory, target: Path) -> Path:
    """Copy lake, receipts and bundles of the finished home to `target`, for a test that breaks something."""
    for folder in ("data", "runs"):
        shutil.copytree(finished_home(factory)[0] / folder, target / folder)
    return target


def store_of(home: Path) -> Store:
    """Lake and receipts of a home."""
    return Store(home=str(home))


def fail(home: Path, asset: tuple[str, ...], check: str, key: str, finding: str = "ERROR PLANTED: planted") -> None:
    """Turn a stored verdict into a failed one on the same partition."""
    path = store_of(home).receipts.path(asset, check, key)
    change(path, passed=False, findings=[finding])


def change(path: Path, **values: Any) -> None:
    """Overwrite some keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def simulated(home: Path) -> None:
    """Let a home say that its bars are simulated."""
    Home(home).source.write_text('{"name": "simulated"}\n')
