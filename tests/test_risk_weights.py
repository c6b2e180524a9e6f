from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest

from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_weights import SCHEMA, Book, books, targets
from sleevegraph.risk_weights import risk_weights as clustered_weights
from sleevegraph.solver_cells import cash_cells, cells_frame
from sleevegraph.tournament import Cell
from tests.cells import entered, every_profile, row, sleeve, solved_natively, stored

HELD = {"A": 0.5, "B": 0.3, "C": 0.2}


def risk_weights(
    cells: pl.DataFrame, made_up: SleeveProfile, previous: Mapping[Cell, Book] | None = None
) -> pl.DataFrame:
    """Every asset in a cluster of its own, which no cluster limit binds."""
    symbols = sorted(set(cells["weights"].explode().struct.field("symbol").drop_nulls()))
    return clustered_weights(cells, made_up, {symbol: i for i, symbol in enumerate(symbols)}, previous)


def only(frame: pl.DataFrame, engine: str = "native", profile: str = "hrp") -> list[dict]:
    return frame.filter(pl.col("engine") == engine, pl.col("profile") == profile).rows(named=True)


@pytest.mark.parametrize("status", ["native", "fallback"])
@pytest.mark.parametrize(("direction", "sign"), [("LONG", 1.0), ("SHORT", -1.0)])
def test_net_is_weight_times_the_sign_of_the_direction(status: str, direction: str, sign: float) -> None:
    found = only(risk_weights(stored([row("native", "hrp", status, HELD)]), sleeve("native", direction=direction)))
    assert {asset["symbol"]: asset["weight"] for asset in found} == HELD
    for asset in found:
        assert asset["net"] == sign * asset["weight"]
        assert (asset["logic"], asset["direction"]) == ("rating_all", direction)
        assert (asset["status"], asset["cap"], asset["turnover"]) == (status, 0.5, None)


def test_a_cell_that_nobody_can_solve_is_one_row_of_cash() -> None:
    (cash,) = risk_weights(stored([row("native", "hrp", "rejected")]), sleeve("native")).rows(named=True)
    assert (cash["symbol"], cash["weight"], cash["net"]) == ("CASH", 1.0, 0.0)
    assert (cash["status"], cash["reason"], cash["direction"]) == ("rejected", "why rejected", None)


@pytest.mark.parametrize("status", ["failed", "unavailable", "unsupported"])
def test_a_cell_without_an_answer_decides_nothing_and_is_one_row_without_a_symbol(status: str) -> None:
    (nothing,) = risk_weights(stored([row("native", "hrp", status)]), sleeve("native")).rows(named=True)
    assert (nothing["symbol"], nothing["weight"], nothing["net"]) == (None, None, None)
    assert (nothing["status"], nothing["reason"]) == (status, f"why {status}")


def test_every_cell_of_a_tournament_is_there_with_the_weights_that_were_solved() -> None:
    made_up = sleeve("native", "skfolio", direction="SHORT")
    tournament = entered(made_up)
    cells = cells_frame(tournament, solved_natively(tournament))
    found = risk_weights(cells, made_up)
    assert found.schema == SCHEMA
    expected = cells.explode("weights").unnest("weights").select("engine", "profile", "symbol", "weight")
    assert found.select(expected.columns).rows() == expected.rows()
    cash = risk_weights(cash_cells(made_up, "sparse"), made_up)
    assert cash.select("symbol", "net").rows() == [("CASH", 0.0)] * 16


def test_targets_are_those_of_the_engine_of_record() -> None:
    cells = stored(
        [row("native", "hrp", weights={"A": 0.9, "B": 0.1}), row("skfolio", "hrp", weights={"A": 0.2, "C": 0.8})]
    )
    engines = ("native", "skfolio")
    for of_record, expected in (("native", {"A": -0.9, "B": -0.1}), ("skfolio", {"A": -0.2, "C": -0.8})):
        made_up = sleeve(*engines, direction="SHORT", engine_of_record=of_record)
        assert targets(risk_weights(cells, made_up)) == {"hrp": expected}


