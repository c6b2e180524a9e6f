"""Group sleeves: one chain of assets per sleeve profile, from candidates to the track record."""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from assets.gates import bars_gates, deciding_gates, record_gates, signal_gates
from assets.grid import PREVIOUS
from assets.keys import KNOWN_BARS, UNIVERSE, atoms_of, key, scores_path, stage
from assets.metadata import markdown_table
from assets.partitioned import Compute, Partition, Stage, cash, inherited, rules_of
from assets.pictures import equity_picture
from assets.solvers import risk_weights_stage, solver_cells_stage
from assets.track_records import track_record_compute
from resources.lake import Lake, Status
from resources.store import Store
from sleevegraph import candidates as candidates_rule
from sleevegraph import ledgers, selection, synthesis
from sleevegraph.calendar import STEP_DAYS, previous
from sleevegraph.errors import LakeError
from sleevegraph.manifest import MarketProfile, SelectionRules, SleeveProfile
from sleevegraph.risk_weights import targets
from sleevegraph.track_record import Window, market_window
from sleevegraph.universe import eligible_in, passive_symbols

SELECTING = tuple(f"selection.{name}" for name in SelectionRules.model_fields if name != "limit")
"""Keys of a sleeve's profile that decide who wins; the limit decides who is a candidate."""


def sleeve_stages(sleeve: SleeveProfile, market: MarketProfile) -> list[Stage]:
    """The six assets of a sleeve."""
    return [
        _candidates(sleeve, market),
        _winners(sleeve, market),
        _synthetic_returns(sleeve, market),
        solver_cells_stage(sleeve, market),
        risk_weights_stage(sleeve, market),
        _track_record(sleeve, market),
    ]


def _candidates(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    scored = scores_path(sleeve)
    column, decides = (sleeve.rating, "rating") if sleeve.rating else ("score", "logic")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        _require_kept(store.lake, sleeve, min(days))

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, scored, str(at))
            if standing:
                return standing
            universe = store.lake.read(UNIVERSE, str(at))
            if eligible_in(universe, sleeve.quotes).is_empty():
                return cash("no symbol is eligible")
            ratings = store.lake.read(scored, str(at)).select("symbol", rating=column)
            frame = candidates_rule.candidates(universe, ratings, sleeve)
            return Partition(frame, {"reasons": dict(frame["reason"].value_counts(sort=True).iter_rows())})

        return compute

    return Stage(
        stage(sleeve.name, "candidates"),
        "sleeves",
        candidates_rule.SCHEMA,
        [key(UNIVERSE), key(scored)],
        prepare,
        gates=[*bars_gates(market), *signal_gates(sleeve)],
        description=f"Eligible symbols whose {sleeve.scored_by} points {sleeve.direction}, the strongest first.",
        rules=rules_of(sleeve, decides, "direction", "quotes", "selection.limit"),
        owner=sleeve.owner,
    )


def _require_kept(lake: Lake, sleeve: SleeveProfile, first: date) -> None:
    """Refuse a range that continues a rebalance whose partitions were pruned, before anything of it is stored.

    Windows would begin in the middle, and the record would ask for verdicts on what is not there.
    """
    if pruned_before(lake, sleeve, first):
        raise LakeError(
            f"{sleeve.name}/candidates {first}: expected the partition of {previous(first)}, which it continues, found that it was "
            f"pruned; sleevegraph backfill --from {lake.partitions(stage(sleeve.name, 'winners'))[0]}, the first rebalance, "
            "makes everything again"
        )


def pruned_before(lake: Lake, sleeve: SleeveProfile, first: date) -> bool:
    """Whether what a rebalance of a sleeve continues was stored once and is pruned."""
    before = str(previous(first))
    return lake.has(stage(sleeve.name, "winners"), before) and not lake.has(stage(sleeve.name, "candidates"), before)


def _winners(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
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
                "vetoes": markdown_table(chosen.vetoes),
                "veto_defects": int(chosen.vetoes["defect"].is_not_null().sum()),
            }
            if chosen.sparse:
                return Partition(chosen.table, metadata, Status.CASH, "sparse: too few winners")
            return Partition(chosen.table, metadata)

        return compute

    return Stage(
        stage(sleeve.name, "winners"),
        "sleeves",
        selection.SCHEMA,
        [key(KNOWN_BARS), key(upstream)],
        prepare,
        gates=bars_gates(market),
        description="Scored, vetoed, clustered: the names the sleeve holds, and why every other name is not held.",
        rules={
            **rules_of(sleeve, "direction", *SELECTING),
            **rules_of(market, "benchmark_symbols"),
        },
        owner=sleeve.owner,
    )


def _synthetic_returns(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    upstream = stage(sleeve.name, "winners")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, upstream, str(at))
            if standing:
                return standing
            winners = store.lake.read(upstream, str(at)).filter("winner")["symbol"].sort()
            passive = passive_symbols(store.lake.read(UNIVERSE, str(at)), sleeve.quotes, market.benchmark_symbols)
            atoms = atoms_of(sorted({*winners, *passive}), sleeve)
            raw = synthesis.returns_matrix(
                panel.before(at, sleeve.selection.train_days), [a.symbol for a in atoms], sleeve.selection.train_days
            )
            frame = synthesis.long_streams(raw, synthesis.synthetic_matrix(raw, atoms), atoms)
            return Partition(frame, {"atoms": len(atoms), "missing": frame["raw"].null_count()})

        return compute

    return Stage(
        stage(sleeve.name, "synthetic_returns"),
        "sleeves",
        synthesis.STREAMS_SCHEMA,
        [key(KNOWN_BARS), key(UNIVERSE), key(upstream)],
        prepare,
        gates=bars_gates(market),
        description="Returns of the winners and of the benchmark symbols, turned so that solvers see long-only streams.",
        rules={
            **rules_of(sleeve, "logic", "direction", "quotes", "selection.train_days"),
            **rules_of(market, "benchmark_symbols"),
        },
        owner=sleeve.owner,
    )


def _track_record(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    path, weights = stage(sleeve.name, "track_record"), stage(sleeve.name, "risk_weights")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def decision(at: date) -> tuple[ledgers.Targets | None, str]:
            refusal = store.receipts.refusal(deciding_gates(sleeve, market), str(at), decided_before=True)
            return (None, refusal) if refusal else (targets(store.lake.read(weights, str(at))), "")

        def window(at: date) -> Callable[[str], Window]:
            days = market_window(panel.before(at, STEP_DAYS), previous(at), STEP_DAYS)
            return lambda _profile: days

        return track_record_compute(store, record_gates(sleeve.name, meta=False), days, decision, window, sleeve.ledger)

    return Stage(
        path,
        "sleeves",
        ledgers.SCHEMA,
        [
            key(KNOWN_BARS),
            dg.AssetDep(key(weights), partition_mapping=PREVIOUS),
            dg.AssetDep(key(path), partition_mapping=PREVIOUS),
        ],
        prepare,
        description="Days earned since the previous rebalance, after costs, by one cash-explicit ledger per risk profile.",
        rules=rules_of(sleeve, "ledger"),
        owner=sleeve.owner,
        picture=lambda lake, partition: equity_picture(lake, path, partition),
    )
