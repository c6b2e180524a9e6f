"""The audit bundle of every sleeve and meta: written as a folder of its own, listed in the lake."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import dagster as dg
import polars as pl

from assets.audit_facts import SLEEVE_STAGES, meta_facts, sleeve_facts
from assets.audit_sources import AUDIT, AuditSources, Versions
from assets.grid import PREVIOUS, reaching_back
from assets.keys import KNOWN_BARS, UNIVERSE, key, scores_path, stage
from assets.metas import sleeves_below
from assets.pages import submit_pages
from assets.partitioned import Compute, Metadata, Partition, Stage
from resources.places import Place
from resources.store import Store
from sleevegraph.audit import layout
from sleevegraph.audit.facts import Facts
from sleevegraph.audit.ledger import Record, extended, newest_hash
from sleevegraph.audit.meta_bundle import meta_files, meta_records
from sleevegraph.audit.sleeve_bundle import sleeve_files, sleeve_records
from sleevegraph.errors import GateError, LakeError, SleevegraphError
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.meta_book import subtree

SCHEMA = pl.Schema({"file": pl.String(), "sha256": pl.String(), "bytes": pl.Int64()})

F = TypeVar("F", bound=Facts)


def sleeve_audit_stage(sleeve: SleeveProfile, market: MarketProfile, versions: Versions) -> Stage:
    """The bundle of a sleeve; `versions` has the code version of every asset that it names."""
    weights = stage(sleeve.name, "risk_weights")
    used = [UNIVERSE, scores_path(sleeve), *(stage(sleeve.name, asset) for asset in SLEEVE_STAGES)]
    before = {weights: reaching_back(1)} if sleeve.risk.turnover_limit is not None else {}
    deps = [dg.AssetDep(key(path), partition_mapping=before.get(path)) for path in used]
    manifest = Manifest(market=market, sleeves=(sleeve,), metas=())
    return _audit_stage(sleeve, manifest, versions, deps, "sleeves", sleeve_facts, sleeve_files, sleeve_records)


def meta_audit_stage(meta: MetaProfile, manifest: Manifest, versions: Versions) -> Stage:
    """The bundle of a meta; `versions` has the code version of every asset that it names."""
    nodes, sleeves = subtree(meta, manifest.metas), sleeves_below(meta, manifest)
    ordered = tuple(node for node in manifest.metas if node in nodes)
    below = [*(sleeve.name for sleeve in sleeves), *(node.name for node in ordered if node != meta)]
    used = [
        UNIVERSE,
        *(stage(sleeve.name, asset) for sleeve in sleeves for asset in ("risk_weights", "track_record")),
        *(stage(node.name, asset) for node in nodes for asset in ("meta_weights", "meta_track_record")),
        *(stage(meta.name, asset) for asset in ("flattened_weights", "meta_metrics")),
        *(stage(child, AUDIT) for child in below),
    ]
    deps = [dg.AssetDep(key(path)) for path in used]
    tree = Manifest(market=manifest.market, sleeves=tuple(sleeves), metas=ordered)
    return _audit_stage(meta, tree, versions, deps, "metas", meta_facts, meta_files, meta_records)


def _audit_stage(
    portfolio: SleeveProfile | MetaProfile,
    manifest: Manifest,
    versions: Versions,
    deps: Sequence[dg.AssetDep],
    group: str,
    read: Callable[[AuditSources, date], F],
    make_files: Callable[[F], dict[str, bytes]],
    make_records: Callable[[F, Mapping[str, bytes]], list[Record]],
) -> Stage:
    name = portfolio.name

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        sources = AuditSources(store, manifest, versions, days)
        # Pages are asked for ahead: processes draw them while bundles are made here.
        page = submit_pages(store, manifest, name, days)

        def compute(at: date) -> Partition:
            try:
                facts = read(sources, at)
                files = make_files(facts)
                html, summary = page(at).collect()
                files[layout.REPORT] = html.encode()
                ledger = extended(store.runs.ledger(name, at), make_records(facts, files))
            except (GateError, LakeError):
                raise
            except SleevegraphError as error:  # a partition that is BLOCKED would hide that there is no bundle
                raise LakeError(f"{name}/{AUDIT} {at}: expected to make a bundle, found {error}") from error
            files[layout.LEDGER] = ledger.encode("ascii")
            store.runs.write(name, at, files)
            figures: Metadata = {
                "standing": facts.standing,
                **({"reasons": list(facts.reasons)} if facts.reasons else {}),
                "ledger_head": newest_hash(ledger),
                "folder": _where(store.runs.path(name, at)),
                **({"summary": dg.MetadataValue.md(summary)} if summary else {}),
            }
            return Partition(_listing(files), figures)

        return compute

    return Stage(
        stage(name, AUDIT),
        group,
        SCHEMA,
        [key(KNOWN_BARS), *deps, dg.AssetDep(key(stage(name, AUDIT)), partition_mapping=PREVIOUS)],
        prepare,
        description="What was decided at P, on what grounds and under whose checks: files and a hash-chained ledger.",
        rules=manifest.model_dump(mode="json"),
        owner=portfolio.owner,
    )


def _listing(files: Mapping[str, bytes]) -> pl.DataFrame:
    rows = [(file, sha256(content).hexdigest(), len(content)) for file, content in sorted(files.items())]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _where(bundle: Place) -> dg.MetadataValue:
    return dg.MetadataValue.path(str(bundle)) if isinstance(bundle, Path) else dg.MetadataValue.url(str(bundle))
