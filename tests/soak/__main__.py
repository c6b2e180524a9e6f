"""`python -m tests.soak --years N`: simulated years of a desk through the real daemon, and a table of what came of them."""

import argparse
import re
import time
from collections import Counter
from datetime import date, timedelta

import click

from sleevegraph.calendar import HORIZON
from tests.command_homes import sleevegraph
from tests.homes import made_home, remove_homes, small_definitions
from tests.soak.driver import Soak
from tests.soak.findings import findings
from tests.soak.years import FIRST, YEAR, differences, soaked, undisturbed

DAYS = 365


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=float, default=1.0, help="simulated years (default 1)")
    years = parser.parse_args().years
    last = FIRST + timedelta(days=round(DAYS * years) - 1)
    if not FIRST < last < HORIZON - timedelta(days=60):
        parser.error(f"--years: expected a time that ends before {HORIZON}, found {years}")
    began, home = time.monotonic(), made_home(small_definitions())
    soak = Soak(home, FIRST, last + timedelta(days=60))
    try:
        soak.open()
        dates = soaked(soak, YEAR, last, click.echo)
    except BaseException:
        click.echo(f"left for a look: {home.root}")
        raise
    finally:
        soak.close()
    took = time.monotonic() - began
    plain = undisturbed(soak, dates)
    found = findings(soak.runs(), dates, soak.exchange.published)
    differing = differences(home, plain)
    _tell(soak, len(dates), took)
    found += [f"DIFFERS {each.file}" for each in differing if not each.of_ledger or before_any_other(soak, each.file)]
    if sleevegraph("verify", home.root).exit_code:
        found.append(f"UNVERIFIED: sleevegraph verify {home.root} says which bundle")
    click.echo(f"\n{len(differing)} files of ledgers continued, of rebalances run again and those after them")
    click.echo("\n".join(found) or "each rebalance exactly once, in order, none early; all else equal bit for bit")
    remove_homes([home, plain])
    raise SystemExit(bool(found))


def before_any_other(soak: Soak, file: str) -> bool:
    """Whether a file is of a rebalance before the first that was run twice, where no ledger was continued."""
    runs, times = soak.runs(), Counter(run.first for run in soak.runs())
    again = min((run.first for run in runs if run.is_range or times[run.first] > 1), default=date.max)
    days = re.findall(r"\d{4}-?\d{2}-?\d{2}", file)
    return all(date.fromisoformat(day) < again for day in days)


def _tell(soak: Soak, dates: int, took: float) -> None:
    runs = soak.runs()
    click.echo(f"\n{dates} rebalances from {soak.first}, {len(runs)} runs of them, in {took / 60:.0f} min\n")
    click.echo("| When (desk) | Fault | Planted | Seen |\n|---|---|---|---|")
    for event in soak.events:
        click.echo(f"| {event.at:%Y-%m-%d %H:%M} | {event.fault} | {event.planted} | {event.observed} |")


if __name__ == "__main__":
    main()
