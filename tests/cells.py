"""Solver cells of made-up sleeves: posed and solved in this process, or written down row by row."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom, Direction
from sleevegraph.engines.registry import engine_named
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_profiles.solver import solve_posed
from sleevegraph.solver_cells import SCHEMA
from sleevegraph.tournament import Cell, Outcome, Tournament, enter
from tests.windows import window

MARKET = ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
BENCHMARK = ("BINANCE:BTCUSDT", "BINANCE:S00USDT", "BINANCE:S01USDT", "BINANCE:ZZZUSDT", "BINANCE:YYYUSDT")
NOBODY: Mapping[str, str] = {}


def sleeve(*engines: str, direction: Direction = "LONG", **risk: object) -> SleeveProfile:
    """A sleeve solved by these engines, the first of them of record unless `risk` says otherwise."""
    rules = {"engines": engines, "engine_of_record": engines[0], **risk}
    return SleeveProfile(name="made_up", logic="rating_all", rating="recommend_all", direction=direction, risk=rules)


def atoms(N: int) -> list[Atom]:
    return [Atom(f"BINANCE:S{i:02}USDT", "rating_all", "LONG") for i in range(N)]


def streams(returns: np.ndarray, winners: Sequence[Atom]) -> pl.DataFrame:
    """Date and one column per winner; NaN stays NaN."""
    days = [date(2022, 1, 1) + timedelta(days=i) for i in range(len(returns))]
    return pl.DataFrame({"date": days} | {atom.id: returns[:, i] for i, atom in enumerate(winners)})


def entered(
    made_up: SleeveProfile, returns: np.ndarray | None = None, unavailable: Mapping[str, str] = NOBODY
) -> Tournament:
    """A window of seven assets, or of the returns given, posed to a sleeve's engines."""
    returns = window(1, 7) if returns is None else returns
    winners = atoms(returns.shape[1])
    return enter(streams(returns, winners), winners, MARKET, BENCHMARK, made_up, unavailable)


def solved_natively(tournament: Tournament) -> dict[Cell, Outcome]:
    """An outcome of each task, by the native engine whoever was asked."""
    native = engine_named("native")
    return {
        cell: Outcome(solve_posed(task.profile, task.problem, native), 1.5) for cell, task in tournament.tasks.items()
    }


def row(
    engine: str, profile: str, status: str = "native", weights: Mapping[str, float] | None = None, **others: object
) -> dict[str, object]:
    """One stored cell, which may contradict itself."""
    held = [{"symbol": symbol, "weight": weight} for symbol, weight in (weights or {}).items()]
    blank: dict[str, object] = dict.fromkeys(SCHEMA)
    reason = "" if status == "native" else f"why {status}"
    given = {"engine": engine, "profile": profile, "status": status, "reason": reason, "weights": held}
    return {**blank, "cap": 0.5, "cap_binding_share": 0.0, "objective": 1.0, **given, **others}


def stored(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def every_profile(engine: str, status: str = "native", **others: object) -> list[dict[str, object]]:
    return [row(engine, profile, status, **others) for profile in RISK_PROFILES]
