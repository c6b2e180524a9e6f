"""A solver that lies, stops or breaks is found out, each defect by its own reason, and never counts as native."""

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from sleevegraph.engines.native import Native
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.residuals import residual_of
from sleevegraph.risk_profiles import ladder
from sleevegraph.risk_profiles.ladder import climb
from sleevegraph.risk_profiles.solver import pose, solve_posed
from sleevegraph.risk_profiles.verification import verified
from tests.windows import assert_sound, window

N, CAP = 6, 0.4
CONVEX = ("min_variance", "max_sharpe")
SOLVED_BY_ITERATION = (*CONVEX, "risk_parity")
ALL = ("hrp", *SOLVED_BY_ITERATION)

Recipe = Callable[[Problem], object]


@dataclass(frozen=True)
class Planted(Native):
    """Native, but for the recipes planted; remembers what it was asked."""

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        self.asked.append((profile, tighter))
        if profile in self.recipes:
            return self.recipes[profile](problem)
        return super().attempt(profile, problem, tighter=tighter)


def problem(shift: float = 0.001) -> Problem:
    posed = pose(window(8, N) + shift, cap=CAP, covariance="sample")
    assert isinstance(posed, Problem)
    return posed


def refuse(_: Problem) -> Attempt:
    return Attempt(reason="planted")


def crash(_: Problem) -> Attempt:
    raise ZeroDivisionError("of\nmine")


def giving(weights: object) -> Recipe:
    return lambda _: Attempt(weights)


EQUAL = np.full(N, 1 / N)
NOISE = np.array([0.1, 0.3, 0.05, 0.25, 0.2, 0.1])
"""Weights of positive mean within the bounds, from nowhere."""
DEFECTS = {
    "NaN": (giving(np.append(EQUAL[1:], np.nan)), ALL, "1 of 6 weights are not finite"),
    "infinite": (giving(np.append(EQUAL[1:], np.inf)), ALL, "1 of 6 weights are not finite"),
    "negative": (giving([-2e-8, 0.2 + 2e-8, 0.2, 0.2, 0.2, 0.2]), ALL, "weight -2e-08 is negative"),
    "un-normalised": (giving(EQUAL * 0.999), ALL, "weights add to 0.999, expected 1"),
    "nothing at all": (giving(np.zeros(N)), ALL, "weights add to 0, expected 1"),
    "above the cap": (giving([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]), CONVEX, "weight 0.5 is above the cap 0.4"),
    "one too few": (giving(np.full(5, 0.2)), ALL, "expected 6 weights, found shape (5,)"),
    "a column": (giving(EQUAL[:, None]), ALL, "expected 6 weights, found shape (6, 1)"),
    "words": (giving(["a"] * N), ALL, "weights are not numbers: could not convert string to float"),
    "silence": (lambda _: Attempt(), ALL, "no weights and no reason"),
    "no attempt": (lambda _: None, ALL, "expected an Attempt, found NoneType"),
    "a reason": (refuse, ALL, "planted"),
    "an exception": (crash, ALL, "ZeroDivisionError: of mine"),
    "noise": (giving(NOISE), SOLVED_BY_ITERATION, "residual "),
    "another profile's answer": (giving(EQUAL), SOLVED_BY_ITERATION, "residual "),
    "nearly right": (lambda posed: Attempt(moved(posed, 1e-6)), ("min_variance",), "residual "),
}


def moved(posed: Problem, by: float) -> np.ndarray:
    weights = Native().attempt("min_variance", posed).weights.copy()
    weights[np.argsort(weights)[-3:-1]] += [by, -by]
    return weights


