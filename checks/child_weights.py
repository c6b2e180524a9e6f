"""Guarantee: a meta weighs all of its children, within its bounds."""

from assets.gates import children_gates, record_gates
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.store import Store
from sleevegraph.child_weights import child_weights
from sleevegraph.manifest import Manifest, MetaProfile


def child_weights_check(meta: MetaProfile, manifest: Manifest) -> PartitionCheck:
    """Judge the child weights of a meta under every risk profile."""
    gate, _ = children_gates(meta, manifest)
    names = {m.name for m in manifest.metas}

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        return lambda key: Judgement(child_weights(store.lake.read(gate.path, key), meta))

    return PartitionCheck(
        gate,
        prepare,
        inputs=[record.path for child in meta.children for record in record_gates(child, meta=child in names)],
        description="Every child once under every risk profile, within the meta's bounds, weights add to 1.",
    )
