"""`sleevegraph replay`: compute rebalances again from the bars, and say what of their bundles first differs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import dagster as dg
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from commands.place import PLACE
from commands.rebuild import replayed
from resources.bundle_files import NAME, bundles_at, is_bundle, read_bundle, run_of
from resources.home import Home, find_home, has_lake, home_at, with_its_lake
from resources.packing import SUFFIX
from resources.places import Place
from sleevegraph.audit.claim import Claim, claimed
from sleevegraph.audit.evidence import Evidence, UnreadableError
from sleevegraph.audit.replay import Comparison
from sleevegraph.errors import AuditError, ConfigurationError, SleevegraphError

INTERRUPTED = "DagsterExecutionInterruptedError"
"""What Dagster makes of Ctrl-C, which is to end all replays and not only the one under way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay found."""

    comparisons: Sequence[Comparison] = ()
    environment: str = ""
    """What else it was made with; empty when with the same."""
    error: str = ""
    """Why there is nothing to compare."""

    @property
    def first(self) -> Comparison | None:
        """What differs first."""
        return next((one for one in self.comparisons if one.difference), None)

    @property
    def word(self) -> str:
        """In a word."""
        return "ERROR" if self.error else "DIFFERS" if self.first else "same"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=PLACE)
@click.option(
    "--home", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Whose bars; else those around PATH."
)
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N of the bundles, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
def replay(paths: Sequence[Place], folder: Path | None, sample: int | None, seed: int) -> None:
    """Compute rebalances again from a home's bars and compare them with audit bundles, bit for bit.

    PATH is a bundle, a folder of bundles or a home. One line per stage, check and file of one bundle; of several, one
    line per bundle. Exit 1 if anything differs. The home is left as it is.
    """
    try:
        single = len(paths) == 1 and is_bundle(paths[0])
        bundles = list(dict.fromkeys(bundle for path in paths for bundle in bundles_at(path)))
    except (SleevegraphError, OSError) as error:
        raise click.ClickException(_line(str(error))) from error
    if sample is not None and sample < len(bundles):
        drawn = set(random.Random(seed).sample(bundles, sample))  # noqa: S311 - has to be arbitrary, and the same again
        bundles = [bundle for bundle in bundles if bundle in drawn]
    words: list[str] = []
    for bundle in bundles:
        found = _outcome(bundle, folder)
        words.append(found.word)
        if single:
            _tell(bundle, found)
        else:
            _tell_shortly(bundle, found)
    if not single:
        counts = [f"{words.count(word)} {word}" for word in ("same", "DIFFERS", "ERROR") if word in words]
        click.echo(f"{len(bundles)} replays: {', '.join(counts)}")
    if set(words) != {"same"}:
        raise click.exceptions.Exit(1)


def _outcome(bundle: Place, folder: Path | None) -> Outcome:
    try:
        home = _home(bundle, folder)
        comparisons, environment = replayed(home, _claim(bundle, home), Console(stderr=True))
    except (SleevegraphError, OSError, dg.DagsterError, SQLAlchemyError) as error:
        if INTERRUPTED in str(error):
            raise click.Abort from error
        return Outcome(error=_line(str(error)))
    return Outcome(comparisons, environment)


def _home(bundle: Place, folder: Path | None) -> Home:
    """The home that is named, or the one that the bundle lies in: in object storage, the environment's."""
    if not folder and not isinstance(bundle, Path):
        home = with_its_lake(find_home())
        if home.objects and home.runs == bundle.parent:
            return home
    for root in [folder] if folder else bundle.resolve().parents if isinstance(bundle, Path) else []:
        home = home_at(root.resolve())
        if has_lake(home):
            return home
    where = f"found none in {folder}" if folder else f"found none around {bundle}; name it with --home"
    raise ConfigurationError(f"expected a home with a lake (data/lake), {where}")


def _claim(bundle: Place, home: Home) -> Claim:
    def beside(run: str) -> Evidence:
        place = home.runs / (run if isinstance(home.runs, Path) else f"{run}{SUFFIX}")
        return _evidence(place) if NAME.fullmatch(run) and is_bundle(place) else Evidence({})

    try:
        return claimed(_evidence(bundle), beside)
    except AuditError as error:
        file = f"{error.file}: " if isinstance(error, UnreadableError) else ""
        raise AuditError(f"{file}{error}; run sleevegraph verify {bundle}") from error


def _evidence(folder: Place) -> Evidence:
    found = read_bundle(folder)
    return Evidence(found.files, folder=run_of(folder), unreadable=found.unreadable)


def _tell(bundle: Place, found: Outcome) -> None:
    if found.error:
        raise click.ClickException(f"{bundle.name}: {found.error}")
    for one in found.comparisons:
        _say("DIFFERS" if one.difference else "same", one.what, one.difference)
    if found.environment:
        _say("note", "environment", found.environment)
    first = (
        f"differs first at {found.first.what}" if found.first else f"{len(found.comparisons)} compared, all the same"
    )
    click.echo(f"{_line(bundle.name)}: {_line(first)}")


def _tell_shortly(bundle: Place, found: Outcome) -> None:
    text = found.error
    if found.first:
        made = f" ({found.environment})" if found.environment else ""
        text = f"{found.first.what}: {found.first.difference}{made}"
    _say(found.word, bundle.name, text)


def _say(word: str, what: str, text: str) -> None:
    click.echo(f"{word:<8} {_line(f'{what}: {text}' if text else what)}")


def _line(text: str) -> str:
    """One line that any terminal can show, whatever a bundle has put into it."""
    spaced = "".join(character if character.isprintable() or character.isspace() else "?" for character in text)
    return " ".join(spaced.split())
