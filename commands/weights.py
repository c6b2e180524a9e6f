"""`sleevegraph weights`: the physical weights of a meta at a rebalance, and which sleeve contributes what."""

import csv
import json
from collections.abc import Mapping
from datetime import date
from io import StringIO
from itertools import takewhile
from math import fsum

import click
import polars as pl
from rich.console import Console
from rich.table import Table

from assets.keys import stage
from assets.metas import sleeves_below
from commands.home import GridDate, reading, stdout_console, with_home
from commands.in_force import Decision, books_in_force, decision_in_force, standings
from commands.in_use import sound_in_use
from commands.stored import chosen_rebalance, warning_of
from profiles.sound import Sound
from resources.home import Home
from resources.store import Store
from sleevegraph.errors import ConfigurationError
from sleevegraph.fate import percent
from sleevegraph.flattening import cancelled
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.physical import PhysicalBook, by_sleeve

MAX_COLUMNS = 12
"""Sleeves that a table has columns for."""


@click.command()
@click.argument("meta")
@click.option("--on", type=GridDate(), help="Rebalance date; by default the newest that is stored.")
@click.option("--risk-profile", "profile", type=click.Choice(RISK_PROFILES), default="hrp", show_default=True)
@click.option("--format", "shape", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@with_home
@reading
def weights(home: Home, meta: str, on: date | None, profile: str, shape: str) -> None:
    """Show the physical weights of META that are in force, with the contribution of every sleeve."""
    sound = sound_in_use()
    chosen, manifest = chosen_meta(meta, sound), sound.profiles.manifest
    store = Store(home=str(home.root))
    at = chosen_rebalance(home, store.lake, stage(meta, "flattened_weights"), on)
    decision = decision_in_force(store, chosen, at)
    book = books_in_force(store, decision, [profile])[profile]
    standing = standings(store, chosen, manifest, decision.decided)
    sleeves = [sleeve.name for sleeve in sleeves_below(chosen, manifest)]
    _say(decision, standing, warning_of(home))
    if shape == "table":
        console = stdout_console()
        console.print(_table(book, sleeves, _title(decision, profile, warning_of(home))))
        _print_footer(console, book, standing)
        return
    click.echo(f"cash {book.cash:.6f}, dust {book.dust:.2e}", err=True)
    click.echo(as_json(book) if shape == "json" else as_csv(book, sleeves), nl=shape == "json")


def as_json(book: PhysicalBook) -> str:
    """List the positions as objects with symbol, net, gross, netted and contributions."""
    return json.dumps(_with_netted(book).to_dicts(), indent=1, ensure_ascii=False)


def as_csv(book: PhysicalBook, sleeves: list[str]) -> str:
    """One line per position, one column per sleeve after symbol, net, gross and netted."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["symbol", "net", "gross", "netted", *sleeves])
    shares = by_sleeve(book.positions)
    for symbol, *figures in _with_netted(book).drop("contributions").iter_rows():
        writer.writerow([symbol, *figures, *(shares[symbol].get(sleeve, 0.0) for sleeve in sleeves)])
    return text.getvalue()


def _with_netted(book: PhysicalBook) -> pl.DataFrame:
    """The positions with what netting takes away of their gross."""
    netted = (pl.col("gross") - pl.col("net").abs()).alias("netted")
    return book.positions.select("symbol", "net", "gross", netted, "contributions")


def chosen_meta(name: str, sound: Sound) -> MetaProfile:
    """The meta of that name; ConfigurationError with why it is refused, or the names there are."""
    metas = sound.profiles.manifest.metas
    for meta in metas:
        if meta.name == name:
            return meta
    sound.require("META", name)
    known = ", ".join(sorted(meta.name for meta in metas))
    raise ConfigurationError(f"META: expected one of {known}, found {name!r}")


def _say(decision: Decision, standing: Mapping[str, str], warning: str) -> None:
    """Tell on stderr what a reader of the figures alone would miss."""
    if warning:
        click.echo(warning, err=True)
    if decision.blocked:
        text = f"{decision.at} is blocked: {decision.blocked}; showing weights of {decision.decided}, drifted"
        click.echo(text, err=True)
    for name, text in standing.items():
        if text.startswith("HELD"):
            click.echo(f"{name}: {text}", err=True)


def _title(decision: Decision, profile: str, warning: str) -> str:
    drift = f", weights of {decision.decided}, drifted" if decision.blocked else ""
    return f"{decision.meta} at {decision.at}, {profile}{drift}" + (f" ({warning})" if warning else "")


def _table(book: PhysicalBook, sleeves: list[str], title: str) -> Table:
    shares = by_sleeve(book.positions)
    words = zip(*(sleeve.split("_") for sleeve in sleeves), strict=False)
    shared = "_".join(word[0] for word in takewhile(lambda word: len(set(word)) == 1, words))
    caption = f"columns after gross: contributions of the sleeves {shared}_…" if shared else None
    table = Table(title=title, caption=caption, show_footer=True)
    table.add_column("symbol", footer="sum", no_wrap=True)
    for name in ("net", "gross"):
        table.add_column(name, footer=percent(fsum(book.positions[name])), justify="right", no_wrap=True)
    shown = sleeves if len(sleeves) <= MAX_COLUMNS else []
    if not shown:
        table.caption = f"contributions of {len(sleeves)} sleeves: --format csv or json"
    for sleeve in shown:
        total = fsum(share.get(sleeve, 0.0) for share in shares.values())
        table.add_column(sleeve.removeprefix(f"{shared}_"), footer=percent(total), justify="right", overflow="fold")
    for symbol, net, gross in book.positions.select("symbol", "net", "gross").iter_rows():
        contributions = (shares[symbol].get(sleeve, 0.0) for sleeve in shown)
        table.add_row(symbol, percent(net), percent(gross), *(percent(c) if c else "" for c in contributions))
    return table


def _print_footer(console: Console, book: PhysicalBook, standing: Mapping[str, str]) -> None:
    nets, gross = book.positions["net"], book.positions["gross"]
    figures = {
        "Σ net": fsum(nets),
        "Σ gross before netting": fsum(gross),
        "Σ |net|": fsum(nets.abs()),
        "netted away": fsum(gross) - fsum(nets.abs()),
        "cash": book.cash,
    }
    sums = ", ".join(f"{name} {percent(value)}" for name, value in figures.items())
    console.print(f"{sums}, dust {book.dust:.1e}", highlight=False, soft_wrap=True)
    gone = cancelled(book.positions)["symbol"].to_list()
    if gone:
        console.print(f"long and short cancel, nothing is held: {', '.join(gone)}", highlight=False, soft_wrap=True)
    for name, text in standing.items():
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)
