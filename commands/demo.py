"""`sleevegraph demo`: the newest rebalances of the simulated market, and where to look next."""

from collections import Counter
from datetime import date

import click

from commands.backfill import backfill
from commands.home import with_home
from commands.weights import weights
from resources.home import PROJECT, Home
from resources.receipts import Receipts
from resources.simulated_source import DEFAULT_END
from resources.store import Store
from sleevegraph.audit.layout import REPORT
from sleevegraph.calendar import START, grid_dates

REBALANCES = 12
META = "meta_fractal"


@click.command()
@with_home
@click.pass_context
def demo(context: click.Context, home: Home) -> None:
    """Run the whole lineage on the simulated market: no network, no real prices."""
    dates = grid_dates(START, DEFAULT_END)[-REBALANCES:]
    folder = str(home.root)
    context.invoke(backfill, folder=folder, first=dates[0], last=dates[-1], source="simulated", path=None, chosen=())
    click.echo()
    context.invoke(weights, folder=folder, meta=META, on=dates[-1], profile="hrp", shape="table")
    click.echo()
    for line in _verdicts(Store(home=folder).receipts, {str(day) for day in dates}):
        click.echo(line)
    for line in _next(home, dates[-1]):
        click.echo(line)


def _verdicts(receipts: Receipts, keys: set[str]) -> list[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for asset, check, key in receipts.stored():
        if key not in keys:
            continue  # a home may hold more than this demonstration
        receipt = receipts.read(asset, check, key)
        passed, warned = (receipt.passed, bool(receipt.findings)) if receipt else (False, False)
        counts[check, "failed" if not passed else "warned" if warned else "passed"] += 1
    checks = sorted({check for check, _ in counts})
    return [
        f"check {check:<22} "
        + " ".join(f"{counts[check, state]:>4} {state}" for state in ("passed", "warned", "failed"))
        for check in checks
    ]


def _next(home: Home, newest: date) -> list[str]:
    elsewhere = "" if home.root == PROJECT else f" --home {home.root}"
    bundle = Store(home=str(home.root)).runs.path(META, newest)
    page = "make ui" if home.root == PROJECT else f"DAGSTER_HOME={home.dagster} .venv/bin/dagster dev"
    places = (
        (page, "the graph, its checks, figures and pictures of every partition"),
        (f".venv/bin/sleevegraph weights meta_benchmark --format json{elsewhere}", "the same as data"),
        (f".venv/bin/sleevegraph explain SIM003USDT --on {newest}{elsewhere}", "why a symbol was dropped"),
        (f".venv/bin/sleevegraph gates{elsewhere}", "what every check says of the newest rebalance"),
        (f".venv/bin/sleevegraph verify {bundle}", "what its audit proves, from its own files"),
        (str(bundle / REPORT), "the forensic report, for a browser"),
        (f".venv/bin/sleevegraph doctor{elsewhere}", "whether all is well"),
        ("README.md", "your own bars, sleeves and metas"),
        ("docs/architecture.md", "how it is built"),
    )
    width = max(len(place) for place, _ in places)
    return ["", f"Where to look next (home: {home.root})", *(f"  {place:<{width}}  {what}" for place, what in places)]
