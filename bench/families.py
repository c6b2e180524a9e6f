"""What large families cost: Dagster's page with assets for each sleeve or for each family, and a backfill.

    python -m bench.families [--sizes N ...] [--sleeves N] [--rebalances N] [--bars FILE] [--own]

The first table has two families of together N sleeves and three metas above them, once with assets for each sleeve and
once with assets for each family: how many assets and checks, how long the definitions take to load, how long Dagster's GraphQL takes
for what its graph shows, and how long the page takes to draw its groups in Chromium, where that is installed.

With `--rebalances` families of together `--sleeves` sleeves, and of a quarter of them, are backfilled in homes of their own:
wall time, CPU, peak memory, what the home takes on disk, the page's times on that home, and from the difference of both the
marginal cost of one more sleeve. With `--own` the quarter is backfilled with assets for each sleeve as well. The market is
simulated, or `--bars` are a file of daily bars. The native engine solves.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple

import polars as pl

from bench.memory import peak_mib
from profiles.load import PROFILES
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.simulated_market import simulated_bars
from tests.browser import chromium_page, dagster_dev, missing
from tests.homes import TemporaryHome, cause, environment

PROJECT = Path(__file__).resolve().parent.parent
NODES = """{ assetNodes { id assetKey { path } groupName dependencyKeys { path } kinds hasAssetChecks
  partitionDefinition { name } } }"""
ROUNDS, OWN, SHARED = 3, 1_000_000, 1
FAMILY = """name = "{name}_grid"

[template]
logic = "rating_{name}"
rating = "recommend_{name}"
risk.engines = ["native"]

[parameters]
direction = ["LONG", "SHORT"]
"selection.cluster_threshold" = [0.35, 0.40, 0.45, 0.50, 0.55]
"selection.top_n" = {top_n}
"""
META = 'name = "{name}"\nchildren = {children}\nweight_min = 0.0\nweight_max = 1.0\n'


class Cost(NamedTuple):
    """Of one backfill."""

    wall: float
    cpu: float
    peak: float
    """MiB of the process that ran it."""
    home: dict[str, int]
    """Bytes by part of the home."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[20, 40, 80, 400])
    parser.add_argument("--sleeves", type=int, default=400)
    parser.add_argument("--rebalances", type=int, default=0)
    parser.add_argument("--bars", type=Path)
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        run(*asked.child)
        return
    if asked.sizes:
        print("| sleeves | assets of | assets | checks | load s | graph s | page s |\n|" + "---|" * 7)
    for sleeves in asked.sizes:
        for of, limit in (("each sleeve", OWN), ("each family", SHARED)):
            with tempfile.TemporaryDirectory() as folder:
                figures = page(profiles(Path(folder) / "profiles", sleeves), limit, Path(folder) / "home")
            print(f"| {sleeves} | {of} | {figures} |", flush=True)
    if asked.rebalances:
        say_backfills(asked.sleeves, asked.rebalances, asked.bars, own=asked.own)


