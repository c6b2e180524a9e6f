"""A home that is thrown away: what another one knew before a rebalance, so that the rebalance can be computed again."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from resources import places
from resources.home import Home
from resources.lake import BARS, CORROBORATION, AssetPath
from resources.packed_runs import PackedRuns
from resources.places import Place
from resources.runs import Runs
from sleevegraph.audit.facts import run_id
from sleevegraph.calendar import previous


@contextmanager
def scratch_home(home: Home, assets: Collection[AssetPath], at: date) -> Iterator[Home]:
    """Make a home in a temporary folder that has of `home` what is older than the rebalance at `at`.

    That is partitions, verdicts and acceptances of `assets` from before `at`, all bars up to its month, the source, and
    the portfolios' bundles of the previous rebalance. They are links file by file, and copies of what is in object
    storage: whatever is written replaces a link, and never what it leads to.
    """
    with TemporaryDirectory(prefix="sleevegraph-replay-") as folder:
        scratch = Home(Path(folder).resolve())
        for asset in assets:
            for source, target in (
                (home.lake, scratch.lake),
                (home.receipts, scratch.receipts),
                (home.acceptances, scratch.acceptances),
            ):
                _bring_older(source.joinpath(*asset), target.joinpath(*asset), str(at))
        _bring_older(home.lake.joinpath(*BARS), scratch.lake.joinpath(*BARS), str(at))  # of months, those up to its own
        # Not what is older alone: what was in hand beside the bars at this rebalance is an input of it, as the bars are.
        at_hand = home.lake.joinpath(*CORROBORATION, f"{at}.parquet")
        _bring(at_hand, scratch.lake.joinpath(*CORROBORATION, at_hand.name))
        for portfolio in {asset[0] for asset in assets}:
            _bring_bundle(home.runs, scratch.runs, portfolio, previous(at))
        _link(home.source, scratch.source)
        yield scratch


def _bring_older(source: Place, target: Path, key: str) -> None:
    """Link or copy the files below a folder that are named by a key before `key`."""
    if isinstance(source, Path):
        _link_older(source, target, key)
        return
    older = [parts for parts in places.below(source) if parts[-1].rpartition(".")[0] < key]
    with places.one_look(source):
        fetched = places.for_each(source, lambda parts: places.content(source.joinpath(*parts))[1], older)
        for parts, content in zip(older, fetched, strict=True):
            places.put(target.joinpath(*parts), content)


def _bring(source: Place, target: Path) -> None:
    if isinstance(source, Path):
        _link(source, target)
        return
    with suppress(FileNotFoundError):
        places.put(target, places.content(source)[1])


def _bring_bundle(source: Place, target: Path, portfolio: str, at: date) -> None:
    if isinstance(source, Path):
        _link(source / run_id(portfolio, at), target / run_id(portfolio, at))
    elif files := PackedRuns(source).read(portfolio, at):
        Runs(target).write(portfolio, at, files)


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
