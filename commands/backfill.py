"""`sleevegraph backfill`: bars, then every rebalance of a range, then the views over what came out."""

import os
import time
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from assets.building import placed, places_of
from commands.by_executor import by_executor
from commands.home import GridDate, create, open_to_run, with_home
from commands.in_force import held_over
from commands.in_use import definitions_in_use, manifest_in_use, sound_in_use
from commands.progress import quiet_run
from commands.stored import warning_of
from profiles.sound import Sound
from resources.channels import ALERTS_VARIABLE
from resources.grid import GRID
from resources.home import Home
from resources.preflight import preflight
from resources.solver_pool import warm_up
from resources.store import PATH_VARIABLE, SOURCE_VARIABLE, Store
from sleevegraph.calendar import grid_dates
from sleevegraph.errors import ConfigurationError, SleevegraphError

SHOWN = 5
"""Rebalances whose held-over weights are told one by one."""


@click.command()
@click.option("--from", "first", type=GridDate(), required=True, help="First rebalance date.")
@click.option("--to", "last", type=GridDate(), required=True, help="Last rebalance date.")
@click.option(
    "--source",
    type=click.Choice(["files", "simulated", "binance"]),
    help="Market source; a home remembers its own. Bars of binance are fetched only where the home has none yet, "
    "and the stored ones are used otherwise: run ingest for newer ones.",
)
@click.option("--path", type=click.Path(path_type=Path), help="Parquet or CSV file or folder, for --source files.")
@click.option(
    "--select", "chosen", multiple=True, metavar="ASSET", help="Only this asset, with its checks; no bars. Repeatable."
)
@with_home
def backfill(
    home: Home, first: date, last: date, source: str | None, path: Path | None, chosen: tuple[str, ...]
) -> None:
    """Ingest bars, then run every rebalance from one date to another with all checks."""
    keys = _keys(first, last)
    elsewhere = by_executor("rebalance")
    _require_settings()
    _choose_source(source, path)
    ingests = not chosen and _lacks_bars(home)
    create(home)
    console = Console(stderr=True)
    began = time.monotonic()
    defs = definitions_in_use()
    assets = _selected(defs, chosen, sound_in_use())
    with open_to_run(home) as instance:
        if elsewhere is None:
            warm_up(sorted({engine for sleeve in manifest_in_use().sleeves for engine in sleeve.risk.engines}))
        if ingests:
            quiet_run(defs, "ingest", ["daily_bars"], instance, console)
        span = (str(keys[0]), str(keys[-1]))
        quiet_run(defs, "rebalance", assets, instance, console, partitions=span, elsewhere=elsewhere)
        quiet_run(defs, "ingest", ["warehouse"], instance, console)
    seconds = time.monotonic() - began
    blocked = 0 if assets else _say_held_over(home, keys)
    made = f"{', '.join(assets)}: " if assets else ""
    text = f"{made}{len(keys)} rebalances from {keys[0]} to {keys[-1]} in {seconds:.1f} s under {home.root}"
    text += f", {blocked} of them with weights held over" if blocked else ""
    click.echo(f"{text} ({warning_of(home)})" if warning_of(home) else text)


def _require_settings() -> None:
    """Refuse to begin what could not be stored or computed; that nobody would be told of a failure is only said."""
    for trouble in preflight():
        if trouble.setting != ALERTS_VARIABLE:
            raise ConfigurationError(str(trouble))
        click.echo(str(trouble), err=True)


def _keys(first: date, last: date) -> list[date]:
    if first > last:
        raise ConfigurationError(f"--from: expected a date up to --to {last}, found {first}")
    newest = GRID.get_last_partition_key()
    if newest is None or str(last) > newest:
        raise ConfigurationError(f"--to: expected a rebalance date that has passed, at most {newest}, found {last}")
    return grid_dates(first, last)


def _selected(defs: dg.Definitions, chosen: Sequence[str], sound: Sound) -> list[str]:
    """Assets of the rebalance by name, such as meta_fractal/flattened_weights; one of a sleeve may be its family's."""
    keys = defs.resolve_job_def("rebalance").asset_layer.selected_asset_keys
    known = sorted(key.to_user_string() for key in keys)
    places = places_of(sound.profiles.manifest)
    names = list(dict.fromkeys("/".join(placed(tuple(name.split("/")), places)) for name in chosen))
    for name in names:
        if name not in known:
            sound.require("--select", name.partition("/")[0])
            (near,) = get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigurationError(f"--select: expected an asset of the rebalance, such as {near}, found {name!r}")
    return names


def _lacks_bars(home: Home) -> bool:
    """Whether there may be bars to ingest; those of an exchange are brought by the command `ingest` once there are any."""
    store = Store(home=str(home.root))
    return store.source_name() != "binance" or not store.lake.has_bars()


def _say_held_over(home: Home, keys: list[date]) -> int:
    """Tell on stderr what a gate held back, and return at how many rebalances."""
    store, manifest = Store(home=str(home.root)), manifest_in_use()
    reasons = {key: held_over(store, manifest, str(key)) for key in keys}
    blocked = {key: found for key, found in reasons.items() if found}
    for key, found in list(blocked.items())[:SHOWN]:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        click.echo(f"{key}: weights held over: {found[0]}{more}", err=True)
    if len(blocked) > SHOWN:
        click.echo(f"and at {len(blocked) - SHOWN} more rebalances", err=True)
    return len(blocked)


def _choose_source(source: str | None, path: Path | None) -> None:
    if path is not None and source in ("simulated", "binance"):
        raise ConfigurationError(f"--path: expected none with --source {source}, found {path}")
    if path is not None:
        source = source or "files"
        if not path.exists():
            raise ConfigurationError(f"--path: expected a Parquet or CSV file or a folder, found nothing at {path}")
        os.environ[PATH_VARIABLE] = str(path.resolve())
    if source == "files" and path is None:
        raise SleevegraphError("--path: expected a Parquet or CSV file or a folder with --source files, found none")
    if source is not None:
        os.environ[SOURCE_VARIABLE] = source
