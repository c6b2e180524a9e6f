"""`sleevegraph prune`: forget what is old and what nothing needs any more; never a bundle, never what is in force."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import dagster as dg
from rich.filesize import decimal
from rich.table import Table

from commands.home import open_instance, stdout_console, with_home
from commands.in_use import manifest_in_use
from commands.prunable import Prunable, kept_rebalances, leftovers, prunable_partitions
from resources.home import Home
from resources.run_history import (
    IN_PROGRESS,
    bytes_of,
    compact,
    databases,
    ended_runs,
    forget,
    newest_told,
    run_records,
)
from resources.store import Store
from sleevegraph.errors import ConfigurationError, LakeError
from sleevegraph.retention import removable_runs

_KEEP = re.compile(r"([0-9]{1,6})d")
_PARTITION, _FIRST = "dagster/partition", "dagster/asset_partition_range_start"


class Days(click.ParamType):
    """A number of days as 90d."""

    name = "days"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse it; days before the first of all dates are the first of all dates."""
        found = _KEEP.fullmatch(str(value))
        if not found:
            self.fail(f"expected days as 90d, found {value!r}; give a whole number and d", param, ctx)
        return timedelta(days=int(found[1]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go."""

    runs: dict[str, int]
    """Bytes by run."""
    runs_kept: int
    """Old runs of which a page still needs something."""
    partitions: dict[str, Prunable]
    left: dict[Path, int]
    """Bytes by leftover."""


@click.command()
@click.option("--keep", type=Days(), required=True, metavar="DAYS", help="Keep what is younger than this, such as 90d.")
@click.option("--yes", is_flag=True, help="Remove it; without this, only say what would be removed.")
@with_home
def prune(home: Home, keep: timedelta, yes: bool) -> None:
    """Remove old runs of Dagster, old partitions of bulky assets, and what killed processes left.

    Bundles, track records, weights, receipts and acceptances stay, and so does what a later rebalance reads.
    """
    if not home.dagster.is_dir():
        raise ConfigurationError(f"--home: expected a home, found none at {home.root}; name one that a backfill made")
    now = datetime.now(UTC)
    cut = now - min(keep, now - datetime(2000, 1, 1, tzinfo=UTC))
    store = Store(home=str(home.root))
    with open_instance(home) as instance:
        with store.lake.one_look():
            plan = _plan(home, store, instance, cut)
        stdout_console().print(_table(plan, f"older than {cut.date()}"))
        _say_what_stays(plan, instance)
        if not yes:
            click.echo("nothing was removed; --yes removes it")
            return
        _require_no_run_of(instance, cut.date(), plan.partitions)
        before = _bytes(databases(home))
        _remove(home, store, instance, plan)
        _compact(home, instance, before)
    click.echo("removed")


def _plan(home: Home, store: Store, instance: dg.DagsterInstance, cut: datetime) -> Plan:
    manifest = manifest_in_use()
    ended = ended_runs(instance)
    runs = removable_runs(ended, newest_told(instance), cut, kept_rebalances(store, manifest))
    return Plan(
        runs={run: bytes_of(instance, home, run) for run in runs},
        runs_kept=sum(run.ended < cut for run in ended) - len(runs),
        partitions=prunable_partitions(store, manifest, cut.date()),
        left={path: _bytes([path]) for path in leftovers(home)},
    )


def _table(plan: Plan, title: str) -> Table:
    table = Table(title=title)
    table.add_column("what", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("from ... to")
    rows: list[tuple[str, Sequence[str], int]] = [("runs and their events", list(plan.runs), sum(plan.runs.values()))]
    table.add_row(rows[0][0], str(len(plan.runs)), decimal(rows[0][2]), "")
    for asset, found in plan.partitions.items():
        keys = sorted(key for _, key in found.files)
        span = f"{keys[0]} ... {keys[-1]}" if keys else ""
        table.add_row(f"partitions of {asset}", str(len(keys)), decimal(sum(found.files.values())), span)
    table.add_row("leftovers of killed processes", str(len(plan.left)), decimal(sum(plan.left.values())), "")
    return table


def _say_what_stays(plan: Plan, instance: dg.DagsterInstance) -> None:
    """What is old and stays all the same, and why."""
    if plan.runs_kept:
        click.echo(f"{plan.runs_kept} old runs stay: they are the last to tell of a partition that pages show")
    running = sum(1 for _ in run_records(instance, IN_PROGRESS))
    if running:
        click.echo(f"{running} runs in progress stay")
    unproven: Mapping[str, str] = {
        run: why for found in plan.partitions.values() for run, why in found.unproven.items()
    }
    if unproven:
        first = next(iter(unproven.values()))
        click.echo(
            f"partitions of {len(unproven)} rebalances of sleeves stay, since no bundle vouches for them: {first}; "
            "restore the bundle, or run the rebalance again"
        )


def _require_no_run_of(instance: dg.DagsterInstance, cut: date, partitions: Mapping[str, Prunable]) -> None:
    """A backfill of old rebalances reads what would go."""
    if not any(found.files for found in partitions.values()):
        return
    for record in run_records(instance, IN_PROGRESS):
        tags = record.dagster_run.tags
        first = tags.get(_FIRST) or tags.get(_PARTITION) or str(cut)
        if first < str(cut):
            raise LakeError(
                f"prune: expected no run of rebalances before {cut}, found {record.dagster_run.run_id} of {first} in "
                "progress; wait for its end, or cancel it on Dagster's page, and prune again"
            )


def _remove(home: Home, store: Store, instance: dg.DagsterInstance, plan: Plan) -> None:
    for found in plan.partitions.values():
        # The oldest first: a process killed on the way leaves rebalances that follow one another.
        for path, key in sorted(found.files, key=lambda file: file[1]):
            store.lake.remove(path, key)
    for run in plan.runs:
        forget(instance, home, run)
    for path in plan.left:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _compact(home: Home, instance: dg.DagsterInstance, before: int) -> None:
    files = databases(home)
    if not files:
        return
    if any(True for _ in run_records(instance, IN_PROGRESS)):
        click.echo("Dagster's files keep their size, since a run is in progress; prune again when none is", err=True)
        return
    instance.event_log_storage.dispose()
    for file in files:
        why = compact(file)
        if why:
            click.echo(f"{file.name} keeps its size, since it cannot be compacted now ({why}); prune again", err=True)
    click.echo(f"Dagster's shared files: {decimal(before)} before, {decimal(_bytes(files))} now")


def _bytes(paths: Sequence[Path]) -> int:
    """Of files, and of what is in folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())
