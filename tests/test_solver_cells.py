import numpy as np
import polars as pl
import pytest

from sleevegraph.engines.protocol import SOLVED
from sleevegraph.errors import LakeError
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.solution import Solution, solved, unsolved
from sleevegraph.solver_cells import SCHEMA, cash_cells, cells_frame
from sleevegraph.tournament import Outcome, Tournament, enter, expected_cells
from tests.cells import BENCHMARK, MARKET, atoms, entered, sleeve, solved_natively, streams
from tests.windows import window

THREE = ("skfolio", "native", "riskfolio")
"""Not in the order of the registry, and native not first."""
NEED_WINNERS = [profile for profile in RISK_PROFILES if profile not in {"market", "benchmark"}]
CANNOT_RANK = ("hrp", "max_sharpe", "barbell")
"""What cvxportfolio has no recipe for."""


def rows(tournament: Tournament) -> dict[tuple[str, str], dict]:
    frame = cells_frame(tournament, solved_natively(tournament))
    return {(cell["engine"], cell["profile"]): cell for cell in frame.iter_rows(named=True)}


def weights(cell: dict) -> np.ndarray:
    return np.array([asset["weight"] for asset in cell["weights"]])


def planted(values: list[float]) -> Solution:
    return solved(np.array(values), cap=0.5, reason="", rung="hrp", objective=1.0, residual=0.0)


@pytest.mark.parametrize("engines", [("native",), THREE, ("cvxportfolio", "native", "pypfopt")])
def test_rows_are_exactly_engines_times_profiles_in_the_order_of_the_manifest(engines: tuple[str, ...]) -> None:
    made_up = sleeve(*engines, engine_of_record="native")
    tournament = entered(made_up, unavailable={"pypfopt": "not here"})
    frame = cells_frame(tournament, solved_natively(tournament))
    expected = [(engine, profile) for engine in engines for profile in RISK_PROFILES]
    assert expected_cells(made_up) == expected
    assert frame.select("engine", "profile").rows() == expected
    assert frame.schema == SCHEMA
    assert frame["status"].null_count() == 0


def test_a_solved_cell_says_what_its_engine_answered_and_how_long_it_took() -> None:
    returns = window(1, 7)
    cells = rows(entered(sleeve("native", covariance="sample", cluster_cap=0.3), returns))
    for profile in (*SOLVED, "barbell", "equal_weight"):
        cell, alone = cells["native", profile], solve(profile, returns, cap=0.3)
        assert (cell["status"], cell["rung"], cell["reason"]) == (alone.status, alone.rung, alone.reason)
        assert (cell["objective"], cell["residual"]) == (alone.objective, alone.residual)
        assert [asset["symbol"] for asset in cell["weights"]] == [atom.symbol for atom in atoms(7)]
        np.testing.assert_array_equal(weights(cell), alone.weights)
        assert cell["solve_ms"] == (None if profile == "equal_weight" else 1.5)


def test_market_and_benchmark_weigh_their_own_symbols_equally_and_ask_nobody() -> None:
    cells = rows(entered(sleeve(*THREE)))
    for engine in THREE:
        for profile, symbols in (("market", MARKET), ("benchmark", BENCHMARK)):
            cell = cells[engine, profile]
            assert cell["weights"] == [{"symbol": s, "weight": 1 / len(symbols)} for s in sorted(symbols)]
            assert (cell["status"], cell["solved_by"], cell["solve_ms"]) == ("native", "", None)
            assert cell["cap"] == max(0.25, 1 / len(symbols))


@pytest.mark.parametrize("missing", [("skfolio", "hrp"), ("riskfolio", "risk_parity"), ("skfolio", "barbell")])
def test_a_cell_without_an_outcome_is_refused_by_name(missing: tuple[str, str]) -> None:
    tournament = entered(sleeve(*THREE))
    outcomes = solved_natively(tournament)
    del outcomes[missing]
    with pytest.raises(LakeError, match=f"made_up/solver_cells: .* found none of {'/'.join(missing)} and unasked noth"):
        cells_frame(tournament, outcomes)


@pytest.mark.parametrize("unasked", [("native", "market"), ("native", "barbell"), ("pypfopt", "hrp")])
def test_an_outcome_that_nobody_asked_for_is_refused_by_name(unasked: tuple[str, str]) -> None:
    tournament = entered(sleeve(*THREE))
    outcomes = solved_natively(tournament) | {unasked: Outcome(planted([1 / 7] * 7))}
    with pytest.raises(LakeError, match=f"found none of nothing and unasked {'/'.join(unasked)}; a cell may fail"):
        cells_frame(tournament, outcomes)


