"""`sleevegraph gates`: what every check says of one rebalance, and whether anything blocks."""

from collections.abc import Sequence
from datetime import date
from textwrap import shorten

import click
from rich.table import Table

from assets.gate_states import GateState, gate_states
from assets.gates import all_gates
from assets.keys import UNIVERSE
from commands.home import GridDate, reading, stdout_console, with_home
from commands.in_use import manifest_in_use
from commands.stored import chosen_rebalance, warning_of
from resources.home import Home
from resources.receipts import State
from resources.store import Store

REASON_WIDTH = 160
BLOCKED = "ERROR BLOCKED: "
"""How a finding begins that only hands on what an earlier gate refused."""
STYLES = {"PASSED": "green", "WARNED": "yellow", "ACCEPTED": "cyan", "PRUNED": "dim"} | dict.fromkeys(
    ("FAILED", "ABSENT", "STALE"), "red"
)


@click.command()
@click.option("--on", type=GridDate(), help="Rebalance date; by default the newest that is stored.")
@with_home
@reading
def gates(home: Home, on: date | None) -> None:
    """Show the state of every gate at one rebalance; exit 1 if any of them blocks."""
    store = Store(home=str(home.root))
    at = chosen_rebalance(home, store.lake, UNIVERSE, on)
    found = gate_states(store, all_gates(manifest_in_use()), at)
    if warning_of(home):
        click.echo(warning_of(home), err=True)
    console = stdout_console()
    console.print(_table(found, f"gates at {at}"))
    counts = [f"{count} {state}" for state in STYLES if (count := sum(verdict.state == state for verdict in found))]
    blocking = sum(verdict.blocks for verdict in found)
    console.print(f"{len(found)} gates: {', '.join(counts)}; blocking: {blocking or 'none'}", highlight=False)
    if blocking:
        raise click.exceptions.Exit(1)


def _table(found: Sequence[GateState], title: str) -> Table:
    table = Table(title=title)
    table.add_column("state", no_wrap=True)
    table.add_column("asset", overflow="fold")
    table.add_column("check", no_wrap=True)
    table.add_column("blocks", no_wrap=True)
    table.add_column("why", overflow="fold")
    for verdict in found:
        style = STYLES[verdict.state]
        text = shorten(_why(verdict), REASON_WIDTH, placeholder=" …")
        blocks = "yes" if verdict.blocks else "" if verdict.gate.blocking else "warns"
        state = f"[{style}]{verdict.state}[/]"
        table.add_row(state, "/".join(verdict.gate.path), verdict.gate.check, blocks, text)
    return table


def _why(verdict: GateState) -> str:
    """The reason, without what the other columns say; of a verdict by other rules than today's, that too."""
    reason = verdict.reason.removeprefix(
        f"{verdict.gate.check} of {'/'.join(verdict.gate.path)} at {verdict.partition}"
    )
    reason = reason.removeprefix(" failed").removeprefix(": ")
    if reason.startswith(BLOCKED):
        reason = f"blocked: {reason.removeprefix(BLOCKED).split(': ')[0]}"
    if verdict.receipt is None or verdict.state == State.STALE or verdict.receipt.holds_rules(verdict.gate.rules):
        return reason
    return "; ".join(filter(None, (reason, "judged by the rules of its day, which have changed since")))
