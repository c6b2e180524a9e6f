"""Guarantee: no short is ever a long, after synthesis and after optimisation."""

from datetime import date

import dagster as dg
import polars as pl

from assets.market import UNIVERSE
from assets.sleeves import atoms_of, stage
from checks.partitioned import Judge, Judgement, partition_check
from resources.lake import Status
from resources.store import Store
from sleevegraph.manifest import MarketProfile, SleeveProfile
from sleevegraph.sign_test import directional_sign_test, optimised_sign_test
from sleevegraph.synthesis import returns_matrix, wide_streams

NAME = "directional_sign_test"


def streams_sign_check(sleeve: SleeveProfile) -> dg.AssetChecksDefinition:
    """Compare every synthetic stream with returns recomputed from the bars, exactly."""
    path = stage(sleeve.name, "synthetic_returns")

    def prepare(store: Store, keys: list[str]) -> Judge:
        panel = store.lake.panel_before(date.fromisoformat(keys[-1]))

        def judge(key: str) -> Judgement:
            status, reason = store.lake.standing(path, key)
            if status is Status.CASH:
                return Judgement([], {"atoms": 0, "cash": reason})
            _, synthetic = wide_streams(store.lake.read(path, key))
            # The names come from the selection, not from the streams: an atom that got lost must be missed.
            atoms = atoms_of(_names(store, sleeve, synthetic, key), sleeve)
            symbols = sorted({atom.symbol for atom in atoms})
            known = panel.before(date.fromisoformat(key), sleeve.selection.train_days)
            raw = returns_matrix(known, [s for s in symbols if s in known.symbols], sleeve.selection.train_days)
            return Judgement(directional_sign_test(raw, synthetic, atoms), {"atoms": len(atoms), "rows": raw.height})

        return judge

    return partition_check(path, NAME, prepare, description="LONG s = r, SHORT s = -min(r, 1), every atom, every day.")


def weights_sign_check(sleeve: SleeveProfile, market: MarketProfile) -> dg.AssetChecksDefinition:
    """Every weight is non-negative in synthetic space and its physical sign is the sleeve's."""
    path = stage(sleeve.name, "risk_weights")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            weights = store.lake.read(path, key).filter(pl.col("symbol").is_not_null())
            eligible = store.lake.read(UNIVERSE, key).filter("eligible")["symbol"]
            atoms = atoms_of(sorted({*eligible, *market.benchmark_symbols}), sleeve)
            return Judgement(optimised_sign_test(weights, atoms), {"weights": weights.height})

        return judge

    return partition_check(path, NAME, prepare, description="Weights >= 0 in synthetic space, net = weight x sign.")


def _names(store: Store, sleeve: SleeveProfile, synthetic: pl.DataFrame, key: str) -> list[str]:
    winners = store.lake.read(stage(sleeve.name, "winners"), key).filter("winner")["symbol"]
    eligible = store.lake.read(UNIVERSE, key).filter("eligible")["symbol"]
    # Benchmark symbols ride along where they are eligible; anything else in the streams is a stray column.
    riders = [symbol for symbol in eligible if f"{symbol}_{sleeve.logic}_{sleeve.direction}" in synthetic.columns]
    return sorted({*winners, *riders})
