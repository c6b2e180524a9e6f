"""Engines that solve the same problem agree, and the silent wrong answers of the libraries do not get through."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from sleevegraph.engines import riskfolio_engine, skfolio_engine
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED, Engine
from sleevegraph.engines.riskfolio_engine import Riskfolio
from sleevegraph.engines.skfolio_engine import Skfolio
from sleevegraph.panel import Panel, build_panel
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.solver import solve_posed
from sleevegraph.risk_profiles.verification import verified
from sleevegraph.synthesis import synthesise
from tests.agreement import assert_agree, assert_same_objective, posed, solved_by
from tests.markets import recorded_bars
from tests.shared import needs_shared
from tests.windows import window

ENGINES = ("skfolio", "riskfolio")
CONVEX = ("min_variance", "max_sharpe")
PROFILES = (*SOLVED, "barbell")
SIZES = (3, 5, 8, 15, 30)
STOPPED = ("SCS", {"max_iters": 30})
SETTINGS = [(1.0, "sample"), (1.0, "ledoit_wolf"), (0.25, "sample"), (0.25, "ledoit_wolf")]


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_with_native_on_random_windows(engine: str, N: int) -> None:
    for seed, (cap, covariance) in enumerate(SETTINGS):
        problem = posed(window(seed, N) + 0.003, cap, covariance)
        for profile in PROFILES if N > 3 else SOLVED:
            ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
            assert (ours.status, theirs.status) == ("native", "native"), (profile, theirs.reason)
            assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("kind", ["duplicated", "near_singular", "pegged"])
@pytest.mark.parametrize("engine", ENGINES)
def test_where_weights_are_not_unique_or_hard_to_find_the_objectives_agree(engine: str, kind: str) -> None:
    for N, (cap, covariance) in zip((5, 15, 9, 15), SETTINGS, strict=True):
        problem = posed(window(1, N, kind) + 0.001, cap, covariance)
        for profile in CONVEX:
            ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
            assert theirs.status == "native", (profile, theirs.reason)
            assert_same_objective(profile, problem, theirs.weights, ours.weights)
        for profile in ("hrp", "risk_parity"):
            ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
            assert theirs.status == "native", (profile, theirs.reason)
            assert_agree(profile, problem, theirs.weights, ours.weights)


@cache
def recorded_panel() -> Panel:
    return build_panel(recorded_bars())


@needs_shared
@pytest.mark.parametrize("direction", ["LONG", "SHORT"])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_with_native_on_recorded_windows(engine: str, direction: str) -> None:
    for day, step in ((date(2022, 6, 19), 7), (date(2023, 8, 13), 11)):
        known = recorded_panel().before(day, 252)
        whole = known.returns[:, np.isfinite(known.returns).all(axis=0)]
        problem = posed(synthesise(whole[:, ::step][:, :25], direction), 0.25, "ledoit_wolf")
        for profile in PROFILES:
            ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
            assert (theirs.status, theirs.rung) == (ours.status, ours.rung), (profile, theirs.reason)
            assert_agree(profile if ours.rung == profile else ours.rung, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_covariance_is_the_problems_whatever_that_of_the_returns(engine: str) -> None:
    problem, other = posed(window(0, 7) + 0.001, 1.0, "sample"), posed(window(5, 7), 1.0, "sample")
    problem = replace(problem, covariance=other.covariance)
    for profile in SOLVED:
        ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
        assert (ours.status, theirs.status) == ("native", "native")
        assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_lower_bounds_are_constraints_as_caps_are(engine: str) -> None:
    problem = posed(window(2, 8) + 0.001, 0.3, "sample", lower=0.04)
    for profile in CONVEX:
        ours, theirs = solved_by("native", profile, problem), solved_by(engine, profile, problem)
        assert theirs.status == "native"
        assert (theirs.weights == 0.04).any()
        assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_units_of_returns_do_not_matter(engine: str) -> None:
    returns = window(3, 6) + 0.001
    for profile in SOLVED:
        reference = solve(profile, returns, engine=engine).weights
        for unit in (2.0**-40, 2.0**40):
            np.testing.assert_allclose(solve(profile, returns * unit, engine=engine).weights, reference, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tighter_attempt_is_another_treatment_of_the_same_problem(engine: str) -> None:
    problem, by = posed(window(4, 12) + 0.001, 0.25, "sample"), {"skfolio": Skfolio(), "riskfolio": Riskfolio()}[engine]
    for profile in (*CONVEX, "risk_parity"):
        first, second = by.attempt(profile, problem).weights, by.attempt(profile, problem, tighter=True).weights
        assert 0.0 < np.abs(first - second).max() < 1e-4


def test_hrp_of_another_leaf_order_does_not_pass() -> None:
    returns = window(0, 15)
    problem, mirrored = posed(returns, 1.0, "sample"), posed(returns[:, ::-1], 1.0, "sample")
    reversed_columns = solved_by("native", "hrp", mirrored).weights[::-1]
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agree("hrp", problem, solved_by("skfolio", "hrp", problem).weights, reversed_columns)


def skfolio_by_default(problem: Problem) -> np.ndarray:
    from skfolio.optimization import MeanRisk  # noqa: PLC0415 - skfolio takes two seconds, so not at every collection

    return np.asarray(MeanRisk().fit(problem.returns).weights_)


def riskfolio_by_default(problem: Problem, objective: str = "MinRisk") -> np.ndarray:
    from riskfolio import Portfolio  # noqa: PLC0415 - riskfolio takes three seconds, so not at every collection

    portfolio = Portfolio(returns=pd.DataFrame(problem.returns).rename(columns=str))
    portfolio.assets_stats()
    portfolio.solvers = ["CLARABEL"]
    return np.asarray(portfolio.optimization("Classic", "MV", objective)["weights"].to_numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("engine", "by_default"), [(Skfolio(), skfolio_by_default), (Riskfolio(), riskfolio_by_default)]
)
def test_answers_at_the_libraries_own_tolerances_do_not_pass(
    engine: Engine, by_default: Callable[[Problem], np.ndarray]
) -> None:
    problems = [posed(window(seed, 30), 1.0, "sample") for seed in range(4)]
    verdicts = [verified("min_variance", Attempt(by_default(problem)), problem, engine) for problem in problems]
    assert [reason.split(" ")[0] for *_, reason in verdicts] == ["residual"] * 4


@pytest.mark.filterwarnings("ignore")
def test_an_answer_at_skfolios_own_tolerance_does_not_agree() -> None:
    problems = [posed(window(seed, 30), 1.0, "sample") for seed in range(4)]
    ours = [solved_by("native", "min_variance", problem).weights for problem in problems]
    errors = [
        np.abs(skfolio_by_default(problem) - reference).max() for problem, reference in zip(problems, ours, strict=True)
    ]
    assert max(errors) > 1e-4


@pytest.mark.filterwarnings("ignore")
def test_riskfolios_hrp_of_missing_returns_is_rejected_before_any_engine_and_would_be_caught_after() -> None:
    from riskfolio import HCPortfolio  # noqa: PLC0415 - see above

    returns = window(0, 6)
    problem = posed(returns, 1.0, "sample")
    returns[3, 2] = np.nan
    frame = pd.DataFrame(returns).rename(columns=str)
    weights = HCPortfolio(returns=frame).optimization(model="HRP", rm="MV", linkage="single")["weights"].to_numpy()
    assert "not finite" in verified("hrp", Attempt(weights), problem, Riskfolio())[2]
    for engine in ENGINES:
        solution = solve("hrp", returns, engine=engine)
        assert (solution.status, solution.reason) == ("rejected", "non-finite returns in 1 columns, first 2")


@pytest.mark.filterwarnings("ignore")
def test_riskfolios_noise_without_a_positive_mean_is_infeasible_and_would_be_caught_after() -> None:
    returns = window(1, 8)
    returns += -0.002 - returns.mean(axis=0)
    problem = posed(returns, 1.0, "sample")
    noise = riskfolio_by_default(problem, "Sharpe")
    assert abs(noise.sum() - 1.0) < 1e-9
    assert noise.min() >= 0.0
    assert "without a positive mean" in verified("max_sharpe", Attempt(noise), problem, Riskfolio())[2]
    for engine in ENGINES:
        solution = solved_by(engine, "max_sharpe", problem)
        assert (solution.status, solution.rung) == ("fallback", "min_variance")
        assert solution.reason.startswith("max_sharpe: infeasible")
        np.testing.assert_allclose(solution.weights, solved_by("native", "min_variance", problem).weights, atol=1e-4)


def test_riskfolios_risk_parity_ignores_the_cap_and_the_weights_are_projected_on_it() -> None:
    problem = posed(window(0, 6), 0.25, "sample")
    ignored = Riskfolio().attempt("risk_parity", problem).weights
    assert ignored.max() > 0.3
    solution = solved_by("riskfolio", "risk_parity", problem)
    assert solution.weights.max() <= 0.25
    np.testing.assert_allclose(solution.weights, project_bounded_simplex(ignored, 0.0, 0.25), atol=1e-9)


@pytest.mark.parametrize("profile", [*CONVEX, "risk_parity"])
@pytest.mark.parametrize(("module", "engine"), [(skfolio_engine, Skfolio()), (riskfolio_engine, Riskfolio())])
def test_a_solver_that_stopped_short_is_caught_by_its_residual(
    module: ModuleType, engine: Engine, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOLVERS", (STOPPED, STOPPED))
    problem = posed(window(0, 12) + 0.001, 1.0, "sample")
    weights = engine.attempt(profile, problem).weights
    if engine.name == "riskfolio":
        # It renormalised by |w|, so that nothing shows.
        assert abs(weights.sum() - 1.0) < 1e-12
        assert weights.min() >= 0.0
    assert verified(profile, Attempt(np.abs(weights) / np.abs(weights).sum()), problem, engine)[2].startswith(
        "residual"
    )
    assert solve_posed(profile, problem, engine).status == "fallback"


@pytest.mark.parametrize("engine", [Skfolio(), Riskfolio()])
def test_dust_of_clarabel_is_cut(engine: Engine) -> None:
    problem = posed(window(1, 30), 1.0, "sample")
    dusty = engine.attempt("min_variance", problem, tighter=True).weights
    clean, _, reason = verified("min_variance", Attempt(dusty), problem, replace(engine, max_residual=1e-4))
    assert reason == ""
    assert ((dusty != 0.0) & (np.abs(dusty) < 1e-6)).sum() >= 2
    np.testing.assert_array_equal(clean == 0.0, solved_by("native", "min_variance", problem).weights == 0.0)


@pytest.mark.parametrize(("module", "engine"), [(skfolio_engine, Skfolio()), (riskfolio_engine, Riskfolio())])
def test_warnings_of_a_library_stay_inside(module: ModuleType, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = posed(window(0, 8), 1.0, "sample")
    monkeypatch.setattr(module, "SOLVERS", (STOPPED, STOPPED))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for profile in SOLVED:
            engine.attempt(profile, problem)
    assert [str(warning.message) for warning in seen] == []


def test_skfolio_itself_does_warn_of_a_solver_that_stopped_short() -> None:
    from skfolio.optimization import MeanRisk  # noqa: PLC0415 - see above

    with pytest.warns(UserWarning, match="may be inaccurate"):
        MeanRisk(solver=STOPPED[0], solver_params=STOPPED[1]).fit(window(0, 8))
