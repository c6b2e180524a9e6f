"""Group sleeves: one chain of assets per sleeve profile, from candidates to the track record."""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg
import polars as pl

from assets.grid import PREVIOUS
from assets.market import RATINGS, UNIVERSE
from assets.partitioned import Compute, Partition, blocked, cash, grid_asset, inherited
from assets.pictures import equity_picture, weights_picture
from assets.track_records import track_record_compute
from resources.lake import BARS, AssetPath, Status
from resources.store import Store
from sleevegraph import candidates as candidates_rule
from sleevegraph import ledgers, selection, synthesis
from sleevegraph import risk_weights as weights_rule
from sleevegraph.atoms import Atom
from sleevegraph.calendar import STEP_DAYS, previous
from sleevegraph.manifest import MarketProfile, SleeveProfile
from sleevegraph.track_record import Window, market_window

BARS_CHECKS = ("bars_complete",)
STREAMS_CHECKS = ("directional_sign_test",)
WEIGHTS_CHECKS = ("directional_sign_test", "weight_sanity")
"""What must have passed on risk_weights before a meta or a ledger may use them."""


def stage(sleeve: str, asset: str) -> AssetPath:
    """Lake path and asset key of one stage of a sleeve or meta."""
    return (sleeve, asset)


def key(path: AssetPath) -> dg.AssetKey:
    """Asset key of a lake path."""
    return dg.AssetKey(list(path))


def atoms_of(symbols: Sequence[str], sleeve: SleeveProfile) -> list[Atom]:
    """Those symbols under the sleeve's logic, in its direction."""
    return [Atom(symbol, sleeve.logic, sleeve.direction) for symbol in symbols]


def sleeve_assets(sleeve: SleeveProfile, market: MarketProfile) -> list[dg.AssetsDefinition]:
    """The five assets of a sleeve."""
    return [
        _candidates(sleeve),
        _winners(sleeve, market),
        _synthetic_returns(sleeve, market),
        _risk_weights(sleeve, market),
        _track_record(sleeve),
    ]


def _candidates(sleeve: SleeveProfile) -> dg.AssetsDefinition:
    def prepare(store: Store, days: Sequence[date]) -> Compute:
        del days

        def compute(at: date) -> Partition:
            refusal = store.receipts.refusal(UNIVERSE, BARS_CHECKS, str(at))
            if refusal:
                return blocked(refusal)
            standing = inherited(store.lake, RATINGS, str(at))
            if standing:
                return standing
            universe, ratings = store.lake.read(UNIVERSE, str(at)), store.lake.read(RATINGS, str(at))
            frame = candidates_rule.candidates(universe, ratings, sleeve)
            return Partition(frame, {"reasons": dict(frame["reason"].value_counts(sort=True).iter_rows())})

        return compute

    return grid_asset(
        stage(sleeve.name, "candidates"),
        "sleeves",
        candidates_rule.SCHEMA,
        [key(UNIVERSE), key(RATINGS)],
        prepare,
        description=f"Eligible symbols whose {sleeve.rating} points {sleeve.direction}, the strongest first.",
        rules=[sleeve.selection],
        owner=sleeve.owner,
    )


def _winners(sleeve: SleeveProfile, market: MarketProfile) -> dg.AssetsDefinition:
    upstream = stage(sleeve.name, "candidates")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, upstream, str(at))
            if standing:
                return standing
            candidates = store.lake.read(upstream, str(at))
            if not candidates["kept"].any():
                return cash(f"sparse: no candidate, expected at least {sleeve.selection.sparse_below} winners")
            chosen = selection.select_winners(
                panel.before(at, sleeve.selection.train_days), candidates, sleeve, market.benchmark_symbols
            )
            metadata = {
                "winners": int(chosen.table["winner"].sum()),
                "stage": chosen.stage,
                "vetoes": dg.MetadataValue.md(_markdown(chosen.vetoes)),
                "veto_defects": int(chosen.vetoes["defect"].is_not_null().sum()),
            }
            if chosen.sparse:
                return Partition(chosen.table, metadata, Status.CASH, "sparse: too few winners")
            return Partition(chosen.table, metadata)

        return compute

    return grid_asset(
        stage(sleeve.name, "winners"),
        "sleeves",
        selection.SCHEMA,
        [key(BARS), key(upstream)],
        prepare,
        description="Scored, vetoed, clustered: the names the sleeve holds, and why every other name is not held.",
        rules=[sleeve, market],
        owner=sleeve.owner,
    )


