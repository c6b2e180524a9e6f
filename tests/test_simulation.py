from dataclasses import replace
from math import fsum

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sleevegraph.errors import BarsError, ConfigurationError, IdentityError
from sleevegraph.simulation import LedgerState, Track, check_identities, simulate

DAYS, SYMBOLS = 12, 4
FREE = {"cost": 0.0, "borrow": 0.0}

window_returns = arrays(
    np.float64,
    (DAYS, SYMBOLS),
    elements=st.one_of(st.floats(-0.6, 0.9), st.sampled_from([np.nan, 1.0, 4.0, -1.0, 0.0])),
)


@st.composite
def books(draw: st.DrawFn) -> np.ndarray:
    raw = draw(arrays(np.float64, SYMBOLS, elements=st.floats(-1, 1)))
    return raw / max(1.0, np.abs(raw).sum())


def by_units(targets: np.ndarray, returns: np.ndarray, cost: float, borrow: float) -> list[float]:
    """The same rules told in units and prices, symbol by symbol: the equity at each close, from wealth 1."""
    wealth = 1.0 - cost * float(np.abs(targets).sum())
    units = {i: w * wealth for i, w in enumerate(targets) if w}  # bought at a price of 1
    prices = dict.fromkeys(units, 1.0)
    cash = wealth - sum(units.values())
    closes: list[float] = []
    for day in returns:
        for i in [i for i in units if np.isnan(day[i])]:
            cash += units.pop(i) * prices[i]
        cash -= sum(-u * prices[i] for i, u in units.items() if u < 0) * borrow / 365
        for i in list(units):
            before, prices[i] = prices[i], prices[i] * (1 + day[i])
            assume(before == 1.0 or abs(prices[i] - 2) > 1e-9)  # else rounding decides whether the short is closed
            if units[i] < 0 and prices[i] >= 2:
                cash += units.pop(i) * 2.0
        equity = cash + sum(u * prices[i] for i, u in units.items())
        assume(abs(equity - 0.01) > 1e-9)
        if equity < 0.01:
            units, cash, equity = {}, max(equity, 0.0), max(equity, 0.0)
        closes.append(equity)
    return closes


@given(books(), window_returns)
@settings(max_examples=300, deadline=None)
def test_equity_is_that_of_an_account_kept_in_units_and_prices(targets: np.ndarray, returns: np.ndarray) -> None:
    track = simulate(targets, returns)
    np.testing.assert_allclose(track.equity, by_units(targets, returns, 0.0014, 0.02), rtol=1e-12, atol=1e-12)


@given(books(), window_returns)
@settings(max_examples=200, deadline=None)
def test_every_day_equity_is_cash_plus_positions_and_returns_compound_to_it(
    targets: np.ndarray, returns: np.ndarray
) -> None:
    track = simulate(targets, returns)
    assert len(track.equity) == len(track.returns) == len(track.borrow_paid) == DAYS
    scale = np.maximum(1.0, track.equity)
    assert (np.abs(track.cash + track.positions.sum(axis=1) - track.equity) <= 1e-12 * scale).all()
    assert (np.abs(np.cumprod(1 + track.returns) - track.equity) <= 1e-12 * scale).all()
    assert (track.equity >= 0).all()
    assert (track.returns >= -1).all()


@given(books(), window_returns, st.integers(1, DAYS - 1))
@settings(max_examples=200, deadline=None)
def test_holding_through_a_split_gives_the_bits_of_one_window(
    targets: np.ndarray, returns: np.ndarray, day: int
) -> None:
    whole = simulate(targets, returns)
    first = simulate(targets, returns[:day])
    second = simulate(None, returns[day:], state=first.state)
    assert np.concatenate([first.equity, second.equity]).tobytes() == whole.equity.tobytes()
    assert np.concatenate([first.returns, second.returns]).tobytes() == whole.returns.tobytes()
    assert np.concatenate([first.positions, second.positions]).tobytes() == whole.positions.tobytes()
    assert np.concatenate([first.borrow_paid, second.borrow_paid]).tobytes() == whole.borrow_paid.tobytes()
    assert (second.cost, second.turnover) == (0.0, 0.0)


@given(books(), window_returns, st.permutations(range(SYMBOLS)))
@settings(max_examples=100, deadline=None)
def test_neither_the_order_of_symbols_nor_flat_ones_change_a_bit(
    targets: np.ndarray, returns: np.ndarray, order: list[int]
) -> None:
    wide = np.concatenate([returns[:, order], np.full((DAYS, 9), 0.3)], axis=1)
    moved = simulate(np.concatenate([targets[order], np.zeros(9)]), wide)
    assert moved.equity.tobytes() == simulate(targets, returns).equity.tobytes()


