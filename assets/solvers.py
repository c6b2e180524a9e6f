"""Group sleeves: the tournament of engines, and the weights that come of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
import polars as pl

from assets.gates import bars_gates, cells_gates, streams_gates
from assets.grid import PREVIOUS
from assets.keys import UNIVERSE, key, stage
from assets.metadata import markdown_table
from assets.partitioned import Compute, Partition, Stage, blocked, rules_of
from assets.solver_pictures import status_picture, weights_over_time_picture
from resources.lake import Status
from resources.solver_pool import Pending, submit, unavailable
from resources.store import Store
from sleevegraph import risk_weights as weights_rule
from sleevegraph import solver_cells as cells_rule
from sleevegraph import tournament as tournament_rule
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.errors import LakeError, SleevegraphError
from sleevegraph.manifest import MarketProfile, SleeveProfile
from sleevegraph.synthesis import wide_streams
from sleevegraph.universe import eligible_in

SOLVING = ("engines", "engine_of_record", "covariance", "cluster_cap", "time_limit_seconds")
EXPLAINED_ELSEWHERE = ("native", "unsupported", "rejected")
"""Statuses that need no reason beside the counts."""
LOOKS_BACK = 24
"""Windows within which a turnover limit finds the previous weights."""


@dataclass(frozen=True, slots=True)
class Entered:
    """One rebalance whose solves were handed to the pool."""

    tournament: tournament_rule.Tournament
    pending: Sequence[Pending]
    rows_lost: int

    def partition(self) -> Partition:
        """Wait for every solve and account for every cell."""
        outcomes = {(p.task.engine, p.task.profile): p.outcome() for p in self.pending}
        frame = cells_rule.cells_frame(self.tournament, outcomes)
        return Partition(frame, {**_figures(frame), "rows_lost": self.rows_lost})


def solver_cells_stage(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    """One row per expected (engine, risk profile)."""
    path, upstream = stage(sleeve.name, "solver_cells"), stage(sleeve.name, "synthetic_returns")

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        # Every window of the range is posed first, so that the processes never wait for one another.
        missing = unavailable(sleeve.risk.engines)
        entered = {at: _entered(store, sleeve, market, at, missing) for at in days}

        def compute(at: date) -> Partition:
            found = entered.pop(at)
            if isinstance(found, SleevegraphError):
                raise found
            return found.partition() if isinstance(found, Entered) else found

        return compute

    return Stage(
        path,
        "sleeves",
        cells_rule.SCHEMA,
        [key(UNIVERSE), key(stage(sleeve.name, "winners")), key(upstream)],
        prepare,
        gates=[*bars_gates(market), *streams_gates(sleeve)],
        description="Every (engine, risk profile) of the manifest: solved, or why not.",
        rules={
            **rules_of(sleeve.risk, *SOLVING),
            **rules_of(sleeve, "quotes", "selection.train_days"),
            **rules_of(market, "benchmark_symbols"),
        },
        owner=sleeve.owner,
        picture=lambda lake, partition: status_picture(lake, path, partition),
        telemetry=cells_rule.TELEMETRY,
    )


def _entered(
    store: Store, sleeve: SleeveProfile, market: MarketProfile, at: date, missing: Mapping[str, str]
) -> Entered | Partition | SleevegraphError:
    try:
        return _enter(store, sleeve, market, at, missing)
    except SleevegraphError as error:
        return error  # raised when its own date is computed: the dates before it are stored first


def _enter(
    store: Store, sleeve: SleeveProfile, market: MarketProfile, at: date, missing: Mapping[str, str]
) -> Entered | Partition:
    upstream = stage(sleeve.name, "synthetic_returns")
    standing, reason = store.lake.standing(upstream, str(at))
    if standing is Status.BLOCKED:
        return blocked(reason)
    if standing is Status.CASH:
        frame = cells_rule.cash_cells(sleeve, reason)
        return Partition(frame, _figures(frame), status=standing, reason=reason)
    atoms, synthetic = wide_streams(store.lake.read(upstream, str(at)))
    held = set(store.lake.read(stage(sleeve.name, "winners"), str(at)).filter("winner")["symbol"])
    winners = [atom for atom in atoms if atom.symbol in held]
    lost = sorted(held - {atom.symbol for atom in winners})
    if lost:
        raise LakeError(
            f"{upstream[0]} {at}: expected a stream of every winner, found none of {lost}; materialise {upstream[1]}"
        )
    tournament = tournament_rule.enter(
        synthetic,
        winners=winners,
        market=[atom.symbol for atom in atoms if atom.symbol in market.benchmark_symbols],
        benchmark=eligible_in(store.lake.read(UNIVERSE, str(at)), sleeve.quotes)["symbol"].to_list(),
        sleeve=sleeve,
        unavailable=missing,
    )
    joint = synthetic.select(atom.id for atom in winners).drop_nulls().height
    return Entered(tournament, submit(list(tournament.tasks.values())), synthetic.height - joint)


def _figures(cells: pl.DataFrame) -> dict[str, object]:
    statuses: dict[str, Counter[str]] = {}
    why: dict[str, str] = {}
    for engine, profile, status, reason in cells.select("engine", "profile", "status", "reason").iter_rows():
        statuses.setdefault(engine, Counter())[status] += 1
        if status not in EXPLAINED_ELSEWHERE:
            why[f"{engine}/{profile}"] = f"{status}: {reason}"
    counts = {
        engine: ", ".join(f"{count} {status}" for status, count in found.most_common())
        for engine, found in statuses.items()
    }
    solving = {
        "cells": counts,
        "every_cell": markdown_table(cells.drop("weights", "reason", "cap")),
        "solve_ms": round(float(cells["solve_ms"].sum()), 1),
    }
    return solving | ({"not_native": why} if why else {})


def risk_weights_stage(sleeve: SleeveProfile, market: MarketProfile) -> Stage:
    """The weights of every cell, asset by asset."""
    path, upstream = stage(sleeve.name, "risk_weights"), stage(sleeve.name, "solver_cells")
    limited = sleeve.risk.turnover_limit is not None

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        del days

        def compute(at: date) -> Partition:
            standing, reason = store.lake.standing(upstream, str(at))
            if standing is Status.BLOCKED:
                return blocked(reason)
            before = _previous_books(store, sleeve, at) if limited else None
            winners = store.lake.read(stage(sleeve.name, "winners"), str(at)).filter("winner")
            clusters = dict(winners.select("symbol", "cluster").iter_rows())
            frame = weights_rule.risk_weights(store.lake.read(upstream, str(at)), sleeve, clusters, before)
            largest = {"turnover": frame["turnover"].max()} if limited else {}
            return Partition(frame, {"assets": frame["symbol"].n_unique(), **largest}, standing, reason)

        return compute

    before = [dg.AssetDep(key(path), partition_mapping=PREVIOUS)] if limited else []
    return Stage(
        path,
        "sleeves",
        weights_rule.SCHEMA,
        [key(stage(sleeve.name, "winners")), key(upstream), *before],
        prepare,
        gates=[*bars_gates(market), *streams_gates(sleeve), *cells_gates(sleeve)],
        description="Weights of the eight risk profiles in synthetic space, and the physical net weights.",
        rules=rules_of(
            sleeve, "logic", "direction", "risk.engine_of_record", "risk.max_cluster_weight", "risk.turnover_limit"
        ),
        owner=sleeve.owner,
        picture=lambda lake, partition: weights_over_time_picture(lake, path, partition, sleeve.risk.engine_of_record),
    )


def weights_before(store: Store, sleeve: SleeveProfile, at: date) -> str | None:
    """The newest earlier partition of the weights that was not blocked, for a turnover limit; None at the first.

    Its verdicts are not asked for: in a range run they come after the whole range.
    """
    path = stage(sleeve.name, "risk_weights")
    oldest = at.toordinal() - LOOKS_BACK * STEP_DAYS
    for earlier in reversed(store.lake.partitions(path)):
        if earlier < str(at) and date.fromisoformat(earlier).toordinal() >= oldest:
            status, _ = store.lake.standing(path, earlier)
            if status is not Status.BLOCKED:
                return earlier
    return None


def _previous_books(
    store: Store, sleeve: SleeveProfile, at: date
) -> Mapping[tournament_rule.Cell, weights_rule.Book] | None:
    earlier = weights_before(store, sleeve, at)
    return weights_rule.books(store.lake.read(stage(sleeve.name, "risk_weights"), earlier)) if earlier else None
