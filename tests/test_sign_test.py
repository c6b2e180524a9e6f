from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sleevegraph.sign_test import Atom, Finding, directional_sign_test, optimised_sign_test
from sleevegraph.synthesis import synthetic_matrix

X, Y = "BINANCE:XUSDT", "BINANCE:YUSDT"
LONG, SHORT = Atom(X, "rating_all", "LONG"), Atom(Y, "rating_all", "SHORT")
ATOMS = [LONG, SHORT]
DATES = [date(2022, 1, 1) + timedelta(days=i) for i in range(5)]
RAW = pl.DataFrame({"date": DATES, X: [0.1, -0.2, None, 0.0, 2.0], Y: [0.1, -0.2, None, 0.0, 2.0]})
SYNTHETIC = pl.DataFrame({"date": DATES, LONG.id: RAW[X], SHORT.id: [-0.1, 0.2, None, 0.0, -1.0]})
CLEAN = pl.DataFrame(
    [
        ("native", "hrp", X, "rating_all", "LONG", 0.25, 0.25),
        ("native", "hrp", Y, "rating_all", "SHORT", 0.75, -0.75),
        ("native", "market", X, "rating_all", "LONG", 0.4, 0.4),
        ("native", "market", "CASH", None, None, 0.6, 0.0),
    ],
    schema=["engine", "profile", "symbol", "logic", "direction", "weight", "net"],
    orient="row",
)


def codes(
    raw: pl.DataFrame = RAW, synthetic: pl.DataFrame = SYNTHETIC, atoms: Sequence[Atom] = tuple(ATOMS)
) -> list[str]:
    findings = directional_sign_test(raw, synthetic, atoms)
    assert all(isinstance(f, Finding) and f.level == "ERROR" and f.message for f in findings)
    return [f.code for f in findings]


def put(frame: pl.DataFrame, column: str, row: int, value: float | None) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value, pl.Float64)).otherwise(pl.col(column)).alias(column)
    )


def test_a_clean_pair_has_no_findings() -> None:
    assert codes() == []


def test_what_synthesis_makes_has_no_findings() -> None:
    assert codes(synthetic=synthetic_matrix(RAW, ATOMS)) == []


def test_null_and_nan_are_both_missing() -> None:
    assert codes(raw=RAW.fill_null(float("nan"))) == []
    assert codes(synthetic=SYNTHETIC.fill_null(float("nan"))) == []


def test_a_symbol_that_never_moved_is_no_mismatch_in_either_direction() -> None:
    zero = RAW.with_columns(pl.lit(0.0).alias(X), pl.lit(0.0).alias(Y))
    assert codes(zero, synthetic_matrix(zero, ATOMS)) == []
    assert codes(zero, SYNTHETIC.with_columns(pl.lit(0.0).alias(LONG.id), pl.lit(0.0).alias(SHORT.id))) == []


