"""`sleevegraph doctor`: what this installation and this home have, and what is wrong with them."""

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import numpy as np
import polars as pl

from assets.keys import stage
from commands.home import with_home
from commands.stored import warning_of
from profiles.sound import load_sound
from resources.binance.market_lake import MarketLake
from resources.grid import GRID
from resources.home import Home
from resources.lake import AssetPath, Lake, Status
from resources.places import UnreachableLakeError, for_each
from resources.postgres import POSTGRES_VARIABLE
from resources.preflight import preflight
from resources.receipts import Receipts
from resources.records import require_sqlite
from resources.solver_pool import submit, unavailable
from resources.store import recorded_source
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.engines.problem import Problem
from sleevegraph.engines.registry import engine_named, engine_names
from sleevegraph.errors import ConfigurationError, SleevegraphError
from sleevegraph.market_data.datasets import DATASETS
from sleevegraph.risk_profiles.solver import pose
from sleevegraph.tournament import Task

PACKAGES = ("dagster", "polars", "duckdb", "numpy", "scipy", "daqp", "skfolio", "riskfolio-lib")
TIME_LIMIT = 30.0
"""Seconds that an engine may take for a small problem."""
PROBLEM = "problem"
BEHIND = 2
"""Days that the newest bar of an exchange may be behind today: yesterday's bar is over, an ingest may still have to come."""

Line = tuple[str, str]


@click.command()
@click.option("--settings", is_flag=True, help="Try the settings of the environment alone, as before a service starts.")
@with_home
def doctor(home: Home, *, settings: bool) -> None:
    """Show Python, packages, engines, home, bars, grid position and verdicts; exit 1 if anything is broken."""
    broken = False
    every = (_installation(), _engines(), _settings(home), _home(home), _market(home), _grid(home), _verdicts(home))
    for parts in (_settings(home),) if settings else every:
        for what, text in parts:
            broken = broken or what == PROBLEM
            click.echo(f"{f'{what}:':<18} {text}")
    if broken:
        raise click.exceptions.Exit(1)


def _installation() -> Iterator[Line]:
    yield "python", f"{sys.version.split()[0]} ({sys.executable})"
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield PROBLEM, f"{package}: expected it installed, found nothing; run make install"


def _settings(home: Home) -> Iterator[Line]:
    """What the environment names, tried."""
    troubles = [str(trouble) for trouble in preflight()]
    try:
        if not os.environ.get(POSTGRES_VARIABLE):
            require_sqlite(home)
    except ConfigurationError as error:
        troubles.append(str(error))
    yield from ((PROBLEM, trouble) for trouble in troubles)
    if not troubles:
        yield "settings", "all that are set work"


def _engines() -> Iterator[Line]:
    """Let every engine solve a small problem where it would solve in a run: in a process of its own."""
    named = _named_engines()
    names = []
    for name in sorted(engine_names(), key=lambda name: name not in named):
        try:
            engine_named(name)
            names.append(name)
        except ConfigurationError as error:
            yield (PROBLEM if name in named else f"engine {name}"), str(error)
    missing = unavailable(names)
    window = np.random.default_rng(0).normal(0.0, 0.02, (60, 5))
    problem = pose(window, cap=1.0, covariance="sample")
    assert isinstance(problem, Problem)  # noqa: S101 - normal noise can always be posed
    asked = [Task(name, min(engine_named(name).profiles), problem, TIME_LIMIT) for name in names if name not in missing]
    solved = {pending.task.engine: pending.outcome() for pending in submit(asked)}
    for name in names:
        outcome = solved.get(name)
        if outcome is not None and outcome.solution.status == "native":
            yield f"engine {name}", f"works ({outcome.milliseconds:.1f} ms for {min(engine_named(name).profiles)})"
            continue
        text = f"engine {name} does not work: {missing[name] if outcome is None else outcome.solution.reason}"
        yield (PROBLEM, text) if name in named else (f"engine {name}", f"not in use; {text}")


def _named_engines() -> set[str]:
    """Engines that some sleeve names; profiles that cannot be read are reported with the grid."""
    try:
        return {engine for sleeve in load_sound().profiles.manifest.sleeves for engine in sleeve.risk.engines}
    except SleevegraphError:
        return {"native"}


def _home(home: Home) -> Iterator[Line]:
    where = home.root
    while not where.exists():
        where = where.parent
    yield "home", f"{home.root}" + ("" if where == home.root else " (does not exist yet; backfill makes it)")
    yield "lake", str(home.lake)
    for folder in (where, home.dagster, *(folder for folder in (home.lake, home.receipts) if isinstance(folder, Path))):
        try:
            if folder == where or folder.exists():
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            yield PROBLEM, f"home: expected a folder that can be written to at {folder}, found: {error.strerror}"
    usage = shutil.disk_usage(where)
    yield "free disk", f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB"


