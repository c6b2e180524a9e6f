"""Guarantee: a track record adds up, and continues the one before."""

from datetime import date

from assets.gates import record_gates
from assets.keys import stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.store import Store
from sleevegraph.calendar import previous
from sleevegraph.ledger_identities import ledger_identities
from sleevegraph.manifest import MetaProfile, SleeveProfile


def ledger_identities_check(portfolio: SleeveProfile | MetaProfile) -> PartitionCheck:
    """Judge the ledgers of a sleeve or meta, window by window."""
    meta = isinstance(portfolio, MetaProfile)
    (gate,) = record_gates(portfolio.name, meta=meta)
    decided = stage(portfolio.name, "meta_weights" if meta else "risk_weights")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            at = date.fromisoformat(key)
            rows, earlier = store.lake.read(gate.path, key), str(previous(at))
            opened = rows["ret"].is_null().all()
            before = None if opened else store.lake.read(gate.path, earlier)
            findings = ledger_identities(rows, before, at, portfolio.ledger.cost)
            return Judgement(findings, {"days": rows["date"].n_unique(), "opened": opened})

        return judge

    def before(store: Store, key: str) -> list[str]:
        """What was earned rests on what was decided and held ten days ago."""
        earlier = str(previous(date.fromisoformat(key)))
        opened = store.lake.read(gate.path, key)["ret"].is_null().all()
        return [] if opened else [f"{'/'.join(path)}@{earlier}" for path in (decided, gate.path)]

    return PartitionCheck(
        gate,
        prepare,
        windows=before,
        description="Every day is there, wealth = cash + positions, returns compound to it, costs = rate x turnover.",
    )
