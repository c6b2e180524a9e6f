"""`sleevegraph backfill`: bars, then every rebalance of a range, then the views over what came out."""

import os
import time
from datetime import date
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from commands.home import GridDate, create, with_home
from commands.progress import quiet_run
from resources.home import Home
from resources.store import PATH_VARIABLE, SOURCE_VARIABLE
from sleevegraph.calendar import grid_dates
from sleevegraph.errors import ConfigurationError, SleevegraphError


@click.command()
@click.option("--from", "first", type=GridDate(), required=True, help="First rebalance date.")
@click.option("--to", "last", type=GridDate(), required=True, help="Last rebalance date.")
@click.option("--source", type=click.Choice(["files", "simulated"]), help="Market source; a home remembers its own.")
@click.option("--path", type=click.Path(path_type=Path), help="Parquet or CSV file or folder, for --source files.")
@with_home
def backfill(home: Home, first: date, last: date, source: str | None, path: Path | None) -> None:
    """Ingest bars, then run every rebalance from one date to another with all checks."""
    keys = _keys(first, last)
    _choose_source(source, path)
    create(home)
    console = Console(stderr=True)
    began = time.monotonic()
    from definitions import defs  # noqa: PLC0415 - reads the environment that was set just now

    with dg.DagsterInstance.get() as instance:
        quiet_run(defs, "ingest", ["daily_bars"], instance, console)
        quiet_run(defs, "rebalance", None, instance, console, partitions=(str(keys[0]), str(keys[-1])))
        quiet_run(defs, "ingest", ["warehouse"], instance, console)
    seconds = time.monotonic() - began
    click.echo(f"{len(keys)} rebalances from {keys[0]} to {keys[-1]} in {seconds:.1f} s under {home.root}")


def _keys(first: date, last: date) -> list[date]:
    from assets.grid import GRID  # noqa: PLC0415 - Dagster is slow to import and other commands do not need it

    if first > last:
        raise ConfigurationError(f"--from: expected a date up to --to {last}, found {first}")
    newest = GRID.get_last_partition_key()
    if newest is None or str(last) > newest:
        raise ConfigurationError(f"--to: expected a rebalance date that has passed, at most {newest}, found {last}")
    return grid_dates(first, last)


def _choose_source(source: str | None, path: Path | None) -> None:
    if path is not None and source == "simulated":
        raise ConfigurationError(f"--path: expected none with --source simulated, found {path}")
    if path is not None:
        source = source or "files"
        if not path.exists():
            raise ConfigurationError(f"--path: expected a Parquet or CSV file or a folder, found nothing at {path}")
        os.environ[PATH_VARIABLE] = str(path.resolve())
    if source == "files" and path is None:
        raise SleevegraphError("--path: expected a Parquet or CSV file or a folder with --source files, found none")
    if source is not None:
        os.environ[SOURCE_VARIABLE] = source
