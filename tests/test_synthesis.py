from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sleevegraph.atoms import Atom
from sleevegraph.errors import BarsError
from sleevegraph.panel import build_panel
from sleevegraph.synthesis import returns_matrix, synthesise, synthetic_matrix
from tests.markets import bars_of, walk

HOLE = float("nan")
END = date(2022, 12, 31)
returns = arrays(
    np.float64,
    array_shapes(min_dims=1, max_dims=2, max_side=8),
    elements=st.one_of(st.floats(-1.0, 6.0), st.sampled_from([HOLE, 0.0, 1.0, -1.0])),
)


@given(returns)
def test_a_long_stream_is_the_raw_stream(raw: np.ndarray) -> None:
    np.testing.assert_array_equal(synthesise(raw, "LONG"), raw)


@given(returns)
def test_a_short_stream_is_inverted_value_by_value_and_never_loses_more_than_everything(raw: np.ndarray) -> None:
    expected = [HOLE if np.isnan(r) else -1.0 if r > 1.0 else -r for r in raw.ravel()]
    np.testing.assert_array_equal(synthesise(raw, "SHORT").ravel(), expected)


def test_a_synthetic_stream_is_not_a_view_of_the_raw_one() -> None:
    raw = np.array([0.1, 0.2])
    synthesise(raw, "LONG")[0] = 9.0
    assert raw[0] == 0.1


def test_the_returns_matrix_has_the_last_days_and_null_for_missing() -> None:
    closes = {"AAA": walk(40, 1), "BBB": np.append(walk(38, 2), [HOLE, 50.0])}
    panel = build_panel(bars_of(closes, END))
    raw = returns_matrix(panel, ["BINANCE:BBBUSDT", "BINANCE:AAAUSDT"], 10)
    assert raw.columns == ["date", "BINANCE:BBBUSDT", "BINANCE:AAAUSDT"]
    assert raw.schema["date"] == pl.Date
    assert raw["date"].to_list()[-1] == END
    assert raw.height == 10
    assert raw["BINANCE:BBBUSDT"].is_null().to_list() == [False] * 8 + [True] * 2
    assert not raw["BINANCE:BBBUSDT"].is_nan().any()
    assert raw["BINANCE:AAAUSDT"].to_list() == panel.returns[-10:, 0].tolist()


def test_the_synthetic_matrix_has_one_column_per_atom_and_the_same_holes() -> None:
    raw = pl.DataFrame({"date": [END] * 4, "X": [0.5, None, 3.0, 0.0], "Y": [-0.1, 0.2, HOLE, 0.4]})
    atoms = [Atom("X", "some", "SHORT"), Atom("Y", "some", "SHORT"), Atom("X", "some", "LONG")]
    synthetic = synthetic_matrix(raw, atoms)
    assert synthetic.columns == ["date", "X_some_SHORT", "Y_some_SHORT", "X_some_LONG"]
    assert synthetic["X_some_SHORT"].to_list() == [-0.5, None, -1.0, 0.0]
    assert synthetic["Y_some_SHORT"].to_list() == [0.1, -0.2, None, -0.4]
    assert synthetic["X_some_LONG"].to_list() == raw["X"].to_list()


def test_an_atom_without_returns_is_an_error() -> None:
    with pytest.raises(BarsError, match="'Z'"):
        synthetic_matrix(pl.DataFrame({"date": [END], "X": [0.1]}), [Atom("Z", "some", "LONG")])


def test_no_atoms_leave_the_dates() -> None:
    assert synthetic_matrix(pl.DataFrame({"date": [END], "X": [0.1]}), []).columns == ["date"]
