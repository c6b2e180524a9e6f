"""Guarantee: a trade list leads from what is held to what is wanted, in orders that the exchange takes."""

from datetime import date

import polars as pl

from assets.gates import trade_gates
from assets.keys import stage
from assets.trades import books_at, decided_before, facts_at, filters_before
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.binance.source import EXCHANGE_INFO
from resources.lake import BARS, Status
from resources.store import Store
from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.trading.reconciliation import reconciliation


def trade_list_reconciles_check(meta: MetaProfile, manifest: Manifest) -> PartitionCheck:
    """Recompute targets and holdings from weights and bars, and judge every trade between them."""
    (gate,) = trade_gates(meta, manifest.market)

    def prepare(store: Store, keys: list[str]) -> Judge:
        panel = store.lake.panel_before(date.fromisoformat(keys[-1]))

        def judge(key: str) -> Judgement:
            at = date.fromisoformat(key)
            books = books_at(store, meta, manifest, at, panel)
            if books is None:
                return Judgement([Finding("ERROR", "NOT_CERTIFIED", "", "expected certified weights, found none")])
            facts, stored = facts_at(store, meta, manifest, at, panel, books), store.lake.read(gate.path, key)
            if store.lake.standing(gate.path, key)[0] is Status.CASH:
                stored = stored.clear()
            findings = []
            for profile in RISK_PROFILES:
                found = reconciliation(stored.filter(pl.col("profile") == profile), facts[profile])
                findings += [Finding(f.level, f.code, f.symbol, f"{profile}: {f.message}") for f in found]
            return Judgement(findings, {"rows": stored.height, "trades": (stored["trade_quantity"] != 0).sum()})

        return judge

    def before(store: Store, key: str) -> list[str]:
        """Holdings rest on the weights that were in force, orders on the filters that were known."""
        at = date.fromisoformat(key)
        decided, (_, known) = decided_before(store, meta, at), filters_before(store, at)
        weights = [f"{meta.name}/flattened_weights@{decided}"] if decided else []
        return weights + ([f"{'/'.join(EXCHANGE_INFO)}@{known}"] if known else [])

    return PartitionCheck(
        gate,
        prepare,
        inputs=[BARS, stage(meta.name, "flattened_weights")],
        windows=before,
        description="Holdings + trades = target to one step, every trade whole steps of at least the minimum notional.",
    )
