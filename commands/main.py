"""The `sleevegraph` command."""

import click

from commands.backfill import backfill
from commands.doctor import doctor
from commands.explain import explain
from commands.weights import weights


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sleevegraph")
def main() -> None:
    """Certified portfolio weights from Binance Spot bars."""


for command in (backfill, weights, explain, doctor):
    main.add_command(command)