def test_a_rejected_cell_sells_and_a_failed_one_decides_nothing() -> None:
    statuses = ("rejected", "failed", "unavailable", "unsupported")
    cells = stored([row("native", profile, status) for profile, status in zip(RISK_PROFILES, statuses, strict=False)])
    assert targets(risk_weights(cells, sleeve("native"))) == {RISK_PROFILES[0]: {}}


def test_what_was_of_record_when_it_was_decided_stays_so() -> None:
    cells = stored([row("native", "hrp", weights={"A": 1.0}), row("skfolio", "hrp", weights={"B": 1.0})])
    decided = risk_weights(cells, sleeve("native", "skfolio"))
    assert decided.filter("of_record")["engine"].unique().to_list() == ["native"]
    assert targets(decided) == {"hrp": {"A": 1.0}}


def test_a_weight_of_zero_is_no_target() -> None:
    cells = stored([row("native", "hrp", weights={"A": 1.0, "B": 0.0})])
    assert targets(risk_weights(cells, sleeve("native")))["hrp"] == {"A": 1.0}


def test_books_are_what_cells_hold_beside_cash() -> None:
    cells = stored([row("native", "hrp", weights=HELD), row("native", "market", "rejected"), row("x", "hrp", "failed")])
    assert books(risk_weights(cells, sleeve("native", direction="SHORT"))) == {("native", "hrp"): HELD}


def test_a_turnover_limit_holds_each_cell_back_from_its_own_previous_weights() -> None:
    made_up = sleeve("native", "skfolio", turnover_limit=0.4, direction="SHORT")
    cells = stored([row(engine, "hrp", weights={"A": 0.2, "B": 0.8}, cap=1.0) for engine in ("native", "skfolio")])
    previous = {("native", "hrp"): {"A": 0.6, "B": 0.4}, ("skfolio", "hrp"): {"A": 0.3, "B": 0.7}}
    found = risk_weights(cells, made_up, previous)
    native, other = only(found, "native"), only(found, "skfolio")
    np.testing.assert_allclose([asset["weight"] for asset in native], [0.4, 0.6], atol=1e-12)
    np.testing.assert_allclose([asset["net"] for asset in native], [-0.4, -0.6], atol=1e-12)
    assert [asset["turnover"] for asset in native] == pytest.approx([0.4, 0.4], abs=1e-12)
    assert [asset["weight"] for asset in other] == [0.2, 0.8]
    assert [asset["turnover"] for asset in other] == pytest.approx([0.2, 0.2], abs=1e-12)


def test_an_asset_that_left_counts_in_full_even_where_the_limit_is_exceeded() -> None:
    made_up = sleeve("native", turnover_limit=0.2)
    cells = stored([row("native", "hrp", weights={"A": 0.2, "B": 0.8}, cap=1.0)])
    found = only(risk_weights(cells, made_up, {("native", "hrp"): {"A": 0.3, "B": 0.3, "GONE": 0.4}}))
    assert {asset["symbol"] for asset in found} == {"A", "B"}
    assert [asset["turnover"] for asset in found] == pytest.approx([0.8, 0.8], abs=1e-9)
    np.testing.assert_allclose([asset["weight"] for asset in found], [0.5, 0.5], atol=1e-9)


def test_a_cell_without_previous_weights_goes_all_the_way() -> None:
    cells = stored([row("native", "hrp", weights=HELD)])
    limited, unlimited = sleeve("native", turnover_limit=0.01), sleeve("native")
    for previous in (None, {}, {("skfolio", "hrp"): {"A": 1.0}}):
        found = only(risk_weights(cells, limited, previous))
        assert {asset["symbol"]: asset["weight"] for asset in found} == HELD
        assert {asset["turnover"] for asset in found} == {None}
    ignored = only(risk_weights(cells, unlimited, {("native", "hrp"): {"A": 1.0}}))
    assert {asset["symbol"]: asset["weight"] for asset in ignored} == HELD


def test_no_cell_is_lost_whatever_its_status() -> None:
    statuses = ("native", "fallback", "rejected", "failed", "unavailable", "unsupported")
    for status in statuses:
        held = HELD if status in {"native", "fallback"} else None
        cells = stored(every_profile("native", status, weights=held))
        found = risk_weights(cells, sleeve("native"))
        assert set(found["profile"]) == set(RISK_PROFILES)
        assert set(found["status"]) == {status}