def test_long_only_without_cost_compounds_each_weight() -> None:
    rng = np.random.default_rng(1)
    weights, returns = np.array([0.2, 0.5, 0.3]), rng.normal(0, 0.05, (10, 3))
    track = simulate(weights, returns, **FREE)
    np.testing.assert_allclose(track.equity, np.cumprod(1 + returns, axis=0) @ weights, rtol=1e-13)


def test_short_of_a_falling_asset_gains_every_day() -> None:
    track = simulate(np.array([-1.0]), np.full((5, 1), -0.1), **FREE)
    assert (np.diff(track.equity, prepend=1.0) > 0).all()
    assert track.equity[-1] == pytest.approx(1 + (1 - 0.9**5), abs=1e-14)


def test_short_proceeds_stay_in_cash_and_a_hedged_book_starts_at_gross_one() -> None:
    track = simulate(np.array([0.5, -0.5]), np.zeros((1, 2)), **FREE)
    assert np.abs(track.positions[0]).sum() == 1.0
    assert track.cash[0] == 1.0
    assert track.equity[0] == 1.0


def test_cost_is_charged_once_on_the_turnover_against_drifted_weights() -> None:
    first = simulate(np.array([1.0, 0.0]), np.array([[1.0, 0.0]]), cost=0.01, borrow=0.0)
    assert (first.turnover, first.cost) == (1.0, 0.01)
    assert first.equity[0] == pytest.approx(0.99 * 2, abs=1e-15)
    drifted = simulate(np.array([0.5, -0.5]), np.zeros((2, 2)), cost=0.01, borrow=0.0, state=first.state)
    assert drifted.turnover == pytest.approx(abs(0.5 - 1) + 0.5, abs=1e-15)
    np.testing.assert_allclose(drifted.returns, [-0.01, 0.0], atol=1e-15)


def test_rebalancing_to_the_drifted_weights_costs_nothing() -> None:
    first = simulate(np.array([0.5, -0.5]), np.array([[0.1, -0.2]]))
    again = simulate(first.state.positions / first.state.equity, np.zeros((1, 2)), borrow=0.0, state=first.state)
    assert again.turnover < 1e-15
    assert again.equity[0] == pytest.approx(first.equity[-1], abs=1e-15)


def test_borrow_is_paid_on_the_value_of_shorts_at_the_start_of_the_day() -> None:
    track = simulate(np.array([-0.5, 0.5]), np.array([[0.2, 0.0], [0.0, 0.0]]), cost=0.0, borrow=0.0365)
    np.testing.assert_allclose(track.borrow_paid, [0.5e-4, 0.6e-4], rtol=1e-13)
    assert track.equity[-1] == pytest.approx(1 - 0.1 - 1.1e-4, abs=1e-14)


def test_position_whose_bars_end_is_closed_at_its_last_close_even_if_they_resume() -> None:
    returns = np.array([[0.1, 0.1], [np.nan, 0.0], [5.0, 0.0]])
    track = simulate(np.array([0.5, -0.5]), returns, **FREE)
    assert track.positions[:, 0].tolist() == [0.55, 0.0, 0.0]
    assert track.cash[1] - track.cash[0] == pytest.approx(0.55, abs=1e-15)
    assert track.equity.tolist() == [1.0, 1.0, 1.0]


def test_short_whose_bars_end_pays_no_borrow_after_its_last_close() -> None:
    track = simulate(np.array([-1.0]), np.array([[0.0], [np.nan]]), cost=0.0)
    assert track.borrow_paid[0] > 0
    assert track.borrow_paid[1] == 0.0
    assert track.cash[1] == pytest.approx(1 - 0.02 / 365, abs=1e-15)


@pytest.mark.parametrize("jump", [1.0, 1.5, 9.0])
def test_short_that_doubles_is_closed_with_the_loss_of_its_allocation(jump: float) -> None:
    track = simulate(np.array([-0.4]), np.array([[jump], [-0.9], [3.0]]), **FREE)
    np.testing.assert_allclose(track.equity, [0.6, 0.6, 0.6], atol=1e-15)
    assert (track.positions == 0).all()


def test_short_below_its_allocation_is_not_closed() -> None:
    track = simulate(np.array([-0.4]), np.array([[0.99], [-0.5]]), **FREE)
    assert track.equity[-1] == pytest.approx(1.4 - 0.4 * 1.99 * 0.5, abs=1e-15)


def test_allocation_of_a_held_short_is_that_of_its_last_rebalance() -> None:
    first = simulate(np.array([-0.4]), np.array([[0.6]]), **FREE)
    held = simulate(None, np.array([[0.6]]), **FREE, state=first.state)
    assert held.equity[0] == pytest.approx(0.6, abs=1e-15)
    renewed = simulate(first.state.positions / first.state.equity, np.array([[0.6]]), **FREE, state=first.state)
    assert renewed.equity[0] == pytest.approx(1.4 - 0.4 * 1.6 * 1.6, abs=1e-15)


