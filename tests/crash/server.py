"""Attempts at a backfill, each in a child of one process that has all imports and has begun no thread of Polars yet.

Started as a module. Reads a request per line from stdin, answers each with a line: how the attempt ended, and at what.
"""

import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import dagster as dg
import polars as pl

import profiles.sound
from profiles.load import load_manifest
from resources.provenance import environment
from sleevegraph.manifest import Manifest
from tests.crash.deaths import Death, Notes, await_death, processor_seconds, writes_seen
from tests.crash.planted import plant

if TYPE_CHECKING:
    from tests.homes import TemporaryHome

PATIENCE_SECONDS = 900
"""Far more than an attempt takes, for machines that are busy with something else."""
TICK_SECONDS = 0.005
EARLY = ("empyrical", "matplotlib.backends.backend_agg", "matplotlib.figure", "resources.dagster_storage", "upath")
"""What an attempt would import when it comes to it, which takes a second of each."""
SEGMENTS = {
    "judged": ("universe",),
    "solved": ("synthetic_returns", "solver_cells", "risk_weights"),
    "traded": ("meta_weights", "flattened_weights", "trade_list"),
    "bundled": ("audit_bundle", "certification_board"),
}
"""Assets by the last part of their path, for attempts at a part of the grid where everything else is whole."""


@dataclass(frozen=True)
class Attempt:
    """A backfill: of which bars and rebalances, in which home, written by whom, and how it dies."""

    root: str
    keys: list[str]
    restated: bool = False
    death: Death | None = None
    planted: str = ""
    """Name of a defect in planted.py."""
    parts: Sequence[str] = ("bars", "grid", "warehouse")
    segment: str = ""
    """Of the grid, if not all of it; see SEGMENTS."""
    landing: str = ""
    """Part of a path: once such a file is in place, bars with one restated are ingested by another process."""


@dataclass(frozen=True)
class Ended:
    """How an attempt ended; `left` are processes of it that outlived it by more than some seconds."""

    code: int
    phase: str
    said: str
    steps: dict[str, int]
    seconds: float
    left: bool


@cache
def definitions() -> dg.Definitions:
    """Two sleeves and their meta."""
    from definitions import build_definitions  # noqa: PLC0415 - see prepare
    from tests.homes import small_manifest  # noqa: PLC0415 - see prepare

    small = small_manifest()
    return build_definitions(Manifest(market=small.market, sleeves=small.sleeves, metas=small.metas[:1]))


def prepare() -> None:
    """Import everything. Whoever assembles metas sets Polars' threads to work, which no child would have: not yet."""
    manifest = load_manifest().model_copy(update={"sleeves": (), "families": (), "metas": ()})
    nothing = SimpleNamespace(profiles=SimpleNamespace(manifest=manifest), refused=())
    with patch.object(profiles.sound, "load_sound", return_value=nothing):
        importlib.import_module("tests.homes")
    for name in EARLY:
        importlib.import_module(name)
    resource_tracker.ensure_running()  # outlives the killed, and clears their semaphores away
    environment()  # the same for all attempts, whoever edits the program meanwhile
    threads = {task.joinpath("comm").read_text(encoding="ascii").strip() for task in Path("/proc/self/task").iterdir()}
    assert not {name for name in threads if name.startswith(("polars-0", "tokio"))}, threads


def backfill(attempt: Attempt) -> str:
    """What the command of that name does; why it failed, or nothing."""
    from tests.homes import TemporaryHome, cause  # noqa: PLC0415 - see prepare

    plant(attempt.planted)
    home = TemporaryHome(Path(attempt.root), definitions())
    parts = {
        "bars": lambda: home.ingest(bars(restated=attempt.restated)),
        "grid": lambda: home.run(*attempt.keys, **selected(home, attempt.segment)),
        "warehouse": home.refresh_warehouse,
    }
    for part in attempt.parts:
        result = parts[part]()
        if not result.success:
            return cause(result)
    home.close()
    return ""


