"""Warnings: engines that solve the same problem should agree, and risk profiles should differ."""

from assets.keys import stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.engine_agreement import engine_agreement, profile_convergence
from sleevegraph.manifest import SleeveProfile


def engine_agreement_check(sleeve: SleeveProfile) -> PartitionCheck:
    """Compare every pair of engines on every profile that both solved as asked."""
    path = stage(sleeve.name, "solver_cells")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            cells = store.lake.read(path, key)
            largest = cells["agreement"].max()
            return Judgement(engine_agreement(cells), {} if largest is None else {"largest_difference": largest})

        return judge

    return PartitionCheck(
        Gate(path, "engine_agreement", blocking=False),
        prepare,
        description="Weights of two engines that solved the same problem differ by at most 1e-3.",
    )


def profile_convergence_check(sleeve: SleeveProfile) -> PartitionCheck:
    """Compare every pair of risk profiles of each engine."""
    path = stage(sleeve.name, "solver_cells")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        return lambda key: Judgement(profile_convergence(store.lake.read(path, key)))

    return PartitionCheck(
        Gate(path, "profile_convergence", blocking=False),
        prepare,
        description="No two risk profiles of an engine have the same weights to 1e-8, and no cap binds on most assets.",
    )
