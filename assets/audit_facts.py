"""What the audit of a portfolio rests on, read from the store: what a whole range shares is read once."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from assets.books import children_in_force, weights_in_force
from assets.gates import deciding_gates, meta_gates, sleeve_gates
from assets.keys import RATINGS, UNIVERSE, stage
from assets.metas import sleeves_below
from assets.solvers import weights_before
from assets.verdicts import acceptances, check_record, sleeve_certificate
from resources.lake import AssetPath, Lake
from resources.provenance import environment
from resources.receipts import State
from resources.store import Store
from sleevegraph.audit import layout
from sleevegraph.audit.bars_days import WITHOUT_BARS, day_digests
from sleevegraph.audit.facts import Anchors, BarsDays, ChildRecord, MetaFacts, SleeveFacts, Stage, run_id
from sleevegraph.audit.ledger import Record, current, newest_hash, sound
from sleevegraph.calendar import STEP_DAYS, previous
from sleevegraph.certification import Standing, meta_standing, sleeve_standing
from sleevegraph.errors import GateError, LakeError
from sleevegraph.findings import Finding
from sleevegraph.ledgers import Targets
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile, SleeveProfile
from sleevegraph.meta_book import subtree
from sleevegraph.risk_weights import targets

AUDIT = "audit_bundle"
SLEEVE_STAGES = ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights", "track_record")

Versions = Mapping[AssetPath, str]
"""Code versions of assets."""


class AuditFacts:
    """Reads the facts of audits over a range of rebalances, each partition once."""

    def __init__(self, store: Store, manifest: Manifest, versions: Versions, days: Sequence[date]) -> None:
        """Read nothing yet; `days` are the rebalances that will be asked for."""
        self.store, self.lake, self.manifest, self.versions, self.days = store, store.lake, manifest, versions, days
        self.streams = cache(self._streams)
        self.stages: dict[tuple[str, str], Stage] = {}

    def sleeve(self, sleeve: SleeveProfile, at: date) -> SleeveFacts:
        """A sleeve at one rebalance; GateError when a check has no verdict on what is stored."""
        name, key, market = sleeve.name, str(at), self.manifest.market
        gates = sleeve_gates(sleeve, market)
        checks = [check_record(self.store, gate, key) for gate in gates]
        standing, reasons = sleeve_standing(checks, sleeve_certificate(checks))
        paths = [UNIVERSE, RATINGS, *(stage(name, asset) for asset in SLEEVE_STAGES), stage(name, "sleeve_metrics")]
        frames = {path[-1]: self.lake.read(path, key) for path in paths}
        before = weights_before(self.store, sleeve, at) if sleeve.risk.turnover_limit is not None else None
        return SleeveFacts(
            name=name,
            manifest=Manifest(market=market, sleeves=(sleeve,), metas=()),
            at=at,
            stages=[
                *([self._stage(stage(name, "risk_weights"), before)] if before else []),
                *(self._stage(path, key, frames[path[-1]].height) for path in paths),
            ],
            bars=self._bars(at),
            environment=environment(),
            anchors=Anchors(self._previous(name, at)),
            checks=checks,
            acceptances=acceptances(self.store, gates, key),
            standing=standing,
            reasons=reasons,
            universe=frames["universe"],
            candidates=frames["candidates"],
            winners=frames["winners"],
            streams=frames["synthetic_returns"],
            cells=frames["solver_cells"],
            weights=frames["risk_weights"],
        )

    def meta(self, meta: MetaProfile, at: date) -> MetaFacts:
        """A meta at one rebalance, after the bundles of everything below it.

        Raises
        ------
        GateError
            When a check has no verdict on what is stored, or a bundle below is of what was stored before.
        LakeError
            When a bundle below is absent.
        """
        name, key, market = meta.name, str(at), self.manifest.market
        nodes, sleeves = subtree(meta, self.manifest.metas), sleeves_below(meta, self.manifest)
        nodes = [node for node in self.manifest.metas if node in nodes]
        gates = meta_gates(meta, self.manifest)
        checks = [check_record(self.store, gate, key) for gate in gates]
        names = [portfolio.name for portfolio in (*sleeves, *nodes) if portfolio is not meta]
        ledgers = {child: self._ledger(child, at) for child in names}
        books = {sleeve.name: self._book(sleeve, ledgers[sleeve.name], at) for sleeve in sleeves}
        in_force = {node.name: children_in_force(self.store, [node], at) for node in nodes}
        held = {sleeve: reason for sleeve, (_, reason) in books.items()}
        held |= {node: "; ".join(reasons) for node, (_, reasons) in in_force.items() if node != name}
        standings = {child: _ending(records) for child, records in ledgers.items()}
        standing, reasons = meta_standing(checks, standings)
        return MetaFacts(
            name=name,
            manifest=Manifest(market=market, sleeves=tuple(sleeves), metas=tuple(nodes)),
            at=at,
            stages=self._meta_stages(meta, nodes, sleeves, at),
            bars=self._bars(at),
            environment=environment(),
            anchors=Anchors(
                self._previous(name, at),
                {run_id(child, at): ledgers[child][-1]["hash"] for child in sorted(meta.children)},
            ),
            checks=checks,
            acceptances=acceptances(self.store, gates, key),
            standing=standing,
            reasons=reasons,
            streams=self._lookback(meta, at),
            meta_weights={node: rows[node] for node, (rows, _) in in_force.items()},
            books={p: {sleeve: book[p] for sleeve, (book, _) in books.items()} for p in RISK_PROFILES},
            flattened=self.lake.read(stage(name, "flattened_weights"), key),
            sign_findings={sleeve.name: self._sign_findings(sleeve.name, at) for sleeve in sleeves},
            children=[
                ChildRecord(child, "meta" if child in in_force else "sleeve", *standings[child], held[child])
                for child in standings
            ],
        )

    def _stage(self, path: AssetPath, key: str, rows: int | None = None) -> Stage:
        """A partition that was used; `rows` where they are known already."""
        asset = "/".join(path)
        if (asset, key) not in self.stages:
            status, reason = self.lake.standing(path, key)
            if rows is None:
                rows = pl.scan_parquet(self.lake.path(path, key), glob=False).select(pl.len()).collect().item()
            digest = self.lake.digest(path, key)
            self.stages[asset, key] = Stage(asset, key, digest, self.versions[path], status.value, reason, rows)
        return self.stages[asset, key]

    def _meta_stages(
        self, meta: MetaProfile, nodes: Sequence[MetaProfile], sleeves: Sequence[SleeveProfile], at: date
    ) -> list[Stage]:
        """The records that were weighed by, then what is in force at P from the sleeves up."""
        key, names = str(at), {node.name for node in nodes}
        first = str(at - timedelta(days=(meta.lookback_windows - 1) * STEP_DAYS))
        earned = [
            (path, earlier)
            for path in (_record(child, names) for child in sorted(meta.children))
            for earlier in self.lake.partitions(path)
            if first <= earlier < key
        ]
        decided = [
            *(stage(sleeve.name, asset) for sleeve in sleeves for asset in ("risk_weights", "track_record")),
            *(stage(node.name, asset) for node in nodes for asset in ("meta_weights", "meta_track_record")),
            *(stage(meta.name, asset) for asset in ("flattened_weights", "meta_metrics")),
        ]
        return [self._stage(*used) for used in [(UNIVERSE, key), *earned, *((path, key) for path in decided)]]

    def _bars(self, at: date) -> BarsDays:
        first, digests = _day_digests(self.lake.root, self.lake.bars_digest(max(self.days)), max(self.days))
        days = max((at - first).days, 0)
        # Up to P - 1 also where the last bars are older, whatever other days this run asks for.
        known = [*digests[:days], *[WITHOUT_BARS] * (days - len(digests))]
        return BarsDays(self.lake.bars_digest(at), first, "".join(known))

    def _previous(self, name: str, at: date) -> tuple[str, str] | None:
        """Run id and newest hash of the ledger before; None where there was no audit."""
        earlier = previous(at)
        ledger = self.store.runs.ledger(name, earlier)
        if not ledger and self.lake.has(stage(name, AUDIT), str(earlier)):
            raise LakeError(
                f"{name}/{AUDIT} {at}: expected the ledger of {earlier} to anchor this one in, found none in "
                f"{self.store.runs.path(name, earlier)}; restore that folder, or materialise {AUDIT} for {earlier}"
            )
        return (run_id(name, earlier), newest_hash(ledger)) if ledger else None

    def _ledger(self, child: str, at: date) -> list[Record]:
        """The newest generation of a bundle below, which has to be of what is stored now."""
        remedy = f"materialise {child}/{AUDIT} for {at} first"
        records = current(sound(self.store.runs.ledger(child, at)))
        if not records:
            raise LakeError(f"{child}/{AUDIT} {at}: expected its bundle, found none; {remedy}")
        for record in records:
            if record["event"] == "stage":
                used = Stage(**{field.name: record[field.name] for field in fields(Stage)})
                if self.lake.digest(tuple(used.asset.split("/")), used.partition) != used.digest:
                    raise GateError(
                        f"{child}/{AUDIT} {at}: expected a bundle of what is stored now, found that {used.asset} of "
                        f"{used.partition} changed since; {remedy}"
                    )
                self.stages[used.asset, used.partition] = used
        return records

    def _book(self, sleeve: SleeveProfile, records: Sequence[Record], at: date) -> tuple[Targets, str]:
        """Weights in force by risk profile, and why they are held over."""
        gates = {("/".join(gate.path), gate.check) for gate in deciding_gates(sleeve, self.manifest.market)}
        checks = [record for record in records if record["event"] == "check"]
        # The ledger says how the gates stand, so they need not be asked again where all of them passed.
        if all(record["state"] == State.PASSED for record in checks if (record["asset"], record["check"]) in gates):
            decided = targets(self.lake.read(stage(sleeve.name, "risk_weights"), str(at)))
            if len(decided) == len(RISK_PROFILES):
                return decided, ""
        return weights_in_force(self.store, sleeve, self.manifest.market, at)

    def _sign_findings(self, sleeve: str, at: date) -> list[Finding]:
        """Both sign tests of a sleeve, as its bundle has them."""
        documents = (
            json.loads(self.store.runs.file(sleeve, at, file)) for file in (layout.STREAMS_SIGN_TEST, layout.SIGN_TEST)
        )
        return [
            Finding(found["level"], found["code"], found["symbol"], found["message"])
            for document in documents
            for found in document["findings"]
        ]

    def _lookback(self, meta: MetaProfile, at: date) -> dict[str, dict[str, pl.DataFrame]]:
        """By risk profile and child the returns that the weights were solved from."""
        names = {node.name for node in self.manifest.metas}
        end = np.datetime64(at, "D")
        begin = end - meta.lookback_windows * STEP_DAYS
        found: dict[str, dict[str, pl.DataFrame]] = {profile: {} for profile in RISK_PROFILES}
        for child in meta.children:
            for profile, rows in self.streams(_record(child, names)).items():
                start, stop = np.searchsorted(rows["date"].to_numpy().astype("datetime64[D]"), [begin, end])
                found[profile][child] = rows[int(start) : int(stop)]
        return found

    def _streams(self, path: AssetPath) -> dict[str, pl.DataFrame]:
        """[date, ret] by risk profile of a portfolio's stored records, as far back as any of the days looks."""
        windows = max(meta.lookback_windows for meta in self.manifest.metas)
        first = str(min(self.days) - timedelta(days=(windows - 1) * STEP_DAYS))
        keys = [key for key in self.lake.partitions(path) if first <= key <= str(max(self.days))]
        rows = pl.concat([self.lake.read(path, key).select("profile", "date", "ret") for key in keys]).drop_nulls()
        return {
            profile: rows.filter(pl.col("profile") == profile).select("date", "ret").sort("date")
            for profile in RISK_PROFILES
        }


def _record(portfolio: str, metas: Collection[str]) -> AssetPath:
    return stage(portfolio, "meta_track_record" if portfolio in metas else "track_record")


def _ending(records: Sequence[Record]) -> Standing:
    end = next(record for record in reversed(records) if record["event"] == "end")
    return end["standing"], end["reasons"]


@lru_cache(maxsize=1)
def _day_digests(root: Path, digest: str, last: date) -> tuple[date, list[str]]:
    """The same bars for every portfolio of a run; `digest` says that they are."""
    del digest
    return day_digests(Lake(root).bars_before(last))
