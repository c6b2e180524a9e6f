"""`sleevegraph backup`: a copy of a home, taken while it is in use."""

import os
from pathlib import Path

import click
from rich.filesize import decimal

from commands.home import with_home
from resources.archive import take
from resources.home import Home
from resources.postgres import POSTGRES_VARIABLE
from resources.records import in_postgres
from sleevegraph.errors import ConfigurationError


@click.command()
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
@with_home
def backup(home: Home, target: Path) -> None:
    """Copy a home into the new folder DEST, with a hash of every file; runs may go on meanwhile."""
    if not home.dagster.is_dir():
        raise ConfigurationError(f"--home: expected a home, found none at {home.root}; name one that a backfill made")
    place = target.absolute()
    if place.is_relative_to(home.root) and any(
        place.is_relative_to(home.root / name) for name in ("data", "runs", "dagster_home")
    ):
        raise ConfigurationError(f"DEST: expected a folder outside the home, found {place}; name another one")
    elsewhere = _elsewhere(home)
    manifest = take(home.root, place, elsewhere)
    size = sum(file["bytes"] for file in manifest["files"].values())
    click.echo(f"{len(manifest['files'])} files, {decimal(size)}, in {place}")
    for what in elsewhere:
        click.echo(f"not in it: {what}", err=True)


def _elsewhere(home: Home) -> list[str]:
    """What a home has in other places, and who copies it."""
    found = []
    if os.environ.get(POSTGRES_VARIABLE) or in_postgres(home):
        found.append(f"runs, events and schedules are in PostgreSQL ({POSTGRES_VARIABLE}); copy them by pg_dump")
    if home.objects:
        found.append(
            f"lake, verdicts, acceptances and bundles are at {home.objects}; copy them by the store's own means"
        )
    return found
