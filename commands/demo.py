"""`sleevegraph demo`: the newest rebalances of the simulated market, and where to look next."""

from collections import Counter

import click

from commands.backfill import backfill
from commands.home import with_home
from commands.weights import weights
from resources.home import Home
from resources.receipts import Receipts
from resources.simulated_source import DEFAULT_END
from resources.store import Store
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
    context.invoke(backfill, folder=folder, first=dates[0], last=dates[-1], source="simulated", path=None)
    click.echo()
    context.invoke(weights, folder=folder, meta=META, on=dates[-1], profile="hrp", shape="table")
    click.echo()
    for line in _verdicts(Store(home=folder).receipts):
        click.echo(line)
    click.echo(
        f"""
Where to look next (home: {folder})
  make ui                                              the graph, its checks and every partition's metadata
  .venv/bin/sleevegraph weights meta_benchmark --format json
  .venv/bin/sleevegraph explain BTCUSDT --on {dates[-1]}
  .venv/bin/sleevegraph doctor
  docs/architecture.md                                 how it is built"""
    )


def _verdicts(receipts: Receipts) -> list[str]:
    counts: Counter[tuple[str, bool]] = Counter()
    for path in receipts.root.rglob("*.json"):
        asset, check = path.parent.parent.relative_to(receipts.root).parts, path.parent.name
        receipt = receipts.read(asset, check, path.stem)
        counts[check, receipt is not None and receipt.passed] += 1
    checks = sorted({check for check, _ in counts})
    return [f"check {check:<22} {counts[check, True]:>4} passed {counts[check, False]:>4} failed" for check in checks]
