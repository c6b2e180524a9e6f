"""A home that is thrown away: what another one knew before a rebalance, so that the rebalance can be computed again."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from resources.home import Home
from resources.lake import BARS, CORROBORATION, AssetPath
from sleevegraph.audit.facts import run_id
from sleevegraph.calendar import previous


@contextmanager
def scratch_home(home: Home, assets: Collection[AssetPath], at: date) -> Iterator[Home]:
    """Make a home in a temporary folder that has of `home` what is older than the rebalance at `at`.

    That is partitions, verdicts and acceptances of `assets` from before `at`, all bars up to its month, the source, and
    the portfolios' bundles of the previous rebalance. They are links file by file: whatever is written replaces a link, and
    never what it leads to.
    """
    with TemporaryDirectory(prefix="sleevegraph-replay-") as folder:
        scratch = Home(Path(folder).resolve())
        for asset in assets:
            for source, target in (
                (home.lake, scratch.lake),
                (home.receipts, scratch.receipts),
                (home.acceptances, scratch.acceptances),
            ):
                _link_older(source.joinpath(*asset), target.joinpath(*asset), str(at))
        _link_older(home.lake.joinpath(*BARS), scratch.lake.joinpath(*BARS), str(at))  # of months, those up to its own
        # Not what is older alone: what was in hand beside the bars at this rebalance is an input of it, as the bars are.
        at_hand = home.lake.joinpath(*CORROBORATION, f"{at}.parquet")
        _link(at_hand, scratch.lake.joinpath(*CORROBORATION, at_hand.name))
        for portfolio in {asset[0] for asset in assets}:
            _link(home.runs / run_id(portfolio, previous(at)), scratch.runs / run_id(portfolio, previous(at)))
        _link(home.source, scratch.source)
        yield scratch


def _link_older(source: Path, target: Path, key: str) -> None:
    """Link the files below a folder that are named by a key before `key`."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not name.startswith(".") and name.rpartition(".")[0] < key:
                (place / name).symlink_to(Path(folder, name))


def _link(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
