"""`sleevegraph profiles`: what the profile files define, whether they are sound, and how they differ."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from commands.in_use import sound_in_use
from commands.profiles_text import as_table, rows
from profiles.changes import key_changes, manifest_changes, signal_changes
from profiles.files import ProfilesError
from profiles.load import PROFILES, load_profiles
from profiles.signals import signals_of
from profiles.sound import Sound
from profiles.writing import as_toml
from sleevegraph.errors import ConfigurationError, SleevegraphError

MARKET = "market.toml"


@click.group()
def profiles() -> None:
    """List, show, check and compare the profiles of sleeves, families and metas."""


@profiles.command("list")
@click.option("--all", "every", is_flag=True, help="One line for each sleeve of a family, too.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(every: bool, shape: str) -> None:
    """List sleeves, families and metas; a family is one line."""
    with _errors_as_one_line():
        found = rows(sound_in_use().profiles, every=every)
    click.echo(as_table(found) if shape == "table" else json.dumps(found, indent=1, ensure_ascii=False))


@profiles.command()
@click.argument("name")
@click.option("--format", "shape", type=click.Choice(["toml", "json"]), default="toml", show_default=True)
def show(name: str, shape: str) -> None:
    """Show the profile NAME with every default; of a family its template, its parameters and its sleeves."""
    with _errors_as_one_line():
        kind, data, names = _resolved(name, sound_in_use())
    if shape == "json":
        content = {**data, "sleeves": names} if kind == "family" else data
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))
        return
    click.echo(f"# {kind}")
    click.echo(as_toml(data), nl=False)
    if kind == "family":
        click.echo("".join(f"\n# {sleeve}" for sleeve in (f"{len(names):,} sleeves:", *names)))


@profiles.command()
@click.argument("folder", type=click.Path(path_type=Path), default=PROFILES, required=False)
def validate(folder: Path) -> None:
    """Check the profiles of FOLDER, by default those in use, and exit 1 if there is a defect.

    One line per defect: file, line, key, what was expected and what was found. What refers to a file that cannot be
    read is judged when that file is mended. The code of signals is executed.
    """
    if not folder.is_dir():
        raise click.UsageError(f"FOLDER: expected a folder with {MARKET}, found {str(folder)!r}")
    try:
        manifest = load_profiles(folder).manifest
    except ProfilesError as error:
        click.echo("\n".join(error.defects))
        raise click.exceptions.Exit(1) from error
    members = sum(len(family.sleeves) for family in manifest.families)
    families = f" ({members:,} of them of {len(manifest.families)} families)" if members else ""
    click.echo(f"{folder}: {len(manifest.sleeves):,} sleeves{families}, {len(manifest.metas)} metas, no defects")


@profiles.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
def diff(before: str, after: str | None) -> None:
    """Show what differs from A to B: the names of two sleeves, two families or two metas, or two folders.

    A folder alone is compared with the profiles in use. A line is `key: old -> new`, or `+new, -old` for the items of a
    list; between folders + came, - went and ~ changed, signals' code and scores included. Defaults count as if they were written, so that only what decides
    differs. Of families it is their files that are compared. Exits 0 whether or not anything differs.
    """
    with _errors_as_one_line():
        if _is_folder(before) and (after is None or _is_folder(after)):
            folders = Path(before), PROFILES if after is None else Path(after)
            old, new = (load_profiles(folder).manifest for folder in folders)
            signals = (signals_of(manifest, folder) for manifest, folder in zip((old, new), folders, strict=True))
            lines = [*manifest_changes(old, new), *signal_changes(*signals)]
        else:
            lines = _between(before, after, sound_in_use())
    click.echo("\n".join(lines) or "no differences")


def _between(before: str, after: str | None, found: Sound) -> list[str]:
    if after is None:
        raise ConfigurationError(f"A: expected a folder with {MARKET}, or B beside it, found {before!r} alone")
    (kind, old, _), (other, new, _) = _resolved(before, found), _resolved(after, found)
    if kind != other:
        raise ConfigurationError(
            f"A and B: expected two of one kind, found the {kind} {before} and the {other} {after}"
        )
    changed = key_changes({**old, "name": ""}, {**new, "name": ""})
    return [f"{key}: {change}" for key, change in changed.items()]


def _resolved(name: str, found: Sound) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    """Kind, content and, of a family, sleeves of what is called `name`."""
    manifest = found.profiles.manifest
    for family in manifest.families:
        if family.name == name:
            return "family", found.profiles.files[name].data, family.sleeves
    for kind, profiles_of in (("sleeve", manifest.sleeves), ("meta", manifest.metas)):
        for profile in profiles_of:
            if profile.name == name:
                return kind, profile.model_dump(mode="json"), ()
    found.require("NAME", name)
    known = sorted(part.name for part in (*manifest.sleeves, *manifest.metas, *manifest.families))
    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else "sleevegraph profiles list has them all"
    raise ConfigurationError(
        f"NAME: expected a sleeve, a family, a meta or a folder with {MARKET}, found {name!r}; {advice}"
    )


def _is_folder(text: str) -> bool:
    return (Path(text) / MARKET).is_file()


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
    try:
        yield
    except (SleevegraphError, OSError) as error:
        raise click.ClickException(" ".join(str(error).split())) from error