@pytest.mark.parametrize(
    ("profile", "defect"), [(profile, defect) for defect, (_, profiles, _) in DEFECTS.items() for profile in profiles]
)
def test_each_planted_defect_is_caught_for_its_own_reason_and_something_sound_stands_in(
    profile: str, defect: str
) -> None:
    recipe, _, reason = DEFECTS[defect]
    solution = solve_posed(profile, problem(), Planted(recipes={profile: recipe}))
    parts = [part.split(": ", 1) for part in solution.reason.split("; ")]
    assert [rung for rung, *_ in parts[:-1]] == [profile, "tighter", "ridge"]
    assert all(why.startswith(reason) for _, why in parts[:-1]), solution.reason
    assert (solution.status, solution.rung) == ("fallback", "hrp" if profile == "min_variance" else "min_variance")
    assert parts[-1] == [f"{solution.rung} stands in"]
    assert_sound(solution, N, CAP)


@pytest.mark.parametrize("profile", ALL)
def test_without_a_defect_the_same_engine_is_native(profile: str) -> None:
    solution = solve_posed(profile, problem(), Planted())
    assert (solution.status, solution.rung, solution.reason) == ("native", profile, "")


def most_in(asset: int) -> np.ndarray:
    return np.where(np.arange(N) == asset, CAP, (1 - CAP) / (N - 1))


@pytest.mark.parametrize("profile", CONVEX)
def test_weights_worse_than_equal_ones_are_caught_even_where_any_residual_is_allowed(profile: str) -> None:
    posed = problem(0.01)
    badness = posed.variance if profile == "min_variance" else lambda weights: -posed.sharpe(weights)
    worst = max((most_in(asset) for asset in range(N)), key=badness)
    solution = climb(profile, posed, Planted(max_residual=np.inf, recipes={profile: giving(worst)}))
    assert solution.status == "fallback"
    assert solution.reason.startswith(f"{profile}: objective worse than that of equal weight; tighter: ")
    assert climb(profile, posed, Planted(max_residual=np.inf, recipes={profile: giving(EQUAL)})).status == "native"


def test_a_ratio_of_negative_mean_is_noise() -> None:
    losing = Attempt(most_in(problem().mean.argmin()))
    assert problem().largest_mean > 0
    weights, _, reason = verified("max_sharpe", losing, problem(), Planted(max_residual=np.inf))
    assert weights is None
    assert reason.startswith("weights without a positive mean (-0.00073)")


def test_an_engine_is_not_even_asked_for_the_ratio_that_does_not_exist() -> None:
    engine = Planted(recipes={"max_sharpe": giving(NOISE)})
    posed = problem(-0.01)
    assert posed.largest_mean < 0
    solution = solve_posed("max_sharpe", posed, engine)
    assert engine.asked == [("min_variance", False)]
    assert (solution.status, solution.rung) == ("fallback", "min_variance")
    assert solution.reason.startswith("max_sharpe: infeasible: no portfolio within the bounds has a positive mean")
    assert solution.reason.endswith("; min_variance stands in")


def test_an_infeasible_attempt_is_neither_tightened_nor_ridged() -> None:
    engine = Planted(recipes={"max_sharpe": lambda _: Attempt(reason="planted", infeasible=True)})
    assert climb("max_sharpe", problem(), engine).reason == "max_sharpe: planted; min_variance stands in"
    assert engine.asked == [("max_sharpe", False), ("min_variance", False)]


def test_a_problem_solved_only_more_tightly_says_so() -> None:
    class Hesitant(Native):
        def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
            return super().attempt(profile, problem) if tighter else Attempt(reason="planted")

    for profile in (*ALL, "barbell"):
        solution, native = climb(profile, problem(), Hesitant()), climb(profile, problem(), Native())
        assert (solution.status, solution.rung) == ("fallback", "tighter")
        assert solution.reason == f"{profile}: planted; tighter stands in"
        np.testing.assert_array_equal(solution.weights, native.weights)


