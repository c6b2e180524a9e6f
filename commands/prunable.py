"""What of a home may be pruned: old partitions that their bundles vouch for, and what dead processes left."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

from assets.keys import UNIVERSE, stage
from assets.report_sources import WINDOWS
from commands.in_force import decision_in_force
from resources.home import Home
from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.layout import LEDGER
from sleevegraph.audit.verification import verify
from sleevegraph.errors import SleevegraphError
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import Manifest, SleeveProfile
from sleevegraph.retention import NEWEST_KEPT, needed_since, split

AUDIT = "audit_bundle"
_LEFT = re.compile(r"\..+\.(?P<pid>[0-9]+)\.tmp")
"""What `resources/atomic.py` and `resources/runs.py` write to before a file or folder is in its place."""
YOUNG_SECONDS, OLD_SECONDS = 600, 86_400
"""A leftover is nobody's once its process is gone and it is not young any more (a process of another container is not
seen from here), or once it is old."""


def reach_of(sleeve: SleeveProfile) -> dict[str, int]:
    """The bulky assets of a sleeve, and how many steps back on the grid a later rebalance or its verdicts read them."""
    return {
        "candidates": 0,
        "synthetic_returns": 0,
        "solver_cells": max(sleeve.risk.failure_windows, WINDOWS) + 1,
    }


@dataclass(frozen=True, slots=True)
class Prunable:
    """Old partitions of one asset of all sleeves."""

    files: dict[tuple[AssetPath, str], int] = field(default_factory=dict)
    """Bytes by lake path and rebalance."""
    unproven: dict[str, str] = field(default_factory=dict)
    """Why the bundle does not vouch, by run id."""


def prunable_partitions(store: Store, manifest: Manifest, cut: date) -> dict[str, Prunable]:
    """By asset what of the lake may go; nothing at or after `cut`, in force, or read by a later rebalance."""
    found: dict[str, Prunable] = {}
    held = _held_by_metas(store, manifest)
    unproven_why = cache(lambda name, key: why_unproven(store, manifest, name, date.fromisoformat(key)))
    for sleeve in manifest.sleeves:
        in_force = [*held, *_in_force(store, sleeve)]
        for asset, reach in reach_of(sleeve).items():
            path, prunable = stage(sleeve.name, asset), found.setdefault(asset, Prunable())
            stored = store.lake.partitions(path)
            since = needed_since(cut, store.lake.partitions(UNIVERSE), in_force, reach)
            why = {key: unproven_why(sleeve.name, key) for key in stored if key < str(since)}
            chosen = split(stored, since, {key: not reason for key, reason in why.items()}, reach)
            prunable.files.update({(path, key): store.lake.size(path, key) for key in chosen.removable})
            prunable.unproven.update(
                {run_id(sleeve.name, date.fromisoformat(key)): why[key] for key in chosen.unproven if why[key]}
            )
    return found


def kept_rebalances(store: Store, manifest: Manifest) -> list[str]:
    """Rebalances whose pages stay, whatever their age: the newest, and those in force."""
    held = [*_held_by_metas(store, manifest), *(day for sleeve in manifest.sleeves for day in _in_force(store, sleeve))]
    return sorted({*store.lake.partitions(UNIVERSE)[-NEWEST_KEPT:], *map(str, held)})


def _held_by_metas(store: Store, manifest: Manifest) -> list[date]:
    """The newest certified rebalance of every meta; of one without any, nothing is known to be in force."""
    found = []
    for meta in manifest.metas:
        stored = store.lake.partitions(stage(meta.name, "flattened_weights"))
        if stored:
            try:
                found.append(decision_in_force(store, meta, date.fromisoformat(stored[-1])).decided)
            except SleevegraphError:
                found.append(date.fromisoformat(stored[0]))  # nobody can say, so everything stays
    return found


def _in_force(store: Store, sleeve: SleeveProfile) -> list[date]:
    """The rebalance that a sleeve holds its weights of, by the newest of its records."""
    path = stage(sleeve.name, "track_record")
    stored = store.lake.partitions(path)
    if not stored:
        return []
    since = ledgers_from_rows(store.lake.read(path, stored[-1])).weights_from
    return [date.fromisoformat(str(since))] if since else []


def why_unproven(store: Store, manifest: Manifest, name: str, at: date) -> str:
    """Why the bundle of a sleeve does not vouch for a rebalance; empty when every guarantee of it holds."""
    run = run_id(name, at)
    files = store.runs.read(name, at)
    if not files:
        return f"{run}: expected its bundle, found none"
    failed = [one for one in verify(files, _beside(store, manifest, name, at), folder=run) if not one.ok]
    return f"{run}: {failed[0].name}: {failed[0].text}" if failed else ""


def _beside(store: Store, manifest: Manifest, name: str, at: date) -> Mapping[str, bytes]:
    """Ledgers that may name a bundle's, or that it may name: its own before and after, all others of the day."""
    stored = store.lake.partitions(stage(name, AUDIT))
    own = [*[key for key in stored if key < str(at)][-1:], *[key for key in stored if key > str(at)][:1]]
    wanted = [(name, date.fromisoformat(key)) for key in own]
    wanted += [(other.name, at) for other in (*manifest.sleeves, *manifest.metas) if other.name != name]
    found = {run_id(other, day): store.runs.file(other, day, LEDGER) for other, day in wanted}
    return {run: ledger for run, ledger in found.items() if ledger}


def leftovers(home: Home) -> Iterator[Path]:
    """Temporary files and folders of processes that were killed, in the folders of a home on this machine."""
    now = time.time()
    for folder in (home.root / "data", home.root / "runs", home.dagster):
        for path in folder.rglob(".*.tmp"):
            named = _LEFT.fullmatch(path.name)
            try:
                age = now - path.stat().st_mtime
            except FileNotFoundError:  # a writer has moved it into place
                continue
            if named and (age > OLD_SECONDS or (age > YOUNG_SECONDS and not _alive(int(named["pid"])))):
                yield path


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
