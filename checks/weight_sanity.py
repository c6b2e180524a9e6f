"""Guarantee: every expected cell has a status, and weights that are what a solve promises."""

from assets.gates import weights_gates
from assets.keys import stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.store import Store
from sleevegraph.manifest import SleeveProfile
from sleevegraph.tournament import expected_cells
from sleevegraph.weight_sanity import certification, weight_sanity


def weight_sanity_check(sleeve: SleeveProfile) -> PartitionCheck:
    """Judge every cell of a sleeve's risk weights, and certify or degrade the sleeve."""
    path = stage(sleeve.name, "risk_weights")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            cells = store.lake.read(path, key)
            findings = weight_sanity(cells, expected_cells(sleeve), sleeve.risk)
            standing, reasons = certification(cells, findings, sleeve.risk.engine_of_record)
            return Judgement(findings, {"certification": standing, "reasons": reasons})

        return judge

    return PartitionCheck(
        weights_gates(sleeve)[1],
        prepare,
        inputs=[stage(sleeve.name, "solver_cells")],
        description="Per cell: no NaN, w >= 0, weights add to 1, cap respected, no cell missing or unexpected.",
    )