@pytest.mark.parametrize("profile", CONVEX)
def test_native_tightened_takes_more_steps_where_ten_are_too_few(profile: str) -> None:
    # Eight observations of 53 assets, one of them pegged: singular, and volatilities a factor of 1e4 apart.
    posed = pose(window(51, 53, "pegged", T=8) + 0.002, cap=1.0, covariance="sample")
    assert isinstance(posed, Problem)
    first, tighter = (Native().attempt(profile, posed, tighter=more).weights for more in (False, True))
    assert residual_of(profile, first, posed) > 1e-8 >= residual_of(profile, tighter, posed)
    solution = solve_posed(profile, posed, Native())
    assert (solution.status, solution.rung) == ("fallback", "tighter")
    assert solution.reason.startswith(f"{profile}: residual ")
    assert solution.residual <= 1e-8


def test_a_problem_solved_only_with_a_ridge_says_so() -> None:
    posed = problem()

    def needs_ridge(given: Problem) -> Attempt:
        return refuse(given) if given is posed else Native().attempt("risk_parity", given)

    solution = climb("risk_parity", posed, Planted(recipes={"risk_parity": needs_ridge}))
    assert (solution.status, solution.rung) == ("fallback", "ridge")
    assert solution.reason == "risk_parity: planted; tighter: planted; ridge stands in"
    np.testing.assert_allclose(solution.weights, climb("risk_parity", posed, Native()).weights, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "failing", "rung"),
    [
        ("risk_parity", ["risk_parity"], "min_variance"),
        ("risk_parity", ["risk_parity", "min_variance"], "hrp"),
        ("risk_parity", ["risk_parity", "min_variance", "hrp"], "inverse_volatility"),
        ("min_variance", ["min_variance"], "hrp"),
        ("hrp", ["hrp", "min_variance"], "inverse_volatility"),
    ],
)
def test_rungs_are_tried_in_order_and_each_failure_is_recorded(asked: str, failing: list[str], rung: str) -> None:
    engine = Planted(recipes=dict.fromkeys(failing, refuse))
    solution = climb(asked, problem(), engine)
    assert (solution.status, solution.rung) == ("fallback", rung)
    assert [part.split(":")[0] for part in solution.reason.split("; ")] == [
        *(asked, "tighter", "ridge", *failing[1:]),
        f"{rung} stands in",
    ]
    assert engine.asked[:3] == [(asked, False), (asked, True), (asked, False)]
    assert_sound(solution, N, CAP)


@pytest.mark.parametrize(
    ("has", "asked", "rungs"),
    [
        ({"hrp"}, "hrp", ["hrp", "tighter", "ridge", "inverse_volatility stands in"]),
        ({"hrp"}, "barbell", ["barbell", "tighter", "ridge", "hrp", "inverse_volatility stands in"]),
        (
            {"max_sharpe", "hrp"},
            "max_sharpe",
            ["max_sharpe", "tighter", "ridge", "hrp", "inverse_volatility stands in"],
        ),
        ({"risk_parity"}, "risk_parity", ["risk_parity", "tighter", "ridge", "inverse_volatility stands in"]),
    ],
)
def test_an_engine_climbs_only_the_rungs_that_it_has(has: set[str], asked: str, rungs: list[str]) -> None:
    engine = Planted(profiles=frozenset(has), recipes=dict.fromkeys(ALL, refuse))
    solution = solve_posed(asked, problem(), engine)
    assert [part.split(":")[0] for part in solution.reason.split("; ")] == rungs
    assert {profile for profile, _ in engine.asked} <= has
    assert solution.status == "fallback"


@pytest.mark.parametrize(("profile", "needs"), [("min_variance", "min_variance"), ("barbell", "hrp")])
def test_what_an_engine_does_not_have_is_unsupported_and_never_asked(profile: str, needs: str) -> None:
    engine = Planted(profiles=frozenset({"risk_parity"}))
    solution = solve_posed(profile, problem(), engine)
    assert (solution.status, solution.rung) == ("unsupported", "")
    assert solution.reason == f"native has no {needs}; it has risk_parity"
    assert engine.asked == []
    assert not solution.weights.any()


