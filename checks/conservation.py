"""Guarantees of flattening: nothing is lost on the way down, and no symbol carries the book."""

from datetime import date

import polars as pl

from assets.books import books_in_force, children_in_force
from assets.gates import flat_gates
from assets.keys import stage
from assets.metas import sleeves_below
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.store import Store
from sleevegraph.conservation import concentration, conservation
from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.meta_book import leaves_of, subtree, tree_of

CONCENTRATED_BY_DESIGN = ("market",)
"""Profiles that hold the benchmark symbols and nothing else."""


def conservation_check(meta: MetaProfile, manifest: Manifest) -> PartitionCheck:
    """Walk the tree again, by other code, and compare every symbol and the total."""
    path = stage(meta.name, "flattened_weights")
    nodes, sleeves = subtree(meta, manifest.metas), sleeves_below(meta, manifest)

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            stored = store.lake.read(path, key)
            at = date.fromisoformat(key)
            weights, _ = children_in_force(store, nodes, manifest, at)
            books, _ = books_in_force(store, sleeves, manifest.market, at)
            findings = []
            for profile in RISK_PROFILES:
                flat = stored.filter(pl.col("profile") == profile).select("symbol", "net", "gross")
                tree, leaves = tree_of(meta.name, weights, profile), leaves_of(books[profile])
                findings += [_of(profile, finding) for finding in conservation(tree, leaves, flat)]
            return Judgement(findings, {"profiles": len(RISK_PROFILES), "symbols": stored["symbol"].n_unique()})

        return judge

    return PartitionCheck(
        flat_gates(meta)[0],
        prepare,
        inputs=[
            *(stage(node.name, asset) for node in nodes for asset in ("meta_weights", "meta_track_record")),
            *(stage(sleeve.name, asset) for sleeve in sleeves for asset in ("risk_weights", "track_record")),
        ],
        description="Gross before netting = child weights; net = signed paths, to 1e-9.",
    )


def concentration_check(meta: MetaProfile) -> PartitionCheck:
    """One physical symbol above the manifest's share of gross warns, far above it blocks."""
    path = stage(meta.name, "flattened_weights")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            stored = store.lake.read(path, key)
            findings = []
            for profile in RISK_PROFILES:
                if profile not in CONCENTRATED_BY_DESIGN:
                    flat = stored.filter((pl.col("profile") == profile) & ~pl.col("dust"))
                    found = concentration(flat, meta.concentration_warn, meta.concentration_block)
                    findings += [_of(profile, finding) for finding in found]
            return Judgement(findings)

        return judge

    return PartitionCheck(flat_gates(meta)[1], prepare, description="No physical symbol dominates the book.")


def _of(profile: str, finding: Finding) -> Finding:
    return Finding(finding.level, finding.code, finding.symbol, f"{profile}: {finding.message}")
