"""Which fault comes when, one soak from its first date to its last, and what an undisturbed run of the same dates gives."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from itertools import cycle

import polars as pl

from assets.certification_board import BOARD
from sleevegraph.calendar import grid_dates
from tests.crash.aftermath import LEDGERS
from tests.homes import TemporaryHome, made_home
from tests.soak import faults
from tests.soak.driver import Soak
from tests.soak.faults import STEP, Fault

FIRST = date(2022, 2, 19)
"""Of the small market, with bars enough behind it."""

SHORT: tuple[Fault, ...] = (
    faults.duplicate_tick,
    faults.late_bars,
    faults.power_cut,
    faults.down_and_forward,
)
"""Five rebalances."""

YEAR: tuple[Fault, ...] = (
    faults.nothing,
    faults.duplicate_tick,
    faults.late_bars,
    faults.daemon_terminated,
    faults.failed_rebalance,
    faults.clock_back,
    faults.power_cut,
    faults.missed_ingest,
    faults.clock_ahead,
    faults.code_server_killed,
    faults.clock_forward,
    faults.daemon_killed,
    faults.revision,
)
"""Fourteen rebalances; then the same again."""

TWO_DATES = (faults.clock_forward, faults.down_and_forward)


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that an undisturbed run of the same dates writes otherwise, or one of the two does not write."""

    file: str
    of_ledger: bool


def soaked(soak: Soak, plan: Sequence[Fault], last: date, say: Callable[[str], None] = lambda _: None) -> list[date]:
    """Bring a soak from its first date to `last` with the faults of the plan, again and again; return the dates."""
    steps, day = cycle(plan), soak.first
    while day <= last:
        began, fault = time.monotonic(), next(steps)
        if fault in TWO_DATES and day + STEP > last:
            fault = faults.nothing
        day = fault(soak, day)
        say(f"{day - STEP}  {fault.__name__:<20} {time.monotonic() - began:6.1f} s")
    soak.tick_after(soak.clock.now())  # one more look, which finds nothing to do
    return grid_dates(soak.first, last)


def undisturbed(soak: Soak, dates: Sequence[date]) -> TemporaryHome:
    """A home with the same final bars, run over the same dates in one range."""
    home = made_home(soak.home.defs)
    newest = soak.home.store.lake.newest_bar()
    assert home.ingest(soak.exchange.bars.filter(pl.col("date") <= newest)).success
    assert home.run(*(str(day) for day in dates)).success
    return home


def differences(one: TemporaryHome, other: TemporaryHome) -> list[Difference]:
    """Lake, receipts and bundles of two homes, file by file and bit for bit."""
    mine, theirs = _files(one), _files(other)
    names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    return [Difference(name, any(part in name for part in LEDGERS)) for name in names]


def _files(home: TemporaryHome) -> dict[str, str]:
    found = {f"lake/{name}": value for name, value in home.hashes(bars=True).items()}
    for day in home.store.lake.partitions(BOARD):  # the last of a ledger's hashes is compared with the ledger
        rows = home.read(BOARD, day).drop("ledger_head").write_ndjson()
        found[f"lake/{'/'.join(BOARD)}/{day}.parquet"] = sha256(rows.encode()).hexdigest()
    for folder in (home.store.folders.receipts, home.store.folders.runs):
        for file in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
            found[f"{folder.name}/{file.relative_to(folder)}"] = sha256(file.read_bytes()).hexdigest()
    return found
