"""`sleevegraph restore`: a backup becomes a home, whole or not at all."""

import os
from pathlib import Path

import click

from commands.home import open_instance, prepared, with_home
from resources.alive import mark_restored
from resources.archive import restored
from resources.home import Home, with_its_lake
from resources.postgres import POSTGRES_VARIABLE
from resources.records import in_postgres
from resources.run_history import IN_PROGRESS, databases, run_records

CUT_OFF = "in progress when the backup was taken that this home was restored from"


@click.command()
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@with_home
def restore(home: Home, source: Path) -> None:
    """Make a home of the backup SOURCE in --home, which has to be absent or empty; every hash is checked before."""
    with_its_lake(Home(source.absolute(), home.objects))
    with restored(source.absolute(), home.root) as (staging, manifest):
        copy = Home(staging, home.objects)
        elsewhere = bool(os.environ.get(POSTGRES_VARIABLE)) or in_postgres(copy)
        ended = 0 if elsewhere else _end_runs(copy)
        mark_restored(copy.dagster)
    prepared(home)
    click.echo(f"{len(manifest['files'])} files of {manifest['made_at']} in {home.root}")
    if ended:
        click.echo(f"{ended} runs were in progress and are failed now; run them again")
    if elsewhere and not in_postgres(home) and databases(home):
        click.echo(
            f"its runs are in SQLite, and {POSTGRES_VARIABLE} is set: sleevegraph migrate copies them to an empty database",
            err=True,
        )
    for what in manifest["without"]:
        click.echo(f"not in it: {what}", err=True)


def _end_runs(home: Home) -> int:
    """Let no run be in progress whose process is on no machine: whoever waits for it would wait for ever."""
    if not (home.dagster / "dagster.yaml").is_file():
        return 0
    prepared(home)
    with open_instance(home) as instance:
        records = list(run_records(instance, IN_PROGRESS))
        for record in records:
            instance.report_run_failed(record.dagster_run, message=CUT_OFF)
    return len(records)