def test_an_unavailable_engine_has_eight_cells_that_say_so_and_no_task() -> None:
    why = "No module named 'skfolio'; install skfolio"
    tournament = entered(sleeve(*THREE, engine_of_record="native"), unavailable={"skfolio": why})
    assert "skfolio" not in {engine for engine, _ in tournament.tasks}
    cells = rows(tournament)
    for profile in RISK_PROFILES:
        cell = cells["skfolio", profile]
        assert (cell["status"], cell["reason"], cell["solved_by"], cell["weights"]) == ("unavailable", why, "", [])
        assert [cell[key] for key in ("cap", "effective_n", "cap_binding_share", "agreement", "objective")] == [
            None
        ] * 5
        assert cells["riskfolio", profile]["status"] == cells["native", profile]["status"] == "native"


def test_an_engine_without_hrp_supports_neither_it_nor_the_barbell_over_it() -> None:
    tournament = entered(sleeve("native", "cvxportfolio"))
    assert {profile for engine, profile in tournament.tasks if engine == "cvxportfolio"} == {
        "min_variance",
        "risk_parity",
    }
    for (engine, profile), cell in rows(tournament).items():
        unsupported = engine == "cvxportfolio" and profile in CANNOT_RANK
        assert cell["status"] == ("unsupported" if unsupported else "native")
        if unsupported:
            needed = "hrp" if profile == "barbell" else profile
            assert cell["reason"] == f"cvxportfolio has no {needed}; it has min_variance, risk_parity"
            assert cell["weights"] == []


@pytest.mark.parametrize(
    ("engines", "of_record", "unavailable", "by"),
    [
        (THREE, "native", (), "native"),
        (THREE, "skfolio", (), "skfolio"),
        (THREE, "native", ("native",), "skfolio"),
        (THREE, "skfolio", ("skfolio", "native"), "riskfolio"),
        (("cvxportfolio", "native", "skfolio"), "cvxportfolio", (), "native"),
    ],
)
def test_a_barbell_is_solved_once_and_says_by_whom(
    engines: tuple[str, ...], of_record: str, unavailable: tuple[str, ...], by: str
) -> None:
    tournament = entered(sleeve(*engines, engine_of_record=of_record), unavailable=dict.fromkeys(unavailable, "gone"))
    assert [engine for engine, profile in tournament.tasks if profile == "barbell"] == [by]
    shown = [
        cell for (_, profile), cell in rows(tournament).items() if profile == "barbell" and cell["status"] == "native"
    ]
    assert len(shown) == len([e for e in engines if e not in unavailable and e != "cvxportfolio"])
    assert {cell["solved_by"] for cell in shown} == {by}
    assert all(cell["weights"] == shown[0]["weights"] for cell in shown)


def test_solved_by_is_the_engine_itself_for_what_it_solves_and_nobody_for_equal_weight() -> None:
    for (engine, profile), cell in rows(entered(sleeve(*THREE))).items():
        by = {"equal_weight": "", "market": "", "benchmark": "", "barbell": "skfolio"}
        assert cell["solved_by"] == by.get(profile, engine)


def test_a_barbell_that_nobody_can_solve_is_no_task() -> None:
    tournament = entered(sleeve("cvxportfolio", "native"), unavailable={"native": "gone"})
    assert {profile for _, profile in tournament.tasks} == {"min_variance", "risk_parity"}
    cells = rows(tournament)
    assert cells["cvxportfolio", "barbell"]["status"] == "unsupported"
    assert cells["native", "barbell"]["status"] == "unavailable"


def test_no_engine_at_all_leaves_every_cell_unavailable() -> None:
    tournament = entered(sleeve("skfolio", "riskfolio"), unavailable={"skfolio": "gone", "riskfolio": "gone too"})
    assert tournament.tasks == {}
    cells = rows(tournament)
    assert {cell["status"] for cell in cells.values()} == {"unavailable"}
    assert {cells[engine, "barbell"]["reason"] for engine in ("skfolio", "riskfolio")} == {"gone", "gone too"}


