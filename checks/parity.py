"""Guarantee: what a meta weighs against one another was run by the same parameters, or it is said why not."""

from assets.gates import parity_gate
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.store import Store
from sleevegraph.manifest import Manifest, MetaProfile
from sleevegraph.parity import parity


def parity_check(meta: MetaProfile, manifest: Manifest) -> PartitionCheck:
    """Compare train window, lookbacks and costs of everybody below a meta."""
    judgement = Judgement(*parity(meta, manifest))

    def prepare(store: Store, keys: list[str]) -> Judge:
        del store, keys
        return lambda key: judgement  # noqa: ARG005 - parameters are those of every partition

    return PartitionCheck(
        parity_gate(meta, manifest),
        prepare,
        description="Train window, lookbacks and costs are the same below the meta, or differ for a documented reason.",
    )
