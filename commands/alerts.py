"""`sleevegraph alerts`: what there is to hear of, who has heard of it, and whether alerts arrive."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from textwrap import shorten

import click
from rich.table import Table

from commands.home import stdout_console, with_home
from resources.channels import ALERTS_VARIABLE, page
from resources.deliveries import Deliveries, Standing
from resources.home import Home
from resources.notifier import try_channels
from resources.outbox import Outbox
from resources.store import Store

SHOWN = 50
REASON_WIDTH = 120
UNSET = f'{ALERTS_VARIABLE}: expected URLs, separated by white space, found none; set it, e.g. {ALERTS_VARIABLE}="'
EXAMPLES = "https://example.org/hook slack://A/B/C mailtos://user:password@example.org file:///var/log/alerts.jsonl"


@click.group()
def alerts() -> None:
    """Facts for alerts, and where they went."""


@alerts.command(name="list")
@click.option("--waiting", is_flag=True, help="Only what somebody has not heard of yet.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@with_home
def list_(home: Home, *, waiting: bool, form: str) -> None:
    """Show facts, the newest last, and for each URL whether it has heard of them."""
    outbox = Store(home=str(home.root)).alerts
    found = Deliveries(outbox).standings(waiting=waiting) if outbox.file.exists() else []
    if form == "json":
        click.echo(json.dumps([_record(standing) for standing in found], indent=1))
        return
    if found:
        stdout_console().print(_table(found[-SHOWN:]))
    _sum_up(outbox, found)


def _sum_up(outbox: Outbox, found: list[Standing]) -> None:
    late = sum(standing.waiting for standing in found)
    more = f", the last {SHOWN} shown; --format json has all" if len(found) > SHOWN else ""
    click.echo(f"{len(found)} facts{more}; {late} wait")
    for channel, reason in Deliveries(outbox).trouble() if outbox.file.exists() else []:
        click.echo(f"{channel}: {reason}")


def _record(standing: Standing) -> dict[str, object]:
    fact = standing.kept.fact
    return {
        **asdict(fact),
        "at": fact.at.isoformat(),
        "number": standing.kept.number,
        "count": standing.kept.count,
        "link": fact.link(page()),
        "state": "waiting" if standing.waiting else "sent",
        "channels": list(standing.told),
    }


def _table(found: list[Standing]) -> Table:
    table = Table(title="alerts")
    for column in ("at", "kind", "what", "partition", "times", "why", "state"):
        table.add_column(column, no_wrap=column in {"at", "kind", "partition", "times"}, overflow="fold")
    for standing in found:
        fact = standing.kept.fact
        what = " ".join(part for part in (fact.asset, fact.name) if part)
        why = shorten(fact.reason, REASON_WIDTH, placeholder=" …")
        at, state = f"{fact.at:%Y-%m-%d %H:%M:%S}", "waiting" if standing.waiting else "sent"
        table.add_row(at, fact.kind.value, what, fact.partition, str(standing.kept.count), why, state)
    return table


@alerts.command(name="test")
@with_home
def test(home: Home) -> None:
    """Send a marked test message to every URL, and say of each whether it arrived; exit 1 when one did not."""
    outcomes = try_channels(datetime.now(UTC))
    if not outcomes:
        raise click.ClickException(f'{UNSET}{EXAMPLES}"')
    for outcome in outcomes:
        click.echo(f"{outcome.channel}: {f'did not arrive: {outcome.reason}' if outcome.reason else 'arrived'}")
    failed = sum(bool(outcome.reason) for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} of {len(outcomes)} arrived; facts wait in the outbox of {home.root}")
    if failed:
        raise click.exceptions.Exit(1)
