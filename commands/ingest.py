"""`sleevegraph ingest`: bring what is stored of Binance up to date."""

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, date, datetime
from typing import Any

import click
import dagster as dg
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from assets.exchange import MONTHS
from commands.home import create, open_to_run, stdout_console, with_home
from commands.in_use import definitions_in_use, manifest_in_use
from commands.progress import quiet_run
from resources.binance.ingest import Ingested
from resources.binance.progress import showing
from resources.home import Home
from resources.store import FROM_VARIABLE, QUOTES_VARIABLE, SOURCE_VARIABLE, SYMBOLS_VARIABLE, Store
from sleevegraph.errors import ConfigurationError, LakeError, SleevegraphError
from sleevegraph.market_data.datasets import DAILY, DATASETS, INTERVALS, Dataset

SHOWN = 5
"""Files that are named one by one."""


class Day(click.ParamType):
    """A day of the calendar."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse YYYY-MM-DD."""
        what = param.opts[0] if param else "date"
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise click.UsageError(f"{what}: expected a date as YYYY-MM-DD, found {value!r}", ctx) from None


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """The option in capitals, empty where it is not given; one that names nothing would mean everything."""
    if value is not None and not value.replace(",", " ").strip():
        raise click.UsageError(f"{param.opts[0]}: expected at least one name, found {value!r}", ctx)
    return (value or "").upper()


@click.command()
@click.option("--source", type=click.Choice(["binance"]), default="binance", show_default=True, help="Market source.")
@click.option("--from", "first", type=Day(), help="First day; its whole month is fetched.")
@click.option("--symbols", callback=_names, metavar="A,B", help="Only these symbols.")
@click.option(
    "--quotes", callback=_names, metavar="A,B", help="Every symbol quoted in these; the manifest's by default."
)
@click.option("--interval", type=click.Choice(INTERVALS), help="Of Spot bars.  [default: 1d]")
@click.option("--dataset", "name", type=click.Choice(list(DATASETS)), help="Instead of --interval.")
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched.")
@with_home
def ingest(
    home: Home,
    source: str,
    first: date | None,
    symbols: str,
    quotes: str,
    interval: str | None,
    name: str | None,
    *,
    dry_run: bool,
) -> None:
    """Fetch bars and other data that are new or were restated; what is stored already is not fetched again.

    A home remembers the options of its first ingest, and later ones may leave them out.
    """
    dataset = _dataset(interval, name)
    if symbols and quotes:
        raise ConfigurationError("--quotes: expected none beside --symbols; give one of them")
    os.environ[SOURCE_VARIABLE] = source
    if first:
        os.environ[FROM_VARIABLE] = str(first)
    if symbols or quotes:
        os.environ |= {SYMBOLS_VARIABLE: symbols, QUOTES_VARIABLE: quotes}
    store, market = Store(home=str(home.root)), manifest_in_use().market
    binance = store.binance(market)
    _require_partition(binance.scope.first)
    if dry_run:
        with _shown():
            plan = binance.ingest(binance.request(dataset), dry_run=True)
        _say_plan(dataset, plan)
        return
    create(home)
    began = time.monotonic()
    figures = _run(definitions_in_use(), home, dataset, binance.scope.first)
    _say_summary(dataset, figures, time.monotonic() - began)


def _run(defs: dg.Definitions, home: Home, dataset: Dataset, first: date | None) -> dict[str, Any]:
    """Materialise a dataset's asset, and return the metadata of it."""
    quiet = Console(file=io.StringIO())
    daily = dataset.name == DAILY
    asset = "daily_bars" if daily else dataset.name
    with open_to_run(home) as instance:
        try:
            # Where a disk is full Dagster prints that it cannot write, and then raises it.
            with _shown(), redirect_stderr(io.StringIO()):
                if daily:
                    quiet_run(defs, "ingest", None, instance, quiet)
                else:
                    quiet_run(defs, "history", [asset], instance, quiet, partitions=_months(first))
        except SleevegraphError as error:
            message = str(error).removeprefix("exchange_info: ").removeprefix("daily_bars: ")
            raise SleevegraphError(message) from error
        done = instance.get_latest_materialization_event(dg.AssetKey(asset))
    if done is None or done.asset_materialization is None:
        raise LakeError(f"{dataset.name}: expected a materialisation after the ingest, found none")
    return {name: entry.value for name, entry in done.asset_materialization.metadata.items()}