def test_a_failed_solve_fails_its_own_cell_and_a_failed_barbell_that_of_every_engine() -> None:
    tournament = entered(sleeve(*THREE))
    gone = Outcome(unsolved(7, "failed", "timeout: no answer"))
    outcomes = solved_natively(tournament) | {("riskfolio", "hrp"): gone, ("skfolio", "barbell"): gone}
    frame = cells_frame(tournament, outcomes).filter(pl.col("status") != "native")
    assert frame.select("engine", "profile", "status", "reason", "solved_by", "solve_ms").rows() == [
        ("skfolio", "barbell", "failed", "timeout: no answer", "skfolio", None),
        ("native", "barbell", "failed", "timeout: no answer", "skfolio", None),
        ("riskfolio", "hrp", "failed", "timeout: no answer", "riskfolio", None),
        ("riskfolio", "barbell", "failed", "timeout: no answer", "skfolio", None),
    ]
    assert frame["weights"].list.len().sum() == 0
    assert frame["agreement"].null_count() == 4


def with_column(values: object) -> np.ndarray:
    returns = window(3, 5)
    returns[:, 2] = values
    return returns


def with_gaps(joint: int) -> np.ndarray:
    """So many days on which all five have a return, each of the others without one or another of them."""
    returns = window(3, 5)
    for day in range(len(returns) - joint):
        returns[day, day % 5] = np.nan
    return returns


DATA_THAT_NOBODY_CAN_SOLVE = {
    "two winners": (window(3, 2), "expected at least 3 assets, found 2"),
    "no winner": (window(3, 2)[:, :0], "expected at least 3 assets, found 0"),
    "no return on any day": (np.full((252, 5), np.nan), "non-finite returns in 5 columns, first 0"),
    "a NaN": (with_column([np.nan, *window(3, 1)[1:, 0]]), "non-finite returns in 1 columns, first 2"),
    "an infinity": (with_column([np.inf, *window(3, 1)[1:, 0]]), "non-finite returns in 1 columns, first 2"),
    "no move": (with_column(0.0), "zero variance in 1 columns, first 2"),
    "a constant": (with_column(1e-4), "zero variance in 1 columns, first 2"),
    "a peg that holds": (with_column(1e-9 * window(4, 1)[:, 0]), "zero variance in 1 columns, first 2"),
}


@pytest.mark.parametrize("case", DATA_THAT_NOBODY_CAN_SOLVE)
def test_data_that_nobody_can_solve_is_rejected_before_any_task_exists(case: str) -> None:
    returns, why = DATA_THAT_NOBODY_CAN_SOLVE[case]
    tournament = entered(sleeve(*THREE), returns)
    assert tournament.tasks == {}
    for (_, profile), cell in rows(tournament).items():
        needs = profile in NEED_WINNERS
        assert cell["status"] == ("rejected" if needs else "native")
        assert cell["reason"].startswith(why if needs else "")
        assert (cell["weights"] == []) == needs
        assert (cell["solved_by"], cell["solve_ms"]) == ("", None)


def test_a_peg_that_moves_at_all_is_solved() -> None:
    tournament = entered(sleeve("native"), window(3, 5, "pegged"))
    assert len(tournament.tasks) == len(SOLVED) + 1


@pytest.mark.parametrize(("joint", "rejected"), [(126, False), (125, True), (0, True)])
def test_winners_need_half_the_train_window_together_and_gaps_are_never_filled(joint: int, rejected: bool) -> None:
    winners, returns = atoms(5), with_gaps(joint)
    synthetic = streams(returns, winners).with_columns(pl.all().exclude("date").fill_nan(None))
    tournament = enter(synthetic, winners, MARKET, BENCHMARK, sleeve("native"), {})
    if rejected:
        assert tournament.tasks == {}
        reasons = {tournament.known[profile].reason for profile in NEED_WINNERS}
        assert reasons == {f"expected at least 126 days on which all 5 winners have a return, found {joint}"}
    else:
        complete = returns[np.isfinite(returns).all(axis=1)]
        assert all(np.array_equal(task.problem.returns, complete) for task in tournament.tasks.values())


def test_no_eligible_symbol_is_rejected_for_market_and_benchmark_alone() -> None:
    winners = atoms(5)
    tournament = enter(streams(window(3, 5), winners), winners, [], [], sleeve("native", "skfolio"), {})
    for (_, profile), cell in rows(tournament).items():
        if profile in NEED_WINNERS:
            assert cell["status"] == "native"
        else:
            assert (cell["status"], cell["reason"]) == ("rejected", f"no symbol to hold for {profile}")


