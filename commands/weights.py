"""`sleevegraph weights`: the physical weights of a meta at a rebalance, and which sleeve contributes what."""

import csv
import json
from collections.abc import Mapping
from datetime import date
from io import StringIO
from math import fsum

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets.sleeves import stage
from commands.home import GridDate, stdout_console, with_home
from commands.in_force import Decision, book_in_force, decision_in_force, standings
from commands.stored import chosen_rebalance, warning_of
from profiles.load import load_manifest
from resources.home import Home
from resources.store import Store
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.physical import PhysicalBook, by_sleeve


@click.command()
@click.argument("meta")
@click.option("--on", type=GridDate(), help="Rebalance date; by default the newest that is stored.")
@click.option("--risk-profile", "profile", type=click.Choice(RISK_PROFILES), default="hrp", show_default=True)
@click.option("--format", "shape", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@with_home
def weights(home: Home, meta: str, on: date | None, profile: str, shape: str) -> None:
    """Show the physical weights of META that are in force, with the contribution of every sleeve."""
    manifest = load_manifest()
    chosen = _meta(meta, manifest)
    store = Store(home=str(home.root))
    at = chosen_rebalance(home, store.lake, stage(meta, "flattened_weights"), on)
    decision = decision_in_force(store, meta, at)
    book = book_in_force(store, decision, profile)
    sleeves = standings(store, chosen, manifest, decision.decided)
    warning = warning_of(home)
    _say(decision, sleeves, warning)
    if shape == "table":
        _print_table(book, decision, profile, sleeves, warning)
        return
    click.echo(f"cash {book.cash:.6f}, dust {book.dust:.2e}", err=True)
    click.echo(as_json(book) if shape == "json" else as_csv(book, list(sleeves)), nl=shape == "json")


def as_json(book: PhysicalBook) -> str:
    """List the positions as objects with symbol, net, gross and contributions."""
    return json.dumps(book.positions.to_dicts(), indent=1, ensure_ascii=False)


def as_csv(book: PhysicalBook, sleeves: list[str]) -> str:
    """One line per position, one column per sleeve after symbol, net and gross."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["symbol", "net", "gross", *sleeves])
    shares = by_sleeve(book.positions)
    for symbol, net, gross in book.positions.select("symbol", "net", "gross").iter_rows():
        writer.writerow([symbol, net, gross, *(shares[symbol].get(sleeve, 0.0) for sleeve in sleeves)])
    return text.getvalue()


def _meta(name: str, manifest: Manifest) -> MetaProfile:
    for meta in manifest.metas:
        if meta.name == name:
            return meta
    known = ", ".join(sorted(meta.name for meta in manifest.metas))
    raise ConfigurationError(f"META: expected one of {known}, found {name!r}")


def _say(decision: Decision, sleeves: Mapping[str, str], warning: str) -> None:
    """Tell on stderr what a reader of the figures alone would miss."""
    if warning:
        click.echo(warning, err=True)
    if decision.blocked:
        text = f"{decision.at} is blocked: {decision.blocked}; showing weights of {decision.decided}, drifted"
        click.echo(text, err=True)
    for sleeve, standing in sleeves.items():
        if standing.startswith("HELD"):
            click.echo(f"{sleeve}: {standing}", err=True)


def _print_table(
    book: PhysicalBook, decision: Decision, profile: str, sleeves: Mapping[str, str], warning: str
) -> None:
    title = f"{decision.meta} at {decision.at}, {profile}"
    title += f", weights of {decision.decided}, drifted" if decision.blocked else ""
    table = Table(title=f"{title} ({warning})" if warning else title, show_footer=True)
    nets, gross = book.positions["net"], book.positions["gross"]
    shares = by_sleeve(book.positions)
    table.add_column("symbol", footer="sum", no_wrap=True)
    table.add_column("net", footer=_percent(fsum(nets)), justify="right", no_wrap=True)
    table.add_column("gross", footer=_percent(fsum(gross)), justify="right", no_wrap=True)
    for sleeve in sleeves:
        total = fsum(share.get(sleeve, 0.0) for share in shares.values())
        table.add_column(sleeve, footer=_percent(total), justify="right", overflow="fold")
    for symbol, net, before in book.positions.select("symbol", "net", "gross").iter_rows():
        contributions = (shares[symbol].get(sleeve, 0.0) for sleeve in sleeves)
        table.add_row(symbol, _percent(net), _percent(before), *(_percent(c) if c else "" for c in contributions))
    console = stdout_console()
    console.print(table)
    _print_footer(console, book, sleeves)


def _print_footer(console: Console, book: PhysicalBook, sleeves: Mapping[str, str]) -> None:
    nets, gross = book.positions["net"], book.positions["gross"]
    figures = {
        "Σ net": fsum(nets),
        "Σ gross before netting": fsum(gross),
        "Σ |net|": fsum(nets.abs()),
        "cash": book.cash,
    }
    sums = ", ".join(f"{name} {_percent(value)}" for name, value in figures.items())
    console.print(f"{sums}, dust {book.dust:.1e}", highlight=False)
    for sleeve, standing in sleeves.items():
        console.print(escape(f"{sleeve}: {standing}"), highlight=False)


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f} %"
