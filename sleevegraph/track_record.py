"""The ledger of one (engine, risk profile) by symbol, carried from window to window."""

from dataclasses import dataclass, field
from datetime import date
from math import fsum
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.errors import LakeError
from sleevegraph.manifest import LedgerRules
from sleevegraph.panel import Floats, Panel
from sleevegraph.simulation import LedgerState, simulate

CASH = "CASH"
"""Stands where a symbol stands, for what is not in any symbol."""

HOLDINGS_SCHEMA = pl.Schema({"symbol": pl.String, "value": pl.Float64, "basis": pl.Float64, "bankrupt": pl.Boolean})


class Window(Protocol):
    """The days of one window: what a Panel has, and what the streams of a meta's children make up."""

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """(T,) days."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]:
        """(N,) names."""
        ...

    @property
    def returns(self) -> Floats:
        """(T, N) simple returns, NaN where there is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ReturnsWindow:
    """A Window that is nothing else."""

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    returns: Floats


def market_window(known: Panel, first: date, days: int) -> ReturnsWindow:
    """Exactly the days from `first` on, for a ledger to walk.

    A day on which no symbol at all has a return is a day without a market (or without its bars): nobody could trade, so
    positions are carried through it at their last close. A symbol that alone has none has ended.
    """
    dates = np.datetime64(first, "D") + np.arange(days)
    returns = np.full((days, len(known.symbols)), np.nan)
    rows = np.isin(dates, known.dates)
    returns[rows] = known.returns[np.isin(known.dates, dates)]
    returns[np.isnan(returns).all(axis=1)] = 0.0
    return ReturnsWindow(dates, known.symbols, returns)


@dataclass(frozen=True, slots=True)
class Holdings:
    """A ledger between two windows; wealth began at 1."""

    cash: float
    positions: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Symbol to (signed market value, basis); no zero values."""
    bankrupt: bool = False

    @property
    def equity(self) -> float:
        """Cash plus the sum of the positions."""
        return fsum([self.cash, *(value for value, _ in self.positions.values())])


def opening() -> Holdings:
    """The ledger before its first window: wealth 1, all in cash."""
    return Holdings(1.0)


def earn(
    holdings: Holdings, targets: dict[str, float] | None, window: Window, rules: LedgerRules
) -> tuple[pl.DataFrame, Holdings]:
    """Simulate one window over the symbols held or targeted; `window` has exactly the window's days.

    Returns the daily rows [date, ret, equity, cash, gross, net, cost, turnover, borrow_paid] and the ledger at the last
    close. `cash`, `gross` and `net` are at the close: cash in wealth, the other two as fractions of equity; `cost`
    (fraction) and `turnover` stand on the first day. A symbol that the panel lacks has no bars: it is closed where it
    stands. `targets` None holds; a CASH entry needs no trade. Raises what `simulate` raises.
    """
    symbols = sorted({*holdings.positions, *(targets or {})} - {CASH})
    track = simulate(
        None if targets is None else np.array([targets.get(s, 0.0) for s in symbols]),
        _aligned_returns(window, symbols),
        cost=rules.cost,
        borrow=rules.borrow,
        state=_state(holdings, symbols),
    )
    first = np.arange(len(window.dates)) == 0
    wealth = np.where(track.equity > 0.0, track.equity, 1.0)
    rows = pl.DataFrame(
        {
            "date": window.dates,
            "ret": track.returns,
            "equity": track.equity,
            "cash": track.cash,
            "gross": np.array([fsum(np.abs(day)) for day in track.positions]) / wealth,
            "net": np.array([fsum(day) for day in track.positions]) / wealth,
            "cost": np.where(first, track.cost, 0.0),
            "turnover": np.where(first, track.turnover, 0.0),
            "borrow_paid": track.borrow_paid,
        },
        schema_overrides={"date": pl.Date},
    )
    return rows, _holdings(track.state, symbols)


def in_force_weights(holdings: Holdings) -> dict[str, float]:
    """Signed physical weights as the market has drifted them, by symbol; empty in cash."""
    equity = holdings.equity
    return {symbol: value / equity for symbol, (value, _) in sorted(holdings.positions.items())}


def holdings_frame(holdings: Holdings) -> pl.DataFrame:
    """Rows [symbol, value, basis, bankrupt] to store: CASH first, then symbols sorted; floats are exact."""
    rows = [(CASH, holdings.cash, 0.0, holdings.bankrupt)]
    rows += [(symbol, *held, holdings.bankrupt) for symbol, held in sorted(holdings.positions.items())]
    return pl.DataFrame(rows, schema=HOLDINGS_SCHEMA, orient="row")


def holdings_from_frame(frame: pl.DataFrame) -> Holdings:
    """Read what `holdings_frame` wrote; LakeError when it is of another shape."""
    if frame.schema != HOLDINGS_SCHEMA:
        raise LakeError(f"holdings: expected columns {dict(HOLDINGS_SCHEMA)}, found {dict(frame.schema)}")
    cash = frame.filter(pl.col("symbol") == CASH)
    if cash.height != 1 or frame["symbol"].is_duplicated().any():
        raise LakeError(f"holdings: expected one row per symbol and one {CASH} row, found {frame['symbol'].to_list()}")
    positions = {
        symbol: (value, basis)
        for symbol, value, basis in frame.select("symbol", "value", "basis").iter_rows()
        if symbol != CASH
    }
    return Holdings(cash["value"].item(), positions, cash["bankrupt"].item())


def _aligned_returns(window: Window, symbols: list[str]) -> Floats:
    column = {symbol: i for i, symbol in enumerate(window.symbols)}
    returns = np.full((len(window.dates), len(symbols)), np.nan)
    for i, symbol in enumerate(symbols):
        if symbol in column:
            returns[:, i] = window.returns[:, column[symbol]]
    return returns


def _state(holdings: Holdings, symbols: list[str]) -> LedgerState:
    held = np.array([holdings.positions.get(symbol, (0.0, 0.0)) for symbol in symbols]).reshape(-1, 2)
    values, basis = np.ascontiguousarray(held.T)
    return LedgerState(holdings.cash, values, basis, holdings.bankrupt)


def _holdings(state: LedgerState, symbols: list[str]) -> Holdings:
    positions = {
        symbol: (value, basis)
        for symbol, value, basis in zip(symbols, state.positions.tolist(), state.basis.tolist(), strict=True)
        if value != 0.0
    }
    return Holdings(state.cash, positions, state.bankrupt)
