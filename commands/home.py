"""What every command does first: find the home, prepare it, and point Dagster at it."""

import os
from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path
from shutil import disk_usage
from textwrap import shorten
from typing import Any

import click
import dagster as dg
from rich.console import Console
from rich.filesize import decimal
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from resources.alive import report_dead
from resources.atomic import write_atomically
from resources.home import HOME_VARIABLE, LAKE_VARIABLE, PROJECT, Home, find_home, with_its_lake
from resources.origin import record_origin
from resources.places import one_look
from resources.postgres import postgres_trouble
from sleevegraph.calendar import require_on_grid
from sleevegraph.errors import ConfigurationError, SleevegraphError

MESSAGE_WIDTH = 240
"""Of what Dagster says of its settings: it lists everything that they may be."""

_FULL = ("No space left on device", "database or disk is full", "disk I/O error")
"""What the system and SQLite say when a disk is full."""

PIPE_WIDTH = 160
"""Columns of a table that goes into a file or another program."""


def with_home(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--home` and pass the prepared Home; errors become one line on stderr and exit code 1."""

    @click.option("--home", "folder", default="", metavar="DIR", help="Folder that holds dagster_home/ and data/.")
    @wraps(command)
    def wrapped(folder: str, **options: Any) -> None:
        try:
            command(home=prepared(find_home(folder)), **options)
        except BrokenPipeError:
            raise  # whoever read the output has enough of it
        except (SleevegraphError, OSError, dg.DagsterError, SQLAlchemyError) as error:
            raise click.ClickException(_said(error, folder)) from error

    return wrapped


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that only reads look at each folder of an object store once; below `with_home`."""

    @wraps(command)
    def wrapped(home: Home, **options: Any) -> None:
        with one_look(home.lake):
            command(home=home, **options)

    return wrapped


def _said(error: Exception, folder: str) -> str:
    """The error as one line; of a full disk, which shows wherever it is written to first, what it means."""
    text = " ".join(str(error).split())
    sign = next((sign for sign in _FULL if sign in text), None)
    if sign is None:
        return text
    root = find_home(folder).root
    free = decimal(disk_usage(root).free)
    return f"{root}: expected room on its disk, found {free} left ({sign}); make room and run this again"


def prepared(home: Home) -> Home:
    """Set what Dagster and our resources read, so that both use this home; ConfigurationError where its lake is elsewhere."""
    with_its_lake(home)
    os.environ[HOME_VARIABLE] = str(home.root)
    if home.objects:
        os.environ[LAKE_VARIABLE] = home.objects
    else:
        os.environ.pop(LAKE_VARIABLE, None)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home


def create(home: Home) -> None:
    """Make the folders, Dagster's settings and the note of where the home was made, where there are none."""
    if home.root.exists() and not home.root.is_dir():
        raise ConfigurationError(f"--home: expected a folder, found a file at {home.root}")
    home.dagster.mkdir(parents=True, exist_ok=True)
    if isinstance(home.lake, Path):
        home.lake.mkdir(parents=True, exist_ok=True)
    record_origin(home)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        text = (PROJECT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8")
        write_atomically(settings, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open Dagster's instance of a home; ConfigurationError where its settings or its database cannot be used."""
    for trouble in postgres_trouble():  # at once, where Dagster would go on trying for some seconds
        raise ConfigurationError(str(trouble))
    try:
        return dg.DagsterInstance.get()
    except (dg.DagsterInvalidConfigError, YAMLError) as error:
        found = shorten(str(error), MESSAGE_WIDTH, placeholder=" …")
        raise ConfigurationError(f"{home.dagster / 'dagster.yaml'}: expected Dagster's settings, {found}") from error


def open_to_run(home: Home) -> dg.DagsterInstance:
    """Open the instance for a run; runs before it whose process was killed are put on record as failed, and told on stderr."""
    instance = open_instance(home)
    for run_id in report_dead(instance):
        click.echo(f"run {run_id[:8]} was killed before its end: now on record as failed", err=True)
    return instance


class GridDate(click.ParamType):
    """A rebalance date; anything else is refused with the nearest ones."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse YYYY-MM-DD and require the grid."""
        if isinstance(value, date):
            return value
        what = param.opts[0] if param else "date"
        try:
            return require_on_grid(date.fromisoformat(value), what)
        except ValueError:
            raise click.UsageError(f"{what}: expected a date as YYYY-MM-DD, found {value!r}", ctx) from None
        except SleevegraphError as error:
            raise click.UsageError(str(error), ctx) from error


def stdout_console() -> Console:
    """Return a console on stdout that does not fold tables where there is no screen."""
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console