def selected(home: "TemporaryHome", segment: str) -> dict[str, Any]:
    """Assets of a segment with their checks; nothing for the whole grid."""
    if not segment:
        return {}
    graph = home.defs.resolve_asset_graph()
    assets = [tuple(key.path) for key in graph.get_all_asset_keys() if key.path[-1] in SEGMENTS[segment]]
    checks = [(tuple(key.asset_key.path), key.name) for key in graph.asset_check_keys]
    return {"assets": assets, "checks": [(path, name) for path, name in checks if path in assets]}


def bars(*, restated: bool) -> pl.DataFrame:
    """The small market, with one close of it restated or not."""
    from tests.homes import small_market  # noqa: PLC0415 - see prepare

    one = (pl.col("symbol") == "BINANCE:BTCUSDT") & (pl.col("date") == pl.date(2022, 1, 5))
    market = small_market()
    return market.with_columns(close=pl.when(one).then(pl.col("low")).otherwise("close")) if restated else market


def child(attempt: Attempt, notes: Notes, pipe: int, barrier: int) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    landed = False

    def reached(path: str) -> None:
        nonlocal landed
        if attempt.landing and attempt.landing in path and not landed:
            landed = True
            os.write(barrier, b"?")
            os.read(barrier, 1)  # until the other process has ended

    steps = await_death(Path(attempt.root), attempt.death or Death("", 0), notes, reached)
    said = backfill(attempt)
    os.write(pipe, json.dumps({"said": said, "steps": steps, "seconds": time.process_time()}).encode())


@dataclass
class Running:
    """A child that runs an attempt."""

    attempt: Attempt
    pid: int
    notes: Notes
    answer: int
    barrier: socket.socket


def start(attempt: Attempt) -> Running:
    """Fork an attempt."""
    notes, (read, write), (ours, theirs) = Notes(), os.pipe(), socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            child(attempt, notes, write, theirs.fileno())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must not go on as a server
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    theirs.close()
    return Running(attempt, pid, notes, read, ours)


def finish(running: Running) -> Ended:
    """Wait for a child, kill it if it dies from outside, and see what is left of it."""
    code = watch(running)
    with os.fdopen(running.answer, "rb") as pipe:
        found = json.loads(pipe.read() or b'{"said": "", "steps": {}, "seconds": 0}')
    running.barrier.close()
    return Ended(code, running.notes.phase(), **found, left=not gone(running.pid))


def watch(running: Running) -> int:
    attempt, pid = running.attempt, running.pid
    death, until = attempt.death, time.monotonic() + PATIENCE_SECONDS
    written = writes_seen(Path(attempt.root, "dagster_home", "history", "runs", "index.db-wal"))
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if attempt.landing and select.select([running.barrier], [], [], 0)[0] and running.barrier.recv(1):
            ingest = finish(start(Attempt(attempt.root, [], restated=True, parts=["bars"])))
            assert not ingest.said, ingest
            running.barrier.send(b"!")
        if death and death.step == "events" and next(written) >= death.number:
            running.notes.enter("events")
            os.killpg(pid, signal.SIGKILL)
        elif time.monotonic() > until or (death and death.step == "cpu" and processor_seconds(pid) >= death.number):
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.0005 if death and death.step == "events" else TICK_SECONDS)


def gone(group: int) -> bool:
    """Whether every process of an attempt ends by itself within some seconds; what does not is ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(TICK_SECONDS)
    os.killpg(group, signal.SIGKILL)
    return False


def main() -> None:
    prepare()
    for line in sys.stdin:
        together = [start(attempt_of(request)) for request in json.loads(line)]
        sys.stdout.write(json.dumps([asdict(finish(running)) for running in together]) + "\n")
        sys.stdout.flush()


def attempt_of(request: dict[str, Any]) -> Attempt:
    return Attempt(**{**request, "death": Death(**request["death"]) if request["death"] else None})


if __name__ == "__main__":
    main()
