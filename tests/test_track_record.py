from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import LakeError
from sleevegraph.manifest import LedgerRules
from sleevegraph.panel import Panel, build_panel
from sleevegraph.track_record import (
    Holdings,
    earn,
    holdings_frame,
    holdings_from_frame,
    in_force_weights,
    opening,
)
from tests.shared import SHARED, needs_shared

DAY = date(2024, 1, 1)
FREE = LedgerRules(slippage=0.0, commission=0.0, borrow=0.0)


def window(closes: dict[str, list[float | None]]) -> Panel:
    """Panel of the days after the first close; None is a day without a bar."""
    rows = [
        {"symbol": symbol, "base": symbol, "quote": "USDT", "date": DAY + timedelta(days=i), "close": close}
        for symbol, series in closes.items()
        for i, close in enumerate(series)
        if close is not None
    ]
    bars = pl.DataFrame(rows).with_columns(
        open=pl.col("close"), high=pl.col("close"), low=pl.col("close"), volume=pl.lit(1.0), quote_volume=pl.lit(1.0)
    )
    return build_panel(bars).last(len(next(iter(closes.values()))) - 1)


def test_one_row_a_day_with_cost_and_turnover_on_the_first() -> None:
    rows, _ = earn(opening(), {"A": 0.5, "B": -0.5}, window({"A": [1, 1, 1], "B": [1, 1, 1]}), LedgerRules())
    assert rows.schema == {
        "date": pl.Date,
        **dict.fromkeys(("ret", "equity", "cash", "gross", "net", "cost", "turnover", "borrow_paid"), pl.Float64),
    }
    assert rows["date"].to_list() == [DAY + timedelta(days=1), DAY + timedelta(days=2)]
    assert rows["turnover"].to_list() == [1.0, 0.0]
    assert rows["cost"].to_list() == [0.0014, 0.0]


def test_exposures_are_fractions_of_the_equity_at_the_close() -> None:
    rows, holdings = earn(opening(), {"A": 0.6, "B": -0.4}, window({"A": [1, 2], "B": [1, 0.5]}), FREE)
    assert rows["equity"][0] == pytest.approx(1.8, abs=1e-15)
    assert rows["gross"][0] == pytest.approx((1.2 + 0.2) / 1.8, abs=1e-15)
    assert rows["net"][0] == pytest.approx((1.2 - 0.2) / 1.8, abs=1e-15)
    assert in_force_weights(holdings) == pytest.approx({"A": 1.2 / 1.8, "B": -0.2 / 1.8}, abs=1e-15)


def test_position_without_a_target_is_sold() -> None:
    _, held = earn(opening(), {"A": 1.0}, window({"A": [1, 2], "B": [1, 1]}), FREE)
    rows, after = earn(held, {"B": 1.0}, window({"A": [1, 9], "B": [1, 2]}), FREE)
    assert rows["turnover"][0] == 2.0
    assert rows["equity"][0] == 4.0
    assert set(after.positions) == {"B"}


def test_symbols_are_matched_by_name() -> None:
    panel = window({"A": [1, 9], "B": [1, 2], "C": [1, 4]})
    rows, after = earn(Holdings(0.5, {"C": (0.5, 0.5)}), {"C": 0.5, "B": 0.25}, panel, FREE)
    assert rows["equity"][0] == 0.25 + 0.25 * 2 + 0.5 * 4
    assert after.positions == {"B": (0.5, 0.25), "C": (2.0, 0.5)}


def test_hold_carries_the_drifted_positions_without_a_trade() -> None:
    _, held = earn(opening(), {"A": 0.5, "B": -0.5}, window({"A": [1, 2], "B": [1, 1]}), FREE)
    rows, after = earn(held, None, window({"A": [2, 4], "B": [1, 1]}), LedgerRules(borrow=0.0))
    assert rows["cost"].to_list() == rows["turnover"].to_list() == [0.0]
    assert after.positions == {"A": (2.0, 0.5), "B": (-0.5, 0.5)}


def test_symbol_that_the_panel_lacks_is_closed_at_its_carried_value() -> None:
    held = Holdings(0.4, {"GONE": (0.6, 0.5)})
    rows, after = earn(held, None, window({"A": [1, 2]}), FREE)
    assert rows["equity"].to_list() == [1.0]
    assert after == Holdings(1.0)


