"""`sleevegraph migrate`: the history of a home that began with SQLite goes on in PostgreSQL."""

import click
from rich.table import Table

from commands.home import open_instance, stdout_console, with_home
from resources.home import Home
from resources.moved_history import copy_history
from resources.postgres import POSTGRES_VARIABLE, place_of, postgres_url
from resources.records import record_postgres
from sleevegraph.errors import ConfigurationError


@click.command()
@with_home
def migrate(home: Home) -> None:
    """Copy runs, events, verdicts, ticks and sensor states from SQLite to the empty database of SLEEVEGRAPH_POSTGRES_URL.

    Stop the daemon and the page before, and start them with the variable set. The SQLite files stay as they are.
    """
    if not home.dagster.is_dir():
        raise ConfigurationError(f"--home: expected a home, found none at {home.root}; name one that a backfill made")
    try:
        url = postgres_url()
    except ValueError as error:
        raise ConfigurationError(f"{POSTGRES_VARIABLE}: found {error}") from error
    if url is None:
        raise ConfigurationError(f"{POSTGRES_VARIABLE}: expected an empty database to copy to, found it unset; set it")
    if not (home.dagster / "dagster.yaml").is_file():
        raise ConfigurationError(f"{home.dagster}: expected dagster.yaml, found none; name a home that a backfill made")
    open_instance(home).dispose()  # makes the tables
    table = Table()
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name, count in copy_history(home.dagster, url).items():
        table.add_row(name, str(count))
    record_postgres(home)
    stdout_console().print(table)
    click.echo(f"copied to {place_of(url)}")
    click.echo(
        f"set {POSTGRES_VARIABLE} for every process of this home from now on: without it, what opens its records is refused"
    )