def test_data_that_nobody_can_solve_is_the_reason_even_where_the_engine_is_unavailable() -> None:
    cells = rows(entered(sleeve("native", "skfolio"), window(3, 2), {"skfolio": "gone"}))
    statuses = {profile: cells["skfolio", profile]["status"] for profile in RISK_PROFILES}
    assert statuses == {p: "rejected" if p in NEED_WINNERS else "unavailable" for p in RISK_PROFILES}


def test_a_window_in_cash_has_every_cell_rejected_with_its_reason() -> None:
    frame = cash_cells(sleeve(*THREE), "sparse: 2 winners")
    assert frame.schema == SCHEMA
    assert frame.select("engine", "profile").rows() == expected_cells(sleeve(*THREE))
    assert set(frame.select("status", "reason").rows()) == {("rejected", "sparse: 2 winners")}
    assert frame["weights"].list.len().sum() == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("N", [5, 8])
def test_rows_are_the_same_to_the_bit_in_whatever_order_winners_and_columns_come(seed: int, N: int) -> None:
    winners, made_up = atoms(N), sleeve("native", "skfolio")
    synthetic = streams(window(seed, N), winners)
    straight = enter(synthetic, winners, MARKET, BENCHMARK, made_up, {})
    rng = np.random.default_rng(seed)
    shuffled = enter(
        synthetic.select("date", *rng.permutation(synthetic.columns[1:]).tolist()),
        [winners[i] for i in rng.permutation(N)],
        MARKET[::-1],
        BENCHMARK[::-1],
        made_up,
        {},
    )
    expected = cells_frame(straight, solved_natively(straight))
    assert cells_frame(shuffled, solved_natively(shuffled)).rows() == expected.rows()


def test_agreement_is_the_largest_difference_of_a_weight_from_the_native_engines() -> None:
    tournament = entered(sleeve(*THREE), window(1, 4))
    outcomes = solved_natively(tournament)
    outcomes["native", "hrp"] = Outcome(planted([0.4, 0.3, 0.2, 0.1]))
    outcomes["skfolio", "hrp"] = Outcome(planted([0.1, 0.3, 0.25, 0.35]))
    outcomes["riskfolio", "hrp"] = Outcome(unsolved(4, "failed", "noise"))
    outcomes["native", "max_sharpe"] = Outcome(unsolved(4, "failed", "noise"))
    found = cells_frame(tournament, outcomes).filter(pl.col("profile").is_in(["hrp", "max_sharpe"]))
    assert {
        (engine, profile): agreement for engine, profile, agreement in found[["engine", "profile", "agreement"]].rows()
    } == {
        ("skfolio", "hrp"): pytest.approx(0.3, abs=1e-15),
        ("native", "hrp"): 0.0,
        ("riskfolio", "hrp"): None,
        ("skfolio", "max_sharpe"): None,
        ("native", "max_sharpe"): None,
        ("riskfolio", "max_sharpe"): None,
    }


def test_without_native_nobody_can_be_compared_with_it() -> None:
    assert {cell["agreement"] for cell in rows(entered(sleeve("skfolio", "riskfolio"))).values()} == {None}


@pytest.mark.parametrize("N", [3, 4, 7, 12])
@pytest.mark.parametrize("cap", [0.15, 0.25, 1.0])
def test_effective_n_and_the_share_at_the_cap_follow_from_the_weights(N: int, cap: float) -> None:
    for (_, profile), cell in rows(entered(sleeve("native", cluster_cap=cap), window(N, N))).items():
        held = weights(cell)
        assert cell["cap"] == max(cap, 1 / len(held)), profile
        assert held.max() <= cell["cap"] + 1e-9
        assert cell["effective_n"] == pytest.approx(1 / (held**2).sum(), rel=1e-12)
        assert cell["cap_binding_share"] == (held >= cell["cap"] - 1e-9).mean()


def test_figures_that_are_no_numbers_are_stored_as_none() -> None:
    tournament = entered(sleeve("native"))
    strange = solved(np.full(7, 1 / 7), cap=0.5, reason="", rung="hrp", objective=float("inf"), residual=float("nan"))
    frame = cells_frame(tournament, solved_natively(tournament) | {("native", "hrp"): Outcome(strange)})
    cell = frame.row(by_predicate=pl.col("profile") == "hrp", named=True)
    assert (cell["objective"], cell["residual"]) == (None, None)