def _synthetic_returns(sleeve: SleeveProfile, market: MarketProfile) -> dg.AssetsDefinition:
    upstream = stage(sleeve.name, "winners")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, upstream, str(at))
            if standing:
                return standing
            winners = store.lake.read(upstream, str(at)).filter("winner")["symbol"].sort()
            traded = _eligible(store, at).filter(pl.col("symbol").is_in(market.benchmark_symbols))["symbol"]
            atoms = atoms_of(sorted({*winners, *traded}), sleeve)
            raw = synthesis.returns_matrix(
                panel.before(at, sleeve.selection.train_days), [a.symbol for a in atoms], sleeve.selection.train_days
            )
            frame = synthesis.long_streams(raw, synthesis.synthetic_matrix(raw, atoms), atoms)
            return Partition(frame, {"atoms": len(atoms), "missing": frame["raw"].null_count()})

        return compute

    return grid_asset(
        stage(sleeve.name, "synthetic_returns"),
        "sleeves",
        synthesis.STREAMS_SCHEMA,
        [key(BARS), key(UNIVERSE), key(upstream)],
        prepare,
        description="Returns of the winners and of the benchmark symbols, turned so that solvers see long-only streams.",
        rules=[sleeve, market],
        owner=sleeve.owner,
    )


def _risk_weights(sleeve: SleeveProfile, market: MarketProfile) -> dg.AssetsDefinition:
    upstream = stage(sleeve.name, "synthetic_returns")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        del days

        def compute(at: date) -> Partition:
            refusal = store.receipts.refusal(upstream, STREAMS_CHECKS, str(at))
            standing, reason = store.lake.standing(upstream, str(at))
            if refusal or standing is Status.BLOCKED:
                return blocked(refusal or reason)
            if standing is Status.CASH:
                return Partition(weights_rule.cash_cells(sleeve, reason), status=standing, reason=reason)
            atoms, synthetic = synthesis.wide_streams(store.lake.read(upstream, str(at)))
            held = set(store.lake.read(stage(sleeve.name, "winners"), str(at)).filter("winner")["symbol"])
            frame = weights_rule.risk_weights(
                synthetic,
                winners=[atom for atom in atoms if atom.symbol in held],
                market=[atom for atom in atoms if atom.symbol in market.benchmark_symbols],
                benchmark=atoms_of(_eligible(store, at)["symbol"].to_list(), sleeve),
                sleeve=sleeve,
            )
            cells = frame.unique(["engine", "profile"])
            joint = synthetic.drop_nulls().height
            statuses = dict(cells["status"].value_counts(sort=True).iter_rows())
            return Partition(frame, {"cells": statuses, "rows_lost": synthetic.height - joint})

        return compute

    return grid_asset(
        stage(sleeve.name, "risk_weights"),
        "sleeves",
        weights_rule.SCHEMA,
        [key(UNIVERSE), key(stage(sleeve.name, "winners")), key(upstream)],
        prepare,
        description="Weights of the eight risk profiles in synthetic space, with a status for every cell.",
        rules=[sleeve, market],
        owner=sleeve.owner,
        picture=lambda lake, partition: weights_picture(lake, stage(sleeve.name, "risk_weights"), partition),
    )


def _track_record(sleeve: SleeveProfile) -> dg.AssetsDefinition:
    path, weights = stage(sleeve.name, "track_record"), stage(sleeve.name, "risk_weights")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def decision(at: date) -> tuple[ledgers.Targets | None, str]:
            refusal = store.receipts.refusal(weights, WEIGHTS_CHECKS, str(at))
            return (None, refusal) if refusal else (weights_rule.targets(store.lake.read(weights, str(at))), "")

        def window(at: date) -> Callable[[str], Window]:
            days = market_window(panel.before(at, STEP_DAYS), previous(at), STEP_DAYS)
            return lambda _profile: days

        return track_record_compute(store.lake, path, days, decision, window, sleeve.ledger)

    return grid_asset(
        path,
        "sleeves",
        ledgers.SCHEMA,
        [
            key(BARS),
            dg.AssetDep(key(weights), partition_mapping=PREVIOUS),
            dg.AssetDep(key(path), partition_mapping=PREVIOUS),
        ],
        prepare,
        description="Days earned since the previous rebalance, after costs, by one cash-explicit ledger per risk profile.",
        rules=[sleeve],
        owner=sleeve.owner,
        picture=lambda lake, partition: equity_picture(lake, path, partition),
    )


def _eligible(store: Store, at: date) -> pl.DataFrame:
    return store.lake.read(UNIVERSE, str(at)).filter("eligible")


def _markdown(frame: pl.DataFrame) -> str:
    head = f"| {' | '.join(frame.columns)} |\n|{'---|' * frame.width}\n"
    return head + "\n".join(f"| {' | '.join('' if v is None else str(v) for v in row)} |" for row in frame.iter_rows())
