"""Time the whole tournament as a backfill runs it: 4 sleeves x 73 rebalances x 8 profiles x 3 engines, in processes.

    python -m bench.tournament [--home HOME]

With `--home` the windows are those of a home that a backfill made, else 292 random ones of 25 assets, the most that a
sleeve may win. The clock starts before the first process and its imports, and stops when every cell has its status.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from bench.engines import random_window
from profiles.load import load_manifest
from resources.home import find_home
from resources.lake import Lake, Status
from resources.solver_pool import submit, unavailable
from sleevegraph.atoms import Atom
from sleevegraph.manifest import SleeveProfile
from sleevegraph.solver_cells import cells_frame
from sleevegraph.synthesis import wide_streams
from sleevegraph.tournament import Tournament, enter

WINDOWS, ASSETS = 73, 25
WANTED = 90.0
"""Seconds on two cores."""

Window = tuple[pl.DataFrame, list[Atom]]


def random_windows(sleeve: SleeveProfile, first: int) -> Iterator[Window]:
    """Streams of a three-factor model, each window of its own seed."""
    atoms = [Atom(f"TEST:A{i:02}USDT", sleeve.logic, sleeve.direction) for i in range(ASSETS)]
    for seed in range(first, first + WINDOWS):
        yield pl.DataFrame(random_window(seed, ASSETS), schema=[atom.id for atom in atoms]), atoms


def stored_windows(sleeve: SleeveProfile, lake: Lake) -> Iterator[Window]:
    """The newest windows of a home that were not blocked or sparse."""
    for key in lake.partitions((sleeve.name, "synthetic_returns"))[-WINDOWS:]:
        if lake.standing((sleeve.name, "synthetic_returns"), key)[0] is Status.OK:
            atoms, streams = wide_streams(lake.read((sleeve.name, "synthetic_returns"), key))
            winners = set(lake.read((sleeve.name, "winners"), key).filter("winner")["symbol"])
            yield streams, [atom for atom in atoms if atom.symbol in winners]


def entered(sleeve: SleeveProfile, windows: Iterator[Window], missing: dict[str, str]) -> list[Tournament]:
    """Every window posed to every engine."""
    passive = ["TEST:A00USDT"]
    return [enter(streams, atoms, passive, passive, sleeve, missing) for streams, atoms in windows]


def run(sleeves: Sequence[SleeveProfile], lake: Lake | None) -> tuple[float, Counter[tuple[str, str]]]:
    """Seconds for all, and how many cells of each engine have each status."""
    statuses: Counter[tuple[str, str]] = Counter()
    began = time.perf_counter()
    for number, sleeve in enumerate(sleeves):
        missing = unavailable(sleeve.risk.engines)
        windows = stored_windows(sleeve, lake) if lake else random_windows(sleeve, number * WINDOWS)
        asked = [
            (tournament, submit(list(tournament.tasks.values()))) for tournament in entered(sleeve, windows, missing)
        ]
        for tournament, pending in asked:
            cells = cells_frame(tournament, {(p.task.engine, p.task.profile): p.outcome() for p in pending})
            statuses.update(cells.select("engine", "status").iter_rows())
    return time.perf_counter() - began, statuses


def main() -> None:
    """Print the seconds and the statuses."""
    parser = argparse.ArgumentParser(description="Time the whole tournament.")
    parser.add_argument("--home", type=Path, help="a home with a backfill")
    home = parser.parse_args().home
    sleeves = load_manifest().sleeves
    seconds, statuses = run(sleeves, Lake(find_home(str(home)).lake) if home else None)
    print(f"{sum(statuses.values())} cells of {len(sleeves)} sleeves in {seconds:.1f} s, wanted at most {WANTED:.0f} s")
    print("\n| engine | status | cells |\n|---|---|---|")
    for (engine, status), count in sorted(statuses.items()):
        print(f"| {engine} | {status} | {count} |")


if __name__ == "__main__":
    main()
