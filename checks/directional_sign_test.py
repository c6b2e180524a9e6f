"""Guarantee: no short is ever a long, after synthesis and after optimisation."""

from datetime import date

import polars as pl

from assets.gates import streams_gates, weights_gates
from assets.keys import UNIVERSE, atoms_of, scores_path, stage
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.lake import BARS, Status
from resources.store import Store
from sleevegraph.manifest import MarketProfile, SleeveProfile
from sleevegraph.sign_test import directional_sign_test, optimised_sign_test
from sleevegraph.synthesis import returns_matrix, wide_streams
from sleevegraph.universe import eligible_in, passive_symbols


def streams_sign_check(sleeve: SleeveProfile, market: MarketProfile) -> PartitionCheck:
    """Compare every synthetic stream with returns recomputed from the bars, exactly."""
    path = stage(sleeve.name, "synthetic_returns")

    def prepare(store: Store, keys: list[str]) -> Judge:
        panel = store.lake.panel_before(date.fromisoformat(keys[-1]))

        def judge(key: str) -> Judgement:
            status, reason = store.lake.standing(path, key)
            if status is Status.CASH:
                return Judgement([], {"atoms": 0, "cash": reason})
            synthetic = wide_streams(store.lake.read(path, key))[1]
            # The names come from the selection, not from the streams: an atom that got lost must be missed.
            atoms = atoms_of(_names(store, sleeve, market, key), sleeve)
            symbols = sorted({atom.symbol for atom in atoms})
            known = panel.before(date.fromisoformat(key), sleeve.selection.train_days)
            raw = returns_matrix(known, [s for s in symbols if s in known.symbols], sleeve.selection.train_days)
            return Judgement(directional_sign_test(raw, synthetic, atoms), {"atoms": len(atoms), "rows": raw.height})

        return judge

    return PartitionCheck(
        *streams_gates(sleeve),
        prepare,
        inputs=[BARS, UNIVERSE, scores_path(sleeve), stage(sleeve.name, "candidates"), stage(sleeve.name, "winners")],
        description="LONG s = r, SHORT s = -min(r, 1), every atom, every day.",
    )


def weights_sign_check(sleeve: SleeveProfile, market: MarketProfile) -> PartitionCheck:
    """Every weight is non-negative in synthetic space and its physical sign is the sleeve's."""
    path = stage(sleeve.name, "risk_weights")

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys

        def judge(key: str) -> Judgement:
            weights = store.lake.read(path, key).filter(pl.col("symbol").is_not_null())
            eligible = eligible_in(store.lake.read(UNIVERSE, key), sleeve.quotes)["symbol"]
            # Only the benchmark may weigh what it is not solved from; all other weights need a stream that was tested.
            passive = pl.col("profile") == "benchmark"
            findings = []
            for rows, symbols in (
                (weights.filter(~passive), _names(store, sleeve, market, key)),
                (weights.filter(passive), eligible),
            ):
                findings += optimised_sign_test(rows, atoms_of(list(symbols), sleeve))
            return Judgement(findings, {"weights": weights.height})

        return judge

    return PartitionCheck(
        weights_gates(sleeve)[0],
        prepare,
        inputs=[UNIVERSE, stage(sleeve.name, "winners"), stage(sleeve.name, "synthetic_returns")],
        description="Weights >= 0 in synthetic space, net = weight x sign.",
    )


def _names(store: Store, sleeve: SleeveProfile, market: MarketProfile, key: str) -> list[str]:
    """The winners, and the benchmark symbols where they are eligible."""
    winners = store.lake.read(stage(sleeve.name, "winners"), key).filter("winner")["symbol"]
    universe = store.lake.read(UNIVERSE, key)
    return sorted({*winners, *passive_symbols(universe, sleeve.quotes, market.benchmark_symbols)})
