"""`sleevegraph verify`: recompute of audit bundles whatever can be recomputed, and say which guarantee does not hold."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from commands.place import PLACE
from resources.bundle_files import RUNS, Neighbourhood, bundles_at, is_bundle, read_bundle, run_of
from resources.home import Home, has_lake
from resources.origin import place_of, recorded_origin
from resources.places import Place
from sleevegraph.audit.verification import Guarantee
from sleevegraph.audit.verification import verify as judged
from sleevegraph.errors import ConfigurationError, SleevegraphError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=PLACE)
def verify(paths: Sequence[Place]) -> None:
    """Verify audit bundles from their own files: PATH is a bundle, a folder of bundles or a home, on a disk or s3://.

    One line per guarantee of one bundle; of several, the lines of those that fail, and a count. Exit 1 if any fails.
    """
    try:
        single = len(paths) == 1 and is_bundle(paths[0])
        bundles = list(dict.fromkeys(bundle for path in paths for bundle in bundles_at(path)))
        _verify(bundles, single=single)
    except (SleevegraphError, OSError) as error:
        raise click.ClickException(" ".join(str(error).split())) from error


def _verify(bundles: Sequence[Place], *, single: bool) -> None:
    failed = 0
    beside = {folder: Neighbourhood(folder) for folder in dict.fromkeys(bundle.parent for bundle in bundles)}
    for bundle in bundles:
        guarantees = _guarantees(bundle, beside[bundle.parent])
        wrong = not all(guarantee.ok for guarantee in guarantees)
        failed += wrong
        if wrong and not single:
            click.echo(_printable(str(bundle)))
        for guarantee in guarantees if wrong or single else ():
            click.echo(f"{'ok' if guarantee.ok else 'FAIL':<4}  {guarantee.name:<17}  {guarantee.text}")
    for folder in beside:
        if note := _home_note(folder):
            click.echo(f"note  {'home':<17}  {_printable(note)}")
    if not single:
        click.echo(f"{len(bundles)} bundles: {len(bundles) - failed} ok, {failed} FAIL")
    if failed:
        raise click.exceptions.Exit(1)


def _guarantees(bundle: Place, hood: Neighbourhood) -> list[Guarantee]:
    found = read_bundle(bundle)
    with _silent_readers():
        return judged(found.files, hood.of(run_of(bundle)), folder=run_of(bundle), unreadable=found.unreadable)


@contextmanager
def _silent_readers() -> Iterator[None]:
    """Drop what native code writes to stderr: the reader of Parquet tells there where it broke off, over many lines."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _home_note(folder: Place) -> str:
    """What a reader must know of the home whose bundles lie in `folder`; empty where it is still where it was made."""
    if folder.name != RUNS or not isinstance(folder, Path):
        return ""
    home = Home(folder.parent.resolve())
    without = ""
    try:
        without = "" if has_lake(home) else "; no lake is beside the bundles, so nothing can be replayed"
        made, now = recorded_origin(home), place_of(home)
    except (ConfigurationError, OSError) as error:
        return f"{error}; nothing in a bundle depends on it{without}"
    if made == now and not without:
        return ""
    where = f"made at {made}, now at {now}" if made else f"it is not recorded where it was made, now at {now}"
    return f"{where}; nothing in a bundle depends on it{without}"


def _printable(text: str) -> str:
    """A name from a file system in one line that any terminal can show."""
    return "".join(character if character.isprintable() else "?" for character in text)
