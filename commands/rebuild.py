"""One rebalance computed again from what a home knew before it, by the graph itself, in a home that is thrown away."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache

import dagster as dg
import polars as pl
from rich.console import Console

from assets.audit_sources import AUDIT, AuditSources
from assets.keys import KNOWN_BARS
from commands.home import prepared
from commands.progress import quiet_run
from resources.acceptances import Acceptance
from resources.home import HOME_VARIABLE, LAKE_VARIABLE, Home
from resources.lake import BARS, AssetPath, Lake
from resources.scratch_home import scratch_home
from resources.solver_pool import warm_up
from resources.store import Store
from sleevegraph.audit.claim import Claim
from sleevegraph.audit.ledger import Record, current, read_ledger
from sleevegraph.audit.replay import Comparison, Rebuilt, compared, compared_bars, compared_inputs, other_environment
from sleevegraph.manifest import Manifest

ABSENT = "absent"
"""What a check notes of an earlier window that was never stored."""


def replayed(home: Home, claim: Claim, console: Console) -> tuple[list[Comparison], str]:
    """Compare a claim with what follows from the home's bars, and say in which other environment it was made.

    What it rests on is compared first; where that has changed, nothing is computed.
    """
    store = Store(home=str(home.root))
    inputs = compared_lake(store, claim)
    if any(one.difference for one in inputs):
        return inputs, ""
    with rebuilding(home, claim, console) as made:
        found = rebuilt(store.lake, made, claim)
        return [*inputs, *compared(claim, found)], other_environment(claim, found.records)


def compared_lake(store: Store, claim: Claim) -> list[Comparison]:
    """Compare bars and earlier partitions with those that a claim rests on; bars that differ come alone."""
    bars = compared_bars(claim, AuditSources(store, claim.manifest, {}, [claim.at]).bars(claim.at))
    if bars.difference:
        return [bars]
    stored = {
        (asset, partition): store.receipts.input_digest(f"{asset}@{partition}", partition)
        if digest == ABSENT
        else store.lake.digest(_path(asset), partition)
        for asset, partition, digest in claim.earlier()
    }
    return [bars, *compared_inputs(claim, stored)]


@contextmanager
def rebuilding(home: Home, claim: Claim, console: Console) -> Iterator[Store]:
    """Compute a rebalance of a portfolio again by the rules of its bundle, with all checks; the result is gone afterwards."""
    warm_up(sorted({engine for sleeve in claim.manifest.sleeves for engine in sleeve.risk.engines}))
    defs, assets = _graph(claim.manifest.model_dump_json(), claim.portfolio)
    names, key = ["/".join(asset) for asset in assets], str(claim.at)
    with scratch_home(home, assets, claim.at) as scratch, _at_home(scratch):
        made = Store(home=str(scratch.root))
        for accepted in claim.acceptances():
            made.acceptances.write(Acceptance(**{field.name: accepted[field.name] for field in fields(Acceptance)}))
        with dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
            quiet_run(defs, "rebalance", names, instance, console, partitions=(key, key))
        yield made


def rebuilt(lake: Lake, made: Store, claim: Claim) -> Rebuilt:
    """What was computed again, and what the lake has of it."""
    key = str(claim.at)

    def frames(asset: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        return lake.read(_path(asset), key), made.lake.read(_path(asset), key)

    def newest(portfolio: str) -> list[Record]:
        return current(read_ledger(made.runs.ledger(portfolio, claim.at)))

    assets = [stage["asset"] for stage in claim.at_the_rebalance()]
    return Rebuilt(
        files=made.runs.read(claim.portfolio, claim.at),
        records=newest(claim.portfolio),
        below={ledger[0]["portfolio"]: newest(ledger[0]["portfolio"]) for ledger in claim.below},
        stored={asset: lake.digest(_path(asset), key) for asset in assets if lake.has(_path(asset), key)},
        frames=frames,
    )


@lru_cache(maxsize=32)
def _graph(manifest: str, portfolio: str) -> tuple[dg.Definitions, list[AssetPath]]:
    """The graph of a manifest, and every asset of it that leads to a portfolio's bundle.

    Signals are those beside the profiles of today: one that has changed since has another code version.
    """
    from definitions import build_definitions  # noqa: PLC0415 - reads profiles, whose errors are ours to print

    defs = build_definitions(Manifest.model_validate_json(manifest))
    bundle = dg.AssetSelection.assets(dg.AssetKey([portfolio, AUDIT]))
    keys = bundle.upstream().resolve(defs.resolve_asset_graph()) - {
        dg.AssetKey(list(BARS)),
        dg.AssetKey(list(KNOWN_BARS)),
    }
    return defs, sorted(tuple(key.path) for key in keys)


@contextmanager
def _at_home(home: Home) -> Iterator[None]:
    """Let Dagster and our resources use a home for as long as the block runs."""
    before = {name: os.environ.get(name) for name in (HOME_VARIABLE, LAKE_VARIABLE, "DAGSTER_HOME")}
    prepared(home)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _path(asset: str) -> AssetPath:
    return tuple(asset.split("/"))