def test_symbol_whose_bars_end_leaves_the_holdings() -> None:
    rows, after = earn(opening(), {"A": 0.5, "B": 0.5}, window({"A": [1, 1, 1], "B": [1, 3, None]}), FREE)
    assert rows["equity"].to_list() == [2.0, 2.0]
    assert after == Holdings(1.5, {"A": (0.5, 0.5)})


def test_cash_target_is_not_traded() -> None:
    rows, after = earn(opening(), {"CASH": 0.7, "A": 0.3}, window({"A": [1, 2]}), LedgerRules())
    assert rows["turnover"][0] == 0.3
    assert set(after.positions) == {"A"}


def test_empty_targets_are_cash() -> None:
    _, held = earn(opening(), {"A": 1.0}, window({"A": [1, 2]}), FREE)
    rows, after = earn(held, {}, window({"A": [2, 1]}), FREE)
    assert rows["ret"].to_list() == [0.0]
    assert after == Holdings(2.0)


def test_bankruptcy_is_carried_from_window_to_window() -> None:
    _, ruined = earn(opening(), {"A": 1.0}, window({"A": [1, 0.001]}), FREE)
    rows, after = earn(ruined, {"A": 1.0}, window({"A": [1, 100]}), FREE)
    assert ruined.bankrupt
    assert after == ruined
    assert rows.select("ret", "gross", "net").row(0) == (0.0, 0.0, 0.0)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(
        st.text("ABC", min_size=5, max_size=9),
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e9)),
        max_size=5,
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_stored_holdings_come_back_to_the_bit(
    cash: float, positions: dict[str, tuple[float, float]], bankrupt: bool
) -> None:
    holdings = Holdings(cash, positions, bankrupt)
    assert repr(holdings_from_frame(holdings_frame(holdings))) == repr(
        Holdings(cash, dict(sorted(positions.items())), bankrupt)
    )


def test_stored_holdings_always_have_a_cash_row() -> None:
    assert holdings_frame(opening()).rows() == [("CASH", 1.0, 0.0, False)]


@pytest.mark.parametrize(
    "damaged",
    [
        holdings_frame(opening()).clear(),
        pl.concat([holdings_frame(opening())] * 2),
        holdings_frame(opening()).drop("basis"),
        pl.concat(
            [holdings_frame(Holdings(1.0, {"A": (1.0, 1.0)})), holdings_frame(Holdings(1.0, {"A": (1.0, 1.0)}))[1:]]
        ),
    ],
)
def test_stored_holdings_of_another_shape_are_refused(damaged: pl.DataFrame) -> None:
    with pytest.raises(LakeError, match="holdings"):
        holdings_from_frame(damaged)


@needs_shared
def test_recorded_market_held_over_ten_windows_is_one_long_window() -> None:
    names = ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
    bars = (
        pl.scan_parquet(SHARED / "market" / "spot_daily.parquet")
        .filter(pl.col("symbol").is_in(names))
        .with_columns(base=pl.col("symbol"), quote=pl.lit("USDT"), quote_volume=pl.col("volume") * pl.col("close"))
        .collect()
    )
    panel = build_panel(bars).last(101)
    targets = {names[0]: 0.4, names[1]: -0.3, names[2]: -0.3}
    whole, end = earn(opening(), targets, _days(panel, 1, 101), LedgerRules())
    holdings, parts = opening(), []
    for i in range(10):
        rows, holdings = earn(
            holdings, targets if i == 0 else None, _days(panel, 1 + 10 * i, 11 + 10 * i), LedgerRules()
        )
        parts.append(rows)
        holdings = holdings_from_frame(holdings_frame(holdings))
    assert pl.concat(parts).equals(whole)
    assert holdings == end
    closes = panel.select(tuple(names)).close
    weights = np.array(list(targets.values()))
    profit = float(weights @ (closes[100] / closes[0] - 1)) * (1 - 0.0014)
    assert whole["equity"][-1] == pytest.approx(1 - 0.0014 + profit - whole["borrow_paid"].sum(), abs=1e-12)


def _days(panel: Panel, first: int, last: int) -> Panel:
    """Rows [first, last) of the panel."""
    until = panel if last == len(panel.dates) else panel.before(panel.dates[last].item())
    return until.last(last - first)
