"""One backfill in this process, through Celery and Dask, with PostgreSQL and an S3-compatible lake: time, and whether bits are equal.

    python -m bench.executors [--bars FILE] [--from DATE] [--to DATE] [--only NAME ...]

Each backfill has a new home. Partitions, receipts, accepted warnings and the files of bundles are compared one by one; of
a partition with telemetry (how long a solve took), the rest of it. Exit code 1 when anything differs from the first row.
The servers, PostgreSQL and moto, are on this machine, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from resources import places
from resources.bundle_files import bundles_in, read_bundle, run_of
from resources.executors import EXECUTOR_VARIABLE, IN_PROCESS
from resources.postgres import POSTGRES_VARIABLE
from resources.store import Store
from tests.clusters import celery_environment, celery_workers, dask_environment
from tests.homes import environment
from tests.object_store import object_store
from tests.postgres import postgres_server

PROJECT = Path(__file__).resolve().parent.parent
BARS = PROJECT.parent / "shared" / "market" / "spot_daily.parquet"
FIRST, LAST = "2021-12-21", "2023-12-21"
"""The 74 rebalances that the recorded bars allow."""
SHOWN = 10

Contents = dict[str, str]
"""Digest by path."""


class Setting(NamedTuple):
    """One row: `variables` prepares a new home and says what its backfill runs with."""

    name: str
    variables: Callable[[Path], AbstractContextManager[Mapping[str, str]]]


class Row(NamedTuple):
    """What one backfill took and made."""

    seconds: float
    contents: Contents


def decided(root: Path) -> Contents:
    """Everything that a backfill decided, wherever the home's lake is by the environment."""
    store = Store(home=str(root))
    found = {"/".join(("lake", *asset, key)): store.lake.digest(asset, key) for asset, key in store.lake.stored()}
    for folder in (store.folders.receipts, store.folders.acceptances):
        for parts in places.below(folder):
            content = places.content(folder.joinpath(*parts))[1]
            found["/".join((folder.name, *parts))] = sha256(content).hexdigest()
    runs = store.folders.runs
    for bundle in bundles_in(runs) if not isinstance(runs, Path) or runs.is_dir() else ():
        files = read_bundle(bundle).files
        found |= {f"runs/{run_of(bundle)}/{name}": sha256(content).hexdigest() for name, content in files.items()}
    return found


@contextmanager
def in_process(_root: Path) -> Iterator[Mapping[str, str]]:
    """The default."""
    yield {EXECUTOR_VARIABLE: IN_PROCESS}


@contextmanager
def celery(root: Path) -> Iterator[Mapping[str, str]]:
    """Two workers, and a folder as broker."""
    with celery_workers(root):
        yield celery_environment(root)


@contextmanager
def dask(root: Path) -> Iterator[Mapping[str, str]]:
    """A cluster on this machine, as it is without a scheduler."""
    yield dask_environment(root)


@contextmanager
def postgres(_root: Path) -> Iterator[Mapping[str, str]]:
    """In this process, with runs, events and schedules in PostgreSQL."""
    with postgres_server() as url:
        yield {EXECUTOR_VARIABLE: IN_PROCESS, POSTGRES_VARIABLE: url}


@contextmanager
def objects(_root: Path) -> Iterator[Mapping[str, str]]:
    """In this process, with the lake in object storage."""
    with object_store() as variables:
        yield {EXECUTOR_VARIABLE: IN_PROCESS, **variables}


@contextmanager
def both(root: Path) -> Iterator[Mapping[str, str]]:
    """In this process, with everything on servers."""
    with postgres(root) as database, objects(root) as lake:
        yield {**database, **lake}


SETTINGS = (
    Setting("in process", in_process),
    Setting("celery, 2 workers", celery),
    Setting("dask", dask),
    Setting("postgres", postgres),
    Setting("s3", objects),
    Setting("postgres and s3", both),
)
"""The first is what the others are compared with."""


def backfilled(setting: Setting, root: Path, arguments: list[str]) -> Row:
    """Run one backfill in a new home."""
    root.mkdir()
    with setting.variables(root) as variables:
        began = time.perf_counter()
        command = ["-c", "from commands.main import main; main()", "backfill", "--home", str(root), *arguments]
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, *command],
            env=os.environ | {"PYTHONPATH": str(PROJECT)} | variables,
            check=False,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"{setting.name}: {done.stderr.strip()}")
        with environment(**variables):
            contents = decided(root)
    return Row(seconds, contents)


def differences(found: Contents, expected: Contents) -> list[str]:
    """Paths that only one side has, or whose content differs."""
    return sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))


def main() -> None:
    """Print the table, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=Path, default=BARS)
    parser.add_argument("--from", dest="first", default=FIRST)
    parser.add_argument("--to", dest="last", default=LAST)
    parser.add_argument("--only", nargs="+", choices=[setting.name for setting in SETTINGS], help="and the first")
    given = parser.parse_args()
    arguments = ["--source", "files", "--path", str(given.bars.resolve()), "--from", given.first, "--to", given.last]
    wanted = [s for s in SETTINGS if given.only is None or s.name in given.only or s is SETTINGS[0]]
    print("| setting | seconds | files | that differ |\n|---|---|---|---|")
    expected: Contents = {}
    differ: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sleevegraph-") as folder:
        for setting in wanted:
            row = backfilled(setting, Path(folder) / setting.name.partition(",")[0].replace(" ", "_"), arguments)
            expected = expected or row.contents
            found = differences(row.contents, expected)
            print(f"| {setting.name} | {row.seconds:.1f} | {len(row.contents)} | {len(found)} |", flush=True)
            differ += [f"{setting.name}: {path}" for path in found]
    for line in differ[:SHOWN]:
        print(line)
    if differ:
        sys.exit(1)


if __name__ == "__main__":
    main()