def profiles(folder: Path, sleeves: int) -> Path:
    """Two families of together so many sleeves, a meta of each, and a meta of both."""
    for part in ("sleeves", "families", "metas"):
        (folder / part).mkdir(parents=True)
    (folder / "market.toml").write_bytes((PROFILES / "market.toml").read_bytes())
    for name in ("all", "ma"):
        text = FAMILY.format(name=name, top_n=list(range(3, 3 + sleeves // 20)))
        (folder / "families" / f"{name}_grid.toml").write_text(text)
    metas = {"meta_all": ["all_grid"], "meta_ma": ["ma_grid"], "meta_grids": ["meta_all", "meta_ma"]}
    for name, children in metas.items():
        quoted = "[" + ", ".join(f'"{child}"' for child in children) + "]"
        (folder / "metas" / f"{name}.toml").write_text(META.format(name=name, children=quoted))
    return folder


def page(folder: Path, limit: int, home: Path) -> str:
    """Assets, checks and seconds, as cells of a table."""
    settings = {"BENCH_PROFILES": str(folder), "BENCH_LIMIT": str(limit)}
    counting = (
        "from bench.grid_definitions import defs; graph = defs.resolve_asset_graph(); "
        "print(len(graph.get_all_asset_keys()), len(list(graph.asset_check_keys)))"
    )
    (home / "dagster_home").mkdir(parents=True)
    (home / "dagster_home" / "dagster.yaml").write_bytes((PROJECT / "dagster_home" / "dagster.yaml").read_bytes())
    with environment(**settings):
        began = time.perf_counter()
        command = [sys.executable, "-c", counting]
        found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)  # noqa: S603 - our own
        load = time.perf_counter() - began
        return " | ".join([*found.stdout.split()[-2:], f"{load:.1f}", served(home)])


def served(home: Path) -> str:
    """Seconds of the graph's query and of the page on that home, as cells of a table."""
    with dagster_dev(home, home / "dev.log", "bench.grid_definitions") as dev:
        graph = median(timed(lambda: dev.graphql(NODES)) for _ in range(ROUNDS))
        drawn = "" if missing() else f"{shown(dev.url, home):.1f}"
    return f"{graph:.2f} | {drawn}"


def shown(url: str, pictures: Path) -> float:
    """Seconds until the overview of assets shows the groups, the browser being warm."""
    with chromium_page(pictures) as opened:
        for _ in range(2):
            began = time.perf_counter()
            opened.goto(f"{url}/asset-groups")
            opened.locator("foreignObject").get_by_text("metas", exact=True).wait_for()
    return time.perf_counter() - began


def say_backfills(sleeves: int, rebalances: int, bars: Path | None, *, own: bool) -> None:
    """Print the backfills and what lies between the last two."""
    with tempfile.TemporaryDirectory() as folder:
        if bars is None:
            bars = Path(folder) / "bars.parquet"
            simulated_bars(date(2022, 12, 31), symbols=60).write_parquet(bars)
        days = days_of(bars, rebalances)
        heads = " | ".join(PARTS)
        print(f"\n| sleeves | assets of | rebalances | wall s | CPU s | peak MiB | {heads} | graph s | page s |")
        print("|" + "---|" * (8 + len(PARTS)))
        quarter = sleeves // 4
        each = [(quarter, "each sleeve", OWN)] if own else []
        found = []
        for size, of, limit in (*each, (quarter, "each family", SHARED), (sleeves, "each family", SHARED)):
            cost, times = backfill(Path(folder) / of.replace(" ", "_"), size, bars, days, limit)
            parts = " | ".join(f"{cost.home[part] / 2**20:,.0f} MiB" for part in PARTS)
            figures = f"{cost.wall:,.0f} | {cost.cpu:,.0f} | {cost.peak:,.0f} | {parts} | {times}"
            print(f"| {size} | {of} | {rebalances} | {figures} |", flush=True)
            found.append(cost)
    few, many = found[-2:]
    more = (sleeves - quarter) * rebalances
    disk = sum(many.home.values()) - sum(few.home.values())
    print(
        f"\none more sleeve at one rebalance: {(many.wall - few.wall) / more:.3f} s wall, "
        f"{(many.cpu - few.cpu) / more:.3f} s CPU, {disk / more / 2**10:,.0f} KiB on disk"
    )


PARTS = ("dagster_home", "data", "runs")


def backfill(folder: Path, sleeves: int, bars: Path, days: Sequence[date], limit: int) -> tuple[Cost, str]:
    """One range run in a process of its own, and the page on the home that it leaves, as cells of a table."""
    home = folder / f"home_{sleeves}"
    settings = {"BENCH_PROFILES": str(profiles(folder / f"profiles_{sleeves}", sleeves)), "BENCH_LIMIT": str(limit)}
    with environment(**settings):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "bench.families", "--child", str(home), str(bars), *map(str, days)]
        said = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        sizes = {part: sum(f.stat().st_size for f in (home / part).rglob("*") if f.is_file()) for part in PARTS}
        times = served(home)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, float(said.stdout.split()[-1]), sizes), times


def run(root: str, bars: str, *keys: str) -> None:
    """Ingest and rebalance in this process, and say its peak; the definitions are those of the environment."""
    from bench.grid_definitions import defs  # noqa: PLC0415 - of the profiles that the environment names

    home = TemporaryHome(Path(root), defs)
    Path(root).mkdir()
    for result in (home.ingest(pl.read_parquet(bars)), home.run(*keys)):
        if not result.success:
            raise SystemExit(cause(result))
    home.close()
    print(peak_mib())


def days_of(bars: Path, rebalances: int) -> list[date]:
    """So many rebalances from the first one that a year of bars precedes."""
    first = pl.scan_parquet(bars).select(pl.col("date").min()).collect().item() + timedelta(days=260)
    return grid_dates(first, first + timedelta(days=STEP_DAYS * (rebalances + 1)))[:rebalances]


def timed(ask: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