def _dataset(interval: str | None, name: str | None) -> Dataset:
    if interval and name:
        raise ConfigurationError(f"--interval: expected none beside --dataset {name}, found {interval}")
    return DATASETS[name or f"spot_klines_{interval or '1d'}"]


def _require_partition(first: date | None) -> None:
    oldest, today = date.fromisoformat(str(MONTHS.get_first_partition_key())), datetime.now(UTC).date()
    if first and first < oldest:
        raise ConfigurationError(
            f"--from: expected {oldest}, the month of Binance's first bar, or later, found {first}"
        )
    if first and first > today:
        raise ConfigurationError(f"--from: expected a day up to today, {today}, found {first}")


def _months(first: date | None) -> tuple[str, str]:
    """The range of partitions from a day's month to the present one."""
    newest, oldest = MONTHS.get_last_partition_key(), MONTHS.get_first_partition_key()
    return (f"{first:%Y-%m}-01" if first else str(oldest)), str(newest)


def _say_plan(dataset: Dataset, planned: Ingested) -> None:
    """One line per kind of file, on stdout."""
    totals, symbols = planned.survey.totals, len(planned.survey.symbols)
    table = Table(title=f"{dataset.name}: {symbols} symbols", title_justify="left")
    for column in ("files", "count", "bytes", "first", "last"):
        table.add_column(column, justify="left" if column == "files" else "right")
    for state, span, files, size, first, last in totals.to_fetch.iter_rows():
        table.add_row(f"{state}, {span}", str(files), decimal(size), str(first), str(last))
    table.add_row("stored already", str(totals.unchanged), "", "", "")
    stdout_console().print(table)
    click.echo(f"{totals.files} files of {decimal(totals.bytes)} to fetch; nothing was fetched (--dry-run)")


def _say_summary(dataset: Dataset, figures: dict[str, Any], seconds: float) -> None:
    """What was done on stdout, what was not on stderr."""
    kinds = [f"{figures[f'files_{kind}']} {kind}" for kind in ("resumed", "restated") if figures[f"files_{kind}"]]
    of_them = f" (of them {', '.join(kinds)})" if kinds else ""
    hosts = f" from {', '.join(figures['rest_hosts'])}" if figures["rest_hosts"] else ""
    click.echo(
        f"{dataset.name}: {figures['ingested_symbols']} symbols: {figures['files']} files stored{of_them}, "
        f"{figures['files_unchanged']} unchanged, {decimal(figures['bytes_transferred'])} transferred; "
        f"{figures['rows_added']} rows added, {figures['rows_revised']} revised, "
        f"{figures['rows_from_rest']} by REST{hosts}; {seconds:.1f} s"
    )
    for key, reason in list(figures["quarantined"].items())[:SHOWN]:
        where = "" if reason.startswith(key) else f"{key}: "
        click.echo(f"quarantined: {where}{reason}", err=True)
    if figures["files_quarantined"] > SHOWN:
        click.echo(f"and {figures['files_quarantined'] - SHOWN} more files are quarantined", err=True)
    for key in figures["files_vanished"][:SHOWN]:
        click.echo(f"no longer listed, its rows are kept: {key}", err=True)
    for name in figures["refused_names"][:SHOWN]:
        click.echo(f"listed under a name that no symbol can have, left out: {name!r}", err=True)


class _Bars:
    """A bar for each stage of an ingest."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int) -> None:
        """Open the next bar."""
        self._task = self._progress.add_task(stage, total=total, transferred="")
        self._sum = 0

    def advance(self, transferred: int = 0) -> None:
        """Move it by one step."""
        if self._task is not None:
            self._sum += transferred
            self._progress.update(self._task, advance=1, transferred=decimal(self._sum) if self._sum else "")


@contextmanager
def _shown() -> Iterator[None]:
    """Show the stages on stderr where that is a screen."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[transferred]}"),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress, showing(_Bars(progress)):
        yield