def test_bankrupt_ledger_stays_in_cash_whatever_is_asked() -> None:
    ruined = simulate(np.array([1.0]), np.array([[-0.995], [3.0]]), **FREE)
    assert ruined.state.bankrupt
    assert ruined.equity[0] == ruined.equity[1] == pytest.approx(0.005, abs=1e-15)
    later = simulate(np.array([1.0]), np.array([[3.0]]), state=ruined.state)
    assert (later.cost, later.turnover, later.returns.tolist()) == (0.0, 0.0, [0.0])
    assert later.equity[0] == ruined.equity[1]
    assert later.state.bankrupt


def test_bankruptcy_is_not_undone_by_wealth() -> None:
    state = LedgerState(0.5, np.zeros(1), np.zeros(1), bankrupt=True)
    track = simulate(np.array([1.0]), np.array([[1.0]]), state=state)
    assert (track.equity[0], track.state.bankrupt) == (0.5, True)


def test_wealth_of_one_per_cent_is_not_bankrupt() -> None:
    assert not simulate(np.array([0.5]), np.array([[-1.0]]), **FREE).state.bankrupt
    assert not simulate(np.array([1.0]), np.array([[-0.98]]), **FREE).state.bankrupt


def test_fees_beyond_the_wealth_are_written_off() -> None:
    track = simulate(np.array([-1.0]), np.array([[2.0], [0.0]]))
    assert track.equity.tolist() == [0.0, 0.0]
    assert track.returns.tolist() == [-1.0, 0.0]


def test_holding_nothing_stays_at_one() -> None:
    track = simulate(None, np.zeros((3, 0)))
    assert track.equity.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("targets", "returns", "found"),
    [
        ([0.6, -0.5], np.zeros((1, 2)), "gross"),
        ([np.nan, 0.0], np.zeros((1, 2)), "finite"),
        ([0.5], np.zeros((1, 2)), "shape"),
        ([0.5, 0.5], np.zeros((0, 2)), "T >= 1"),
        ([0.5, 0.5], np.zeros(2), "T >= 1"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: list[float], returns: np.ndarray, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        simulate(np.array(targets), returns)


@pytest.mark.parametrize("value", [np.inf, -np.inf, -1.001])
def test_return_that_no_price_can_have_is_refused(value: float) -> None:
    with pytest.raises(BarsError, match="day 1, column 0"):
        simulate(np.array([0.5]), np.array([[0.0], [value]]))


@pytest.mark.parametrize(
    "state",
    [
        LedgerState(1.0, np.zeros(1), np.zeros(1)),
        LedgerState(1.0, np.zeros(2), np.zeros(1)),
        LedgerState(np.nan, np.zeros(2), np.zeros(2)),
        LedgerState(1.0, np.array([0.0, np.nan]), np.zeros(2)),
        LedgerState(0.0, np.zeros(2), np.zeros(2)),
    ],
)
def test_state_that_does_not_fit_is_refused(state: LedgerState) -> None:
    with pytest.raises(ConfigurationError, match="state"):
        simulate(None, np.zeros((1, 2)), state=state)


def one_day() -> tuple[LedgerState, Track, np.ndarray]:
    start = LedgerState(1.0, np.array([0.5, -0.5]), np.array([0.5, 0.5]))
    returns = np.array([[0.1, -0.2]])
    return start, simulate(None, returns, borrow=0.0, state=start), returns[0]


def test_identities_hold_on_an_honest_day() -> None:
    start, track, returns = one_day()
    check_identities(start, track.state, start.positions * returns, returns, 0.0)


@pytest.mark.parametrize("defect", ["cash", "position", "pnl", "borrow"])
def test_identity_fails_when_one_number_is_off_by_a_billionth(defect: str) -> None:
    start, track, returns = one_day()
    end, pnl, off = track.state, start.positions * returns, np.array([1e-9, 0.0])
    if defect == "cash":
        end = replace(end, cash=end.cash + 1e-9)
    if defect == "position":
        end = replace(end, positions=end.positions + off)
    with pytest.raises(IdentityError, match="change by P&L"):
        check_identities(
            start, end, pnl + off if defect == "pnl" else pnl, returns, 1e-9 if defect == "borrow" else 0.0
        )


def test_identity_fails_when_a_short_of_a_falling_asset_loses() -> None:
    start = LedgerState(1.0, np.array([-0.5]), np.array([0.5]))
    end = LedgerState(1.0, np.array([-0.6]), np.array([0.5]))
    with pytest.raises(IdentityError, match="falling asset"):
        check_identities(start, end, np.array([-0.1]), np.array([-0.2]), 0.0)


def test_state_equity_is_the_exact_sum() -> None:
    state = LedgerState(1e16, np.array([1.0, -1e16]), np.zeros(2))
    assert state.equity == fsum([1e16, 1.0, -1e16]) == 1.0
