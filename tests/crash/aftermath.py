"""What a killed attempt leaves, seen as readers see it, and what homes have in common."""

import json
from hashlib import sha256
from pathlib import Path

import polars as pl

from assets.certification_board import BOARD
from resources.home import Home
from resources.lake import Lake
from tests.command_homes import sleevegraph

STATUSES = {"OK", "CASH", "BLOCKED"}
_verified: dict[Path, dict[Path, tuple[int, int]]] = {}


def defects(root: Path) -> list[str]:
    """What is half written: a partition, a verdict, another file of the home, or a bundle that does not verify."""
    home, found = Home(root), []
    for file in home.lake.rglob("[!.]*.parquet"):
        try:
            assert pl.read_parquet(file, glob=False).width > 1
            assert pl.read_parquet_metadata(file).get("sleevegraph_status") in STATUSES
        except (pl.exceptions.PolarsError, AssertionError, OSError) as error:
            found.append(f"{file.relative_to(root)}: {type(error).__name__}")
    for file in (*home.receipts.rglob("[!.]*.json"), *root.joinpath("data").glob("[!.]*.json")):
        try:
            assert isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
        except (ValueError, AssertionError) as error:
            found.append(f"{file.relative_to(root)}: {type(error).__name__}")
    return [*found, *_unverified(home.runs)]


def _unverified(runs: Path) -> list[str]:
    """What `sleevegraph verify` says of bundles, where it is not that all is well; not asked again while they stay the same."""
    files = [path for bundle in runs.glob("[!.]*") for path in (bundle, *bundle.rglob("*"))]
    seen = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
    if not seen or _verified.get(runs) == seen:
        return []
    verified = sleevegraph("verify", runs.parent)
    if verified.exit_code:
        return [verified.output]
    _verified[runs] = seen
    return []


def leftovers(root: Path) -> list[Path]:
    """Hidden files and folders below data and runs, each folder once: what is under way, or was."""
    hidden = [path for part in ("data", "runs") for path in root.joinpath(part).rglob(".*")]
    return [path for path in hidden if path.parent not in hidden]


LEDGERS = ("audit.jsonl", "audit_bundle/", "audit_verified/")
"""Of what a ledger says of itself: it is continued where a rebalance is run again, and each links the one before."""


def but_ledgers(root: Path) -> dict[str, str]:
    """`outcome`; of how often a ledger was continued nothing but that it is there."""
    found, lake = outcome(root), Home(root).lake
    found |= dict.fromkeys((name for name in found if any(part in name for part in LEDGERS)), "")
    for file in lake.joinpath(*BOARD).glob("[!.]*.parquet"):  # it names the last of a ledger's hashes
        rows = pl.read_parquet(file, glob=False).drop("ledger_head").write_ndjson()
        found[file.relative_to(root).as_posix()] = sha256(rows.encode()).hexdigest()
    return found


def outcome(root: Path) -> dict[str, str]:
    """Lake, verdicts and bundles by file.

    A digest leaves out how long each solve took, which the lake keeps beside the cells. Everything else is compared to the
    bit: no verdict and no bundle holds a time, a run's id or a path of its home.
    """
    home = Home(root)
    lake = Lake(home.lake)
    found = {
        file.relative_to(root).as_posix(): lake.digest(file.parent.relative_to(home.lake).parts, file.stem)
        for file in home.lake.rglob("[!.]*.parquet")
    }
    for folder in (home.receipts, home.runs):
        files = (path for path in folder.rglob("[!.]*") if path.is_file() and path not in leftovers(root))
        found |= {file.relative_to(root).as_posix(): sha256(file.read_bytes()).hexdigest() for file in files}
    return found