def test_what_cannot_be_imported_is_unavailable_with_what_to_install() -> None:
    class Missing(Native):
        def load(self) -> None:
            raise ImportError("No module named 'daqp'")

    solution = solve_posed("hrp", problem(), Missing())
    assert solution.status == "unavailable"
    assert solution.reason.startswith("No module named 'daqp'; install daqp (pip install daqp)")


def test_when_every_rung_fails_the_cell_has_failed_with_all_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "inverse_volatility", refuse)
    monkeypatch.setattr(ladder, "equal_weight", refuse)
    solution = climb("hrp", problem(), Planted(recipes=dict.fromkeys(ALL, refuse)))
    assert (solution.status, solution.rung) == ("failed", "")
    assert solution.reason.count("planted") == 6
    assert not solution.weights.any()


def test_solver_dust_is_repaired_and_not_a_failure() -> None:
    found = Attempt(np.array([-5e-9, 0.2 + 5e-7, 0.2, 0.2, 0.2, 0.2]))
    weights, _, reason = verified("hrp", found, problem(), Native())
    assert reason == ""
    assert weights is not None
    assert weights[0] == 0.0
    np.testing.assert_allclose(weights[1:], 0.2, atol=1e-6)
    assert abs(weights.sum() - 1.0) <= 1e-15


def test_weights_above_the_cap_of_a_profile_without_one_are_projected_on_it() -> None:
    weights, _, reason = verified("hrp", Attempt(np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])), problem(), Native())
    assert reason == ""
    np.testing.assert_allclose(weights, [0.4, 0.12, 0.12, 0.12, 0.12, 0.12], atol=1e-15)


def test_hrp_of_halves_without_variance_is_solved_with_a_ridge() -> None:
    # The returns pair the first two and the last two; under the covariance each pair is a perfect hedge.
    column = window(1, 2)
    returns = np.repeat(column, 2, axis=1) + 1e-4 * window(2, 4)
    hedged = np.kron(np.eye(2), [[1.0, -1.0], [-1.0, 1.0]]) * 1e-4
    solution = climb("hrp", Problem(returns, hedged, 0.0, 1.0), Native())
    assert (solution.status, solution.rung) == ("fallback", "ridge")
    assert solution.reason.startswith(
        "hrp: both halves of a cluster of 4 assets have no variance; tighter: both halves"
    )
    np.testing.assert_allclose(solution.weights, 0.25, atol=1e-12)


@dataclass(frozen=True)
class Other(Planted):
    """An engine that is not native, with the tolerance of the libraries."""

    name: str = "other"
    max_residual: float = 1e-6


@pytest.mark.parametrize("profile", ["hrp", "barbell"])
def test_an_hrp_that_is_not_its_definition_is_caught(profile: str) -> None:
    posed = problem()
    assert climb(profile, posed, Other()).status == "native"
    solution = climb(profile, posed, Other(recipes={"hrp": lambda given: Attempt(np.eye(len(given.mean))[0])}))
    assert solution.status == "fallback"
    assert re.match(rf"{profile}: residual 0\.\d+|{profile}: residual \d\.\de-01", solution.reason)


def test_an_engine_that_works_in_place_cannot_move_what_it_is_judged_by() -> None:
    def cheat(given: Problem) -> Attempt:
        given.covariance[:] = np.eye(len(given.mean))
        return Attempt(EQUAL)

    solution = climb("min_variance", problem(), Planted(recipes={"min_variance": cheat}))
    assert (solution.status, solution.rung) == ("fallback", "hrp")
    assert "read-only" in solution.reason
    elsewhere = pickle.loads(pickle.dumps(problem()))  # noqa: S301 - our own bytes, as a solver's process gets them
    for array in (elsewhere.returns, elsewhere.covariance, elsewhere.mean, elsewhere.correlation):
        assert not array.flags.writeable


def test_posing_a_window_leaves_the_callers_array_as_it_was() -> None:
    returns = window(8, N)
    assert isinstance(pose(returns, cap=CAP, covariance="sample"), Problem)
    returns[0, 0] = 0.5
