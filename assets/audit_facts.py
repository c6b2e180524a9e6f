"""What the audit of a sleeve or meta rests on at one rebalance."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, timedelta
from hashlib import sha256

import numpy as np
import polars as pl

from assets.audit_sources import AUDIT, AuditSources
from assets.books import children_in_force, weights_in_force
from assets.gates import deciding_gates, meta_gates, sleeve_gates
from assets.keys import UNIVERSE, scores_path, stage
from assets.solvers import weights_before
from assets.verdicts import acceptances, check_record, sleeve_certificate
from resources.lake import AssetPath
from resources.provenance import environment
from resources.receipts import State
from sleevegraph.audit import layout
from sleevegraph.audit.facts import ChildRecord, MetaFacts, SleeveFacts, Stage
from sleevegraph.audit.ledger import Record, ending
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.certification import meta_standing, sleeve_standing
from sleevegraph.errors import GateError, LakeError
from sleevegraph.findings import Finding
from sleevegraph.ledgers import Targets
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile, SleeveProfile
from sleevegraph.risk_weights import targets

SHOWN = ("universe", "candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights")
"""Whose rows a bundle shows; of the other assets it names the partition."""
SLEEVE_STAGES = (*SHOWN[1:], "track_record", "sleeve_metrics")


def sleeve_facts(read: AuditSources, at: date) -> SleeveFacts:
    """The one sleeve of the manifest; GateError when a check has no verdict on what is stored."""
    (sleeve,), market, key = read.manifest.sleeves, read.manifest.market, str(at)
    gates = sleeve_gates(sleeve, market)
    checks = [check_record(read.store, gate, key) for gate in gates]
    standing, reasons = sleeve_standing(checks, sleeve_certificate(checks))
    own = [stage(sleeve.name, asset) for asset in SLEEVE_STAGES]
    frames = {path[-1]: read.lake.read(path, key) for path in (UNIVERSE, *own) if path[-1] in SHOWN}
    rows = {path: frames[path[-1]].height for path in (UNIVERSE, *own) if path[-1] in SHOWN}
    before = weights_before(read.store, sleeve, at) if sleeve.risk.turnover_limit is not None else None
    return SleeveFacts(
        name=sleeve.name,
        manifest=read.manifest,
        at=at,
        stages=[
            *([read.stage(stage(sleeve.name, "risk_weights"), before)] if before else []),
            *(read.stage(path, key, rows.get(path)) for path in (UNIVERSE, scores_path(sleeve), *own)),
        ],
        bars=read.bars(at),
        environment=environment(),
        anchors=read.anchors(sleeve.name, at, {}),
        checks=checks,
        acceptances=acceptances(read.store, gates, key),
        standing=standing,
        reasons=reasons,
        universe=frames["universe"],
        candidates=frames["candidates"],
        winners=frames["winners"],
        streams=frames["synthetic_returns"],
        cells=frames["solver_cells"],
        weights=frames["risk_weights"],
    )


def meta_facts(read: AuditSources, at: date) -> MetaFacts:
    """The meta above all others of the manifest, after the bundles of everything below it.

    Raises
    ------
    GateError
        When a check has no verdict on what is stored, or a bundle below is of what was stored before.
    LakeError
        When a bundle below is absent or was tampered with.
    """
    store, sleeves, (*below, meta) = read.store, read.manifest.sleeves, read.manifest.metas
    gates = meta_gates(meta, read.manifest)
    checks = [check_record(store, gate, str(at)) for gate in gates]
    ledgers = {portfolio.name: _ledger(read, portfolio.name, at) for portfolio in (*sleeves, *below)}
    books = {sleeve.name: _book(read, sleeve, ledgers[sleeve.name], at) for sleeve in sleeves}
    in_force = {node.name: children_in_force(store, [node], read.manifest, at) for node in (*below, meta)}
    held = {name: reason for name, (_, reason) in books.items()}
    held |= {node.name: "; ".join(in_force[node.name][1]) for node in below}
    children = [_child(name, records, held[name], meta=name in in_force) for name, records in ledgers.items()]
    standing, reasons = meta_standing(checks, {child.name: (child.standing, list(child.reasons)) for child in children})
    return MetaFacts(
        name=meta.name,
        manifest=read.manifest,
        at=at,
        stages=_meta_stages(read, meta, at),
        bars=read.bars(at),
        environment=environment(),
        anchors=read.anchors(meta.name, at, {child: ledgers[child] for child in meta.children}),
        checks=checks,
        acceptances=acceptances(store, gates, str(at)),
        standing=standing,
        reasons=reasons,
        streams=_lookback(read, meta, at),
        meta_weights={node: rows[node] for node, (rows, _) in in_force.items()},
        books={p: {sleeve: book[p] for sleeve, (book, _) in books.items()} for p in RISK_PROFILES},
        flattened=read.lake.read(stage(meta.name, "flattened_weights"), str(at)),
        sign_findings={sleeve.name: _sign_findings(read, sleeve.name, ledgers[sleeve.name], at) for sleeve in sleeves},
        children=children,
    )


def _child(name: str, records: Sequence[Record], held: str, *, meta: bool) -> ChildRecord:
    end = ending(records)
    return ChildRecord(name, "meta" if meta else "sleeve", end["standing"], end["reasons"], held)


def _ledger(read: AuditSources, child: str, at: date) -> list[Record]:
    """The newest generation of a bundle below, which has to be of what is stored now."""
    records = read.ledger(child, at)
    if not records:
        raise LakeError(f"{child}/{AUDIT} {at}: expected its bundle, found none; materialise {child}/{AUDIT} first")
    for record in records:
        if record["event"] == "stage":
            used = Stage(**{field.name: record[field.name] for field in fields(Stage)})
            if read.lake.digest(tuple(used.asset.split("/")), used.partition) != used.digest:
                raise GateError(
                    f"{child}/{AUDIT} {at}: expected a bundle of what is stored now, found that {used.asset} of "
                    f"{used.partition} changed since; materialise {child}/{AUDIT} for {at} first"
                )
            read.stages[used.asset, used.partition] = used
    return records


def _book(read: AuditSources, sleeve: SleeveProfile, records: Sequence[Record], at: date) -> tuple[Targets, str]:
    """Weights in force by risk profile, and why they are held over."""
    gates = {("/".join(gate.path), gate.check) for gate in deciding_gates(sleeve, read.manifest.market)}
    passed = {(r["asset"], r["check"]) for r in records if r["event"] == "check" and r["state"] == State.PASSED}
    if gates <= passed:  # the ledger says so, and the gates need not be asked again
        decided = targets(read.lake.read(stage(sleeve.name, "risk_weights"), str(at)))
        if len(decided) == len(RISK_PROFILES):
            return decided, ""
    return weights_in_force(read.store, sleeve, read.manifest.market, at)


def _sign_findings(read: AuditSources, sleeve: str, records: Sequence[Record], at: date) -> list[Finding]:
    """Both sign tests of a sleeve, as its bundle has them."""
    outputs = {record["file"]: record["sha256"] for record in records if record["event"] == "output"}
    findings = []
    for file in (layout.STREAMS_SIGN_TEST, layout.SIGN_TEST):
        content = read.store.runs.file(sleeve, at, file)
        if sha256(content).hexdigest() != outputs.get(file):
            raise LakeError(
                f"{sleeve}/{AUDIT} {at}: expected {file} as its ledger has it, found another; materialise it again"
            )
        findings += [Finding(f["level"], f["code"], f["symbol"], f["message"]) for f in json.loads(content)["findings"]]
    return findings


def _meta_stages(read: AuditSources, meta: MetaProfile, at: date) -> list[Stage]:
    """The records that were weighed by, then what is in force at P from the sleeves up."""
    key, first = str(at), str(at - timedelta(days=(meta.lookback_windows - 1) * STEP_DAYS))
    records = [_record(child, read.manifest) for child in sorted(meta.children)]
    earned = [(path, earlier) for path in records for earlier in read.lake.partitions(path) if first <= earlier < key]
    decided = [
        *(stage(s.name, asset) for s in read.manifest.sleeves for asset in ("risk_weights", "track_record")),
        *(stage(m.name, asset) for m in read.manifest.metas for asset in ("meta_weights", "meta_track_record")),
        *(stage(meta.name, asset) for asset in ("flattened_weights", "meta_metrics")),
    ]
    return [read.stage(*used) for used in [(UNIVERSE, key), *earned, *((path, key) for path in decided)]]


def _lookback(read: AuditSources, meta: MetaProfile, at: date) -> dict[str, dict[str, pl.DataFrame]]:
    """By risk profile and child the returns that the weights were solved from."""
    end = np.datetime64(at, "D")
    window = [end - meta.lookback_windows * STEP_DAYS, end]
    found: dict[str, dict[str, pl.DataFrame]] = {profile: {} for profile in RISK_PROFILES}
    for child in meta.children:
        for profile, rows in read.streams(_record(child, read.manifest)).items():
            start, stop = np.searchsorted(rows["date"].to_numpy().astype("datetime64[D]"), window)
            found[profile][child] = rows[int(start) : int(stop)]
    return found


def _record(portfolio: str, manifest: Manifest) -> AssetPath:
    is_meta = portfolio in {meta.name for meta in manifest.metas}
    return stage(portfolio, "meta_track_record" if is_meta else "track_record")
