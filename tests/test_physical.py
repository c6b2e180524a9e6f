from datetime import date
from math import fsum

import numpy as np
import polars as pl
import pytest

from sleevegraph.meta_book import FLAT_SCHEMA
from sleevegraph.physical import PhysicalBook, by_sleeve, drifted, physical_book
from sleevegraph.track_record import CASH, ReturnsWindow

FIRST = date(2022, 1, 1)
ROWS = [
    ("hrp", "A", 0.30, 0.30, False, [("m/x", 0.20), ("m/n/x", 0.10)]),
    ("hrp", "B", -0.40, 0.40, False, [("m/y", -0.40)]),
    ("hrp", "C", 0.0, 0.20, False, [("m/x", 0.10), ("m/y", -0.10)]),
    ("hrp", "D", 4e-7, 4e-7, True, [("m/x", 4e-7)]),
    ("hrp", "E", -3e-7, 3e-7, True, [("m/y", -3e-7)]),
    ("hrp", CASH, 0.1, 0.1, False, [("m/x", 0.1)]),
    ("market", "A", 1.0, 1.0, False, [("m/x", 1.0)]),
]


def flat() -> pl.DataFrame:
    rows = []
    for *names, net, gross, dust, paths in ROWS:
        parts = [{"path": path, "contribution": contribution} for path, contribution in paths]
        rows.append((*names, net, gross, gross - abs(net), dust, parts))
    return pl.DataFrame(rows, schema=FLAT_SCHEMA, orient="row")


def window(**returns: list[float]) -> ReturnsWindow:
    matrix = np.array(list(returns.values())).T
    return ReturnsWindow(np.datetime64(FIRST, "D") + np.arange(len(matrix)), tuple(returns), matrix)


def nets(book: PhysicalBook) -> dict[str, float]:
    return dict(book.positions.select("symbol", "net").iter_rows())


def test_cash_and_dust_are_beside_the_positions_not_among_them() -> None:
    book = physical_book(flat(), "hrp")
    assert book.positions["symbol"].to_list() == ["B", "A", "C"]
    assert book.cash == pytest.approx(0.1)
    assert book.dust == pytest.approx(7e-7)


def test_the_sleeve_of_a_contribution_is_where_its_path_ends() -> None:
    assert by_sleeve(physical_book(flat(), "hrp").positions)["A"] == {"x": pytest.approx(0.3)}


def test_positions_of_one_size_are_in_order_of_their_symbols() -> None:
    frame = flat().with_columns(net=pl.lit(0.1), gross=pl.lit(0.1), dust=pl.lit(value=False))
    assert physical_book(frame, "hrp").positions["symbol"].to_list() == ["A", "B", "C", "D", "E"]


def test_weights_drift_with_prices_as_shares_of_what_wealth_has_become() -> None:
    book = drifted(physical_book(flat(), "hrp"), window(A=[0.1, 0.0], B=[0.2, -0.1], C=[-0.5, 0.0]))
    wealth = 1.0 + 0.30 * 0.1 - 0.40 * (1.2 * 0.9 - 1.0)
    expected = {"B": -0.40 * 1.2 * 0.9 / wealth, "A": 0.30 * 1.1 / wealth, "C": 0.0}
    assert nets(book) == pytest.approx(expected, abs=1e-15)
    gross = dict(book.positions.select("symbol", "gross").iter_rows())
    assert gross["C"] == pytest.approx(0.20 * 0.5 / wealth)
    assert book.cash == pytest.approx(1.0 - fsum(gross.values()))


def test_contributions_drift_with_their_symbol() -> None:
    book = drifted(physical_book(flat(), "hrp"), window(A=[0.1], B=[0.2], C=[0.5]))
    for _, net, gross, contributions in book.positions.iter_rows():
        shares = [entry["contribution"] for entry in contributions]
        assert fsum(shares) == pytest.approx(net, abs=1e-15)
        assert fsum(map(abs, shares)) == pytest.approx(gross, abs=1e-15)


def test_holding_costs_nothing_when_prices_stand_still() -> None:
    book = physical_book(flat(), "hrp")
    assert nets(drifted(book, window(A=[0.0] * 30, B=[0.0] * 30, C=[0.0] * 30))) == pytest.approx(nets(book), abs=1e-15)


def test_what_ends_in_the_window_is_cash_from_then_on() -> None:
    nan = float("nan")
    book = drifted(physical_book(flat(), "hrp"), window(A=[0.1, nan, 5.0], B=[0.0, 0.0, 0.0], C=[nan, 0.0, 0.0]))
    assert nets(book) == pytest.approx({"B": -0.40 / 1.03})
    assert book.cash == pytest.approx(1.0 - 0.40 / 1.03)


def test_a_short_that_lost_its_allocation_is_closed() -> None:
    book = drifted(physical_book(flat(), "hrp"), window(A=[0.0, 0.0], B=[1.5, -0.9], C=[0.0, 0.0]))
    assert "B" not in nets(book)
    assert nets(book)["A"] == pytest.approx(0.30 / 0.60)


def test_a_book_in_cash_stays_in_cash() -> None:
    cash = physical_book(flat().filter(pl.col("symbol") == CASH).with_columns(net=pl.lit(1.0)), "hrp")
    book = drifted(cash, window(A=[0.1]))
    assert book.positions.is_empty()
    assert book.cash == 1.0


def test_a_short_book_above_its_gross_is_drifted_as_it_stands() -> None:
    rows = flat().filter(symbol="B", profile="hrp").with_columns(net=pl.lit(-1.2), gross=pl.lit(1.2))
    book = drifted(physical_book(rows, "hrp"), window(B=[0.1]))
    assert nets(book) == pytest.approx({"B": -1.32 / 0.88})
    assert book.cash == 0.0