def _market(home: Home) -> Iterator[Line]:
    try:
        source = recorded_source(home)
        path = source.get("path")
        if not source:
            yield "source", "none yet"
        elif path and not Path(path).exists():
            yield "source", f"{source['name']}, {path} (not there any more: no new bars until it is back)"
        else:
            yield "source", ", ".join(filter(None, (source["name"], path)))
        if warning_of(home):
            yield "SIMULATED", warning_of(home)
        newest = Lake(home.lake).newest_bar()
    except SleevegraphError as error:
        yield PROBLEM, f"bars: {error}"
        return
    if source.get("name") == "binance":
        yield from _exchange(home, newest)
        return
    if newest is None:
        advice = f"sleevegraph backfill --home {home.root} --from DATE --to DATE --source files --path FILE"
        yield "newest bar", f"no bars yet; run {advice} (or --source simulated)"
        return
    age = (datetime.now(UTC).date() - newest).days
    yield "newest bar", f"{newest}, {age} days old"


def _exchange(home: Home, newest: date | None) -> Iterator[Line]:
    """Bars that an ingest brings up to date, and files that it could not store."""
    advice = f"run sleevegraph ingest --home {home.root}"
    if newest is None:
        yield "newest bar", f"no daily bars yet; {advice}"
    else:
        age = (datetime.now(UTC).date() - newest).days
        yield "newest bar", f"{newest}, {age} days behind today"
        if age > BEHIND:
            yield PROBLEM, f"bars: expected the newest at most {BEHIND} days behind today, found {newest}; {advice}"
    lake = MarketLake(home.market)
    broken = pl.concat([lake.quarantine(dataset).files() for dataset in DATASETS.values()])
    if broken.height:
        key, reason = broken.select("key", "reason").row(0)
        first = reason if reason.startswith(key) else f"{key}: {reason}"
        yield "warning", f"{broken.height} files in quarantine, which every ingest tries again; first {first}"


def _grid(home: Home) -> Iterator[Line]:
    passed = GRID.get_last_partition_key()
    if passed is not None:
        following = date.fromisoformat(passed) + timedelta(days=STEP_DAYS)
        yield "grid", f"every {STEP_DAYS} days, the last that has passed is {passed}, the next is {following}"
    lake = Lake(home.lake)
    try:
        sound = load_sound()
    except SleevegraphError as error:
        yield PROBLEM, f"profiles: {error}"
        return
    for one in sound.refused:
        yield PROBLEM, f"{one.kind} {one.name} is refused: {one.reason}"
    for meta in (meta.name for meta in sound.profiles.manifest.metas):
        stored = lake.partitions(stage(meta, "flattened_weights"))
        if not stored:
            yield meta, "no rebalance stored"
            continue
        expected = grid_dates(date.fromisoformat(stored[0]), date.fromisoformat(stored[-1]))
        missing = [str(day) for day in expected if str(day) not in stored]
        holes = f"missing in between {len(missing)}, first {missing[0]}" if missing else "none missing in between"
        yield meta, f"{len(stored)} rebalances from {stored[0]} to {stored[-1]}, {holes}"


def _verdicts(home: Home) -> Iterator[Line]:
    """Read every partition's header and every receipt."""
    lake = Lake(home.lake)
    stands: Counter[str] = Counter()
    with lake.one_look():
        standings = list(for_each(home.lake, lambda stored: _standing(lake, *stored), lake.stored()))
    stands.update(found for found in standings if found in set(Status))
    yield from ((PROBLEM, f"lake: {found}") for found in standings if found not in set(Status))
    yield "partitions", ", ".join(f"{count} {status}" for status, count in sorted(stands.items())) or "none"
    receipts, judged = Receipts(home.receipts, lake), Counter[str]()
    for receipt in for_each(home.receipts, lambda stored: receipts.read(*stored), receipts.stored()):
        judged["unreadable" if receipt is None else "passed" if receipt.passed else "failed"] += 1
    yield "receipts", ", ".join(f"{judged[verdict]} {verdict}" for verdict in ("passed", "failed", "unreadable"))


def _standing(lake: Lake, asset: AssetPath, partition: str) -> str:
    """How a partition stands, or what is wrong with it."""
    try:
        return lake.standing(asset, partition)[0].value
    except UnreachableLakeError:
        raise
    except SleevegraphError as error:
        return str(error)