PLANTED = {
    "long is not raw": (["LONG_MISMATCH"], RAW, put(SYNTHETIC, LONG.id, 1, np.nextafter(-0.2, 0.0)), ATOMS),
    "long capped like a short": (["LONG_MISMATCH"], RAW, put(SYNTHETIC, LONG.id, 4, 1.0), ATOMS),
    "long inverted": (["LONG_MISMATCH"], RAW, SYNTHETIC.with_columns(-pl.col(LONG.id)), ATOMS),
    "long misses a day": (["LONG_MISMATCH"], RAW, put(SYNTHETIC, LONG.id, 0, None), ATOMS),
    "long invents a day": (["LONG_MISMATCH"], RAW, put(SYNTHETIC, LONG.id, 2, 0.0), ATOMS),
    "short not inverted": (["SHORT_NOT_INVERTED"], RAW, SYNTHETIC.with_columns(RAW[Y].alias(SHORT.id)), ATOMS),
    "short not capped": (["SHORT_NOT_INVERTED"], RAW, put(SYNTHETIC, SHORT.id, 4, -2.0), ATOMS),
    "short off by one bit": (
        ["SHORT_NOT_INVERTED"],
        RAW,
        put(SYNTHETIC, SHORT.id, 0, np.nextafter(-0.1, -1.0)),
        ATOMS,
    ),
    "short fills a hole with zero": (["SHORT_NOT_INVERTED"], RAW, put(SYNTHETIC, SHORT.id, 2, 0.0), ATOMS),
    "no atoms": (["NO_ATOMS"], RAW, SYNTHETIC, []),
    "an atom without its stream": (["MISSING_SYNTHETIC"], RAW, SYNTHETIC.drop(SHORT.id), ATOMS),
    "an atom listed twice": (["MISSING_SYNTHETIC"], RAW, SYNTHETIC, [*ATOMS, SHORT]),
    "an atom without its symbol": (["MISSING_PHYSICAL_COL"], RAW.drop(Y), SYNTHETIC, ATOMS),
    "a stream without an atom": (["MISSING_PHYSICAL_COL"], RAW, SYNTHETIC, [LONG]),
    "a stream of nothing": (["EMPTY_SYNTHETIC"], RAW, SYNTHETIC.with_columns(pl.lit(None).alias(LONG.id)), ATOMS),
    "a symbol of nothing": (["EMPTY_RAW"], RAW.with_columns(pl.lit(float("nan")).alias(X)), SYNTHETIC, ATOMS),
    "no synthetic rows": (["EMPTY_SYNTHETIC"] * 2, RAW, SYNTHETIC.clear(), ATOMS),
    "no raw rows": (["EMPTY_RAW"] * 2, RAW.clear(), SYNTHETIC, ATOMS),
    "a synthetic row less": (["MISSING_SYNTHETIC"], RAW, SYNTHETIC.head(4), ATOMS),
    "a raw row less": (["MISSING_RAW"], RAW.tail(4), SYNTHETIC, ATOMS),
    "rows in another order": (["MISSING_SYNTHETIC"], RAW, SYNTHETIC.reverse(), ATOMS),
    "dates a day late": (
        ["MISSING_SYNTHETIC"],
        RAW,
        SYNTHETIC.with_columns(pl.col("date") + timedelta(days=1)),
        ATOMS,
    ),
    "no raw dates": (["MISSING_RAW"], RAW.drop("date"), SYNTHETIC, ATOMS),
    "no synthetic dates": (["MISSING_SYNTHETIC"], RAW, SYNTHETIC.drop("date"), ATOMS),
    "no raw symbol": (
        ["MISSING_RAW", "MISSING_PHYSICAL_COL"],
        RAW.select("date"),
        SYNTHETIC.select("date", LONG.id),
        [LONG],
    ),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found_and_nothing_else(defect: str) -> None:
    expected, raw, synthetic, atoms = PLANTED[defect]
    assert codes(raw, synthetic, atoms) == expected


def test_a_finding_names_symbol_first_bad_date_expected_and_found() -> None:
    planted = put(put(SYNTHETIC, SHORT.id, 3, 0.5), SHORT.id, 4, -2.0)
    (finding,) = directional_sign_test(RAW, planted, ATOMS)
    assert finding.symbol == Y
    assert finding.message == (
        "BINANCE:YUSDT_rating_all_SHORT: expected -0.0 on 2022-01-04 where BINANCE:YUSDT returned 0.0, "
        "found 0.5; 2 of 5 rows differ"
    )


def test_every_bad_atom_is_reported() -> None:
    atoms = [Atom(f"S{i}", "some", "SHORT") for i in range(7)]
    raw = pl.DataFrame({"date": DATES, **{a.symbol: [0.1 * i] * 5 for i, a in enumerate(atoms, 1)}})
    wrong = pl.DataFrame({"date": DATES, **{a.id: raw[a.symbol] for a in atoms}})
    assert [f.symbol for f in directional_sign_test(raw, wrong, atoms)] == [a.symbol for a in atoms]


moves = arrays(np.float64, (5, 2), elements=st.one_of(st.floats(-0.9, 6.0), st.sampled_from([np.nan, 0.0, 1.0])))


@settings(max_examples=60)
@given(moves, st.integers(0, 4), st.sampled_from(ATOMS))
def test_any_single_changed_value_is_found(values: np.ndarray, day: int, atom: Atom) -> None:
    values[0] = 0.3  # no stream is empty
    raw = pl.DataFrame({"date": DATES, X: values[:, 0], Y: values[:, 1]}).fill_nan(None)
    synthetic = synthetic_matrix(raw, ATOMS)
    assert directional_sign_test(raw, synthetic, ATOMS) == []
    was = synthetic[atom.id][day]
    planted = put(synthetic, atom.id, day, 0.1 if was is None else float(np.nextafter(was, 9.0)))
    assert [f.symbol for f in directional_sign_test(raw, planted, ATOMS)] == [atom.symbol]


def weigh(row: int, **changes: object) -> list[str]:
    rows = CLEAN.to_dicts()
    rows[row] |= changes
    return [f.code for f in optimised_sign_test(pl.DataFrame(rows, schema=CLEAN.schema), ATOMS)]


def test_clean_weights_have_no_findings() -> None:
    assert optimised_sign_test(CLEAN, ATOMS) == []


def test_a_sleeve_in_cash_has_no_findings() -> None:
    assert optimised_sign_test(CLEAN.tail(1).with_columns(weight=pl.lit(1.0)), []) == []


@pytest.mark.parametrize(
    ("row", "changes", "expected"),
    [
        (0, {"net": -0.25}, ["LONG_MISMATCH"]),
        (1, {"net": 0.75}, ["SHORT_NOT_INVERTED"]),
        (1, {"net": np.nextafter(-0.75, 0.0)}, ["SHORT_NOT_INVERTED"]),
        (1, {"net": None}, ["SHORT_NOT_INVERTED"]),
        (0, {"weight": 0.25 + 2e-9, "net": 0.25 + 2e-9}, ["OPTIMIZER_NOT_NORMALIZED"]),
        (0, {"weight": -0.25, "net": -0.25}, ["LONG_MISMATCH", "OPTIMIZER_NOT_NORMALIZED"]),
        (1, {"weight": -0.75, "net": 0.75}, ["SHORT_NOT_INVERTED", "OPTIMIZER_NOT_NORMALIZED"]),
        (0, {"weight": float("nan"), "net": float("nan")}, ["LONG_MISMATCH", "OPTIMIZER_NOT_NORMALIZED"]),
        (0, {"weight": float("inf"), "net": float("inf")}, ["LONG_MISMATCH", "OPTIMIZER_NOT_NORMALIZED"]),
        (0, {"weight": None, "net": None}, ["LONG_MISMATCH", "OPTIMIZER_NOT_NORMALIZED"]),
        (3, {"net": 0.6}, ["OPTIMIZER_NOT_NORMALIZED"]),
        (1, {"direction": "LONG", "net": 0.75}, ["MISSING_SYNTHETIC"]),
        (1, {"direction": None}, ["MISSING_SYNTHETIC"]),
        (0, {"symbol": "BINANCE:ZUSDT"}, ["MISSING_SYNTHETIC"]),
    ],
)
def test_a_planted_weight_is_found(row: int, changes: dict[str, object], expected: list[str]) -> None:
    assert weigh(row, **changes) == expected


def test_a_sum_within_the_tolerance_is_normalised() -> None:
    assert weigh(0, weight=0.25 + 5e-10, net=0.25 + 5e-10) == []


def test_no_weights_at_all_is_an_error() -> None:
    assert [f.code for f in optimised_sign_test(CLEAN.clear(), ATOMS)] == ["NO_ATOMS"]


def test_a_column_of_text_is_a_finding_and_no_exception() -> None:
    raw = pl.DataFrame({"date": [date(2022, 1, 1)], "A": [0.1]})
    atom = Atom("A", "rating_all", "LONG")
    assert directional_sign_test(raw, raw.select("date", pl.lit("much").alias(atom.id)), [atom])
