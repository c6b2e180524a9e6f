from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.errors import BarsError
from sleevegraph.panel import VALUES, Panel, build_panel
from tests.markets import bars_of, recorded_bars, recorded_panel, walk, with_noise_from
from tests.shared import needs_shared

END = date(2022, 12, 31)
HOLE = float("nan")


def column(panel: Panel, base: str) -> np.ndarray:
    return panel.returns[:, panel.symbols.index(f"BINANCE:{base}USDT")]


def test_returns_are_simple_close_to_close() -> None:
    panel = build_panel(bars_of({"AAA": [100.0, 110.0, 99.0]}, END))
    np.testing.assert_allclose(column(panel, "AAA")[1:], [0.10, -0.10])
    assert np.isnan(column(panel, "AAA")[0])


def test_a_return_across_a_gap_is_missing_and_the_close_stays() -> None:
    panel = build_panel(bars_of({"AAA": [100.0, 101.0, HOLE, 200.0, 202.0], "BBB": [1.0] * 5}, END))
    np.testing.assert_allclose(column(panel, "AAA"), [HOLE, 0.01, HOLE, HOLE, 0.01])
    assert panel.close[3, 0] == 200.0


def test_the_calendar_has_every_day_even_when_nobody_traded() -> None:
    panel = build_panel(bars_of({"AAA": [1.0, HOLE, HOLE, 1.0]}, END))
    assert panel.dates.tolist() == [END - timedelta(days=d) for d in (3, 2, 1, 0)]


def test_the_order_of_the_bars_does_not_matter() -> None:
    bars = bars_of({s: walk(30, i) for i, s in enumerate("CAB")}, END)
    shuffled = build_panel(bars.sample(fraction=1.0, shuffle=True, seed=3))
    assert shuffled.symbols == build_panel(bars).symbols == tuple(f"BINANCE:{s}USDT" for s in "ABC")
    np.testing.assert_array_equal(shuffled.returns, build_panel(bars).returns)


def test_no_bars_are_an_error() -> None:
    with pytest.raises(BarsError, match="expected bars, found none"):
        build_panel(bars_of({"AAA": [1.0]}, END).clear())


def test_before_ends_the_day_before_and_forgets_symbols_that_list_later() -> None:
    panel = build_panel(bars_of({"OLD": [1.0] * 10, "NEW": [1.0] * 3}, END))
    known = panel.before(END - timedelta(days=2))
    assert known.symbols == ("BINANCE:OLDUSDT",)
    assert known.dates[-1] == np.datetime64(END - timedelta(days=3))
    assert all(getattr(known, name).shape == (7, 1) for name in (*VALUES, "returns"))
    assert panel.before(END - timedelta(days=1)).symbols == panel.symbols


def test_what_happens_at_or_after_the_date_changes_nothing_before_it() -> None:
    bars = bars_of({s: walk(60, i) for i, s in enumerate("ABC")}, END)
    at = END - timedelta(days=20)
    calm, noisy = build_panel(bars).before(at), build_panel(with_noise_from(bars, at)).before(at)
    assert calm.symbols == noisy.symbols
    for name in (*VALUES, "returns"):
        assert getattr(calm, name).tobytes() == getattr(noisy, name).tobytes()
    later = END - timedelta(days=10)
    assert build_panel(with_noise_from(bars, at)).before(later).close.tobytes() != (
        build_panel(bars).before(later).close.tobytes()
    )


def test_last_keeps_the_first_return_which_belongs_to_its_first_day() -> None:
    panel = build_panel(bars_of({"AAA": [100.0, 110.0, 121.0]}, END))
    np.testing.assert_allclose(panel.last(2).returns[:, 0], [0.10, 0.10])
    assert panel.last(99).dates.tolist() == panel.dates.tolist()


def test_select_reorders_columns_and_refuses_an_unknown_symbol() -> None:
    panel = build_panel(bars_of({"AAA": [1.0, 2.0], "BBB": [1.0, 3.0]}, END))
    turned = panel.select(("BINANCE:BBBUSDT", "BINANCE:AAAUSDT"))
    assert turned.returns[1].tolist() == [2.0, 1.0]
    assert turned.bases == ("BBB", "AAA")
    with pytest.raises(BarsError, match="XXX"):
        panel.select(("XXX",))


def test_every_matrix_is_contiguous_after_every_cut() -> None:
    panel = build_panel(bars_of({s: walk(30, i) for i, s in enumerate("ABC")}, END))
    for cut in (panel, panel.before(END), panel.last(5), panel.select(panel.symbols[::-1])):
        assert all(getattr(cut, name).flags.c_contiguous for name in (*VALUES, "returns"))


@needs_shared
def test_ticker_reuse_and_redenominations_are_not_returns() -> None:
    panel = recorded_panel()
    for base, day in {
        "LUNA": date(2022, 5, 31),
        "QUICK": date(2023, 7, 21),
        "SUN": date(2021, 6, 18),
        "BNX": date(2023, 2, 22),
        "VIDT": date(2022, 11, 9),
    }.items():
        row = int(np.searchsorted(panel.dates, np.datetime64(day)))
        closes = panel.close[:, panel.symbols.index(f"BINANCE:{base}USDT")]
        assert np.isfinite(closes[row])
        before = closes[:row][np.isfinite(closes[:row])][-1]
        assert abs(closes[row] / before - 1.0) > 0.9
        assert np.isnan(column(panel, base)[row])
    assert np.nanmax(column(panel, "LUNA")) < 5.0
    assert np.nanmax(panel.returns) == pytest.approx(4.52, abs=0.01)  # UNFI, 2022-06-07, is genuine


@needs_shared
def test_recorded_returns_equal_those_of_consecutive_days_per_symbol() -> None:
    bars = recorded_bars().sort("symbol", "date")
    previous = bars.select(pl.col("close", "date").shift().over("symbol"))
    consecutive = bars["date"] - previous["date"] == timedelta(days=1)
    expected = (bars["close"] / previous["close"] - 1.0).filter(consecutive)
    panel = recorded_panel()
    found = panel.returns.T[np.isfinite(panel.returns.T)]  # by symbol, then date
    np.testing.assert_array_equal(found, expected.to_numpy())
