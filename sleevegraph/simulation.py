"""One window of the cash-explicit ledger: equity = cash + sum of signed positions, every day.

Short proceeds stay in cash. Sums are exact (`math.fsum`), so their bits depend neither on the order of the
symbols nor on how many of them are flat.
"""

from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from sleevegraph.errors import BarsError, ConfigurationError, IdentityError

Floats = NDArray[np.float64]

BANKRUPT_BELOW = 0.01
"""Wealth, of the initial 1, below which a ledger goes to cash for good."""

GROSS_TOLERANCE = 1e-9
IDENTITY_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What a ledger carries from one close to the next; wealth began at 1."""

    cash: float
    positions: Floats
    """Signed market values, shape (N,)."""
    basis: Floats
    """Absolute values at the last rebalance, shape (N,): the allocation that a short can lose."""
    bankrupt: bool = False

    @property
    def equity(self) -> float:
        """Cash plus the sum of the positions."""
        return fsum([self.cash, *self.positions])


@dataclass(frozen=True, slots=True)
class Track:
    """What a ledger did in a window of T days with N symbols."""

    returns: Floats
    """Change of equity over the equity before, shape (T,); the first day bears the cost."""
    equity: Floats
    cash: Floats
    positions: Floats
    """Signed market values at each close, shape (T, N)."""
    borrow_paid: Floats
    cost: float
    """Fraction of the equity before the trade."""
    turnover: float
    """Sum of |target - drifted weight|, cash excluded."""
    state: LedgerState


def simulate(
    targets: Floats | None,
    returns: Floats,
    *,
    cost: float = 0.0014,
    borrow: float = 0.02,
    state: LedgerState | None = None,
) -> Track:
    """Rebalance at the close before the window, then drift through it.

    Parameters
    ----------
    targets
        Signed physical weights of equity, shape (N,), gross at most 1; None holds what `state` holds.
    returns
        Simple daily returns of the window, shape (T, N), T >= 1. NaN where a symbol has no return: a position
        is then closed at its last close and stays closed, whatever follows.
    cost
        Per unit of turnover.
    borrow
        Annual rate on the value of the shorts at the start of each day.
    state
        The ledger before the trade, its arrays aligned with the columns; None is wealth 1 in cash.

    Raises
    ------
    ConfigurationError
        Targets or state that do not fit the window, or gross above 1.
    BarsError
        A return that is infinite or below -1.
    IdentityError
        A day on which the ledger does not add up.

    Notes
    -----
    A short that has lost its allocation is closed with exactly that loss. A ledger whose equity closes below 0.01 is
    in cash from then on; fees beyond its wealth are written off, so equity is never negative.
    """
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    _check_returns(returns)
    before = _check_state(state, returns.shape[1])
    after, cost_share, turnover = before, 0.0, 0.0
    if targets is not None:
        weights = _check_targets(targets, returns.shape[1])
        if not before.bankrupt:
            after, cost_share, turnover = _rebalance(before, weights, cost)
    days = len(returns)
    equity, cash, paid = np.empty(days), np.empty(days), np.empty(days)
    positions = np.empty_like(returns)
    current = after
    for t in range(days):
        current, paid[t] = _day(current, returns[t], borrow / 365)
        equity[t], cash[t], positions[t] = current.equity, current.cash, current.positions
    start = np.concatenate(([before.equity], equity[:-1]))
    earned = np.divide(equity, start, out=np.ones(days), where=start > 0) - 1.0
    return Track(earned, equity, cash, positions, paid, cost_share, turnover, current)


def check_identities(start: LedgerState, end: LedgerState, pnl: Floats, returns: Floats, borrow_paid: float) -> None:
    """Raise IdentityError unless the change of equity is the sum of P&L less borrow, and shorts of falling assets gain.

    `end.equity` is built from cash and position values; `pnl` (N,) from start values and returns.
    """
    change = end.equity - start.equity
    explained = fsum(pnl) - borrow_paid
    scale = max(1.0, abs(start.cash) + fsum(np.abs(start.positions)), abs(end.equity))
    if not abs(change - explained) <= IDENTITY_TOLERANCE * scale:
        raise IdentityError(f"ledger: expected equity to change by P&L less borrow {explained!r}, found {change!r}")
    moved = end.positions - start.positions
    if np.any((start.positions < 0) & (returns < 0) & (moved < 0)):
        raise IdentityError("ledger: expected a short of a falling asset to gain, found a loss")


def _rebalance(state: LedgerState, weights: Floats, cost: float) -> tuple[LedgerState, float, float]:
    """Trade to `weights` at one close: the new ledger, cost as a fraction of equity, turnover."""
    equity = state.equity
    turnover = fsum(np.abs(weights - state.positions / equity))
    cost_share = min(cost * turnover, 1.0)
    remaining = equity * (1.0 - cost_share)
    positions = weights * remaining
    cash = remaining - fsum(positions)
    after = LedgerState(cash, positions, np.abs(positions))
    explained = equity - cost_share * equity
    if not abs(after.equity - explained) <= IDENTITY_TOLERANCE * max(1.0, equity):
        raise IdentityError(f"ledger: expected equity {explained!r} after the trade, found {after.equity!r}")
    return after, cost_share, turnover


def _day(start: LedgerState, returns: Floats, daily_borrow: float) -> tuple[LedgerState, float]:
    """One day from close to close: the new ledger and the borrow paid."""
    ended = np.isnan(returns)
    held = np.where(ended, 0.0, start.positions)
    known = np.where(ended, 0.0, returns)
    borrow_paid = daily_borrow * fsum(np.maximum(-held, 0.0))
    moved = held * (1.0 + known)
    # A short worth twice its allocation has lost all of it.
    lost = (held < 0) & (moved <= -2.0 * start.basis)
    closed = [*start.positions[ended], *(-2.0 * start.basis[lost])]
    cash = fsum([start.cash, *closed, -borrow_paid])
    positions = np.where(lost, 0.0, moved)
    end = LedgerState(cash, positions, np.where(positions == 0.0, 0.0, start.basis), start.bankrupt)
    pnl = np.where(held < 0, np.maximum(held * known, -held - 2.0 * start.basis), held * known)
    check_identities(start, end, pnl, known, borrow_paid)
    if end.equity < BANKRUPT_BELOW:
        flat = np.zeros_like(positions)
        end = LedgerState(max(end.equity, 0.0), flat, flat, bankrupt=True)
    return end, borrow_paid


def _check_returns(returns: Floats) -> None:
    if returns.ndim != 2 or len(returns) == 0:  # noqa: PLR2004 - a matrix
        raise ConfigurationError(f"simulate: returns: expected shape (T, N) with T >= 1, found {returns.shape}")
    wrong = np.argwhere(np.isinf(returns) | (returns < -1.0))
    if len(wrong):
        day, column = wrong[0]
        value = returns[day, column]
        raise BarsError(f"simulate: returns: expected -1 or more, or NaN, found {value} on day {day}, column {column}")


def _check_state(state: LedgerState | None, symbols: int) -> LedgerState:
    if state is None:
        return LedgerState(1.0, np.zeros(symbols), np.zeros(symbols))
    if state.positions.shape != (symbols,) or state.basis.shape != (symbols,):
        raise ConfigurationError(
            f"simulate: state: expected positions and basis of shape ({symbols},), "
            f"found {state.positions.shape} and {state.basis.shape}; align them with the columns of returns"
        )
    if not (np.isfinite(state.basis).all() and np.isfinite(state.equity)):
        raise ConfigurationError("simulate: state: expected finite cash, positions and basis, found another value")
    if not (state.bankrupt or state.equity > 0.0):
        raise ConfigurationError(f"simulate: state: expected equity above 0 or bankrupt, found {state.equity!r}")
    return state


def _check_targets(targets: Floats, symbols: int) -> Floats:
    weights = np.ascontiguousarray(targets, dtype=np.float64)
    if weights.shape != (symbols,):
        raise ConfigurationError(f"simulate: targets: expected shape ({symbols},), found {weights.shape}")
    if not np.isfinite(weights).all():
        raise ConfigurationError("simulate: targets: expected finite weights, found NaN or infinity")
    gross = fsum(np.abs(weights))
    if gross > 1.0 + GROSS_TOLERANCE:
        raise ConfigurationError(
            f"simulate: targets: expected gross at most 1, found {gross!r}; scale the weights down"
        )
    return weights
