"""cvxportfolio and PyPortfolioOpt, which a user may add: they agree with native on what they have."""

from dataclasses import replace

import numpy as np
import pytest

from sleevegraph.engines.cvxportfolio_engine import Cvxportfolio
from sleevegraph.engines.protocol import Engine
from sleevegraph.engines.pypfopt_engine import PyPortfolioOpt
from sleevegraph.risk_profiles import solve
from sleevegraph.risk_profiles.solver import solve_posed
from tests.agreement import assert_agree, posed, solved_by
from tests.windows import window

ENGINES: tuple[Engine, ...] = (Cvxportfolio(), PyPortfolioOpt())
CONVEX = {"cvxportfolio": ("min_variance", "risk_parity"), "pypfopt": ("min_variance", "max_sharpe")}


@pytest.mark.parametrize("N", [3, 5, 8, 15, 30])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_they_agree_with_native(engine: Engine, N: int) -> None:
    settings = [(1.0, "sample"), (1.0, "ledoit_wolf"), (0.25, "sample"), (0.25, "ledoit_wolf")]
    for seed, (cap, covariance) in enumerate(settings):
        problem = posed(window(seed, N) + 0.003, cap, covariance)
        for profile in sorted(engine.profiles):
            ours, theirs = solved_by("native", profile, problem), solve_posed(profile, problem, engine)
            assert (ours.status, theirs.status) == ("native", "native"), (profile, theirs.reason)
            assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_the_covariance_is_the_problems_whatever_that_of_the_returns(engine: Engine) -> None:
    problem, other = posed(window(0, 7) + 0.003, 1.0, "sample"), posed(window(5, 7), 1.0, "sample")
    problem = replace(problem, covariance=other.covariance)
    for profile in engine.profiles:
        ours, theirs = solved_by("native", profile, problem), solve_posed(profile, problem, engine)
        assert theirs.status == "native", (profile, theirs.reason)
        assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_lower_bounds_are_constraints_as_caps_are(engine: Engine) -> None:
    problem = posed(window(2, 8) + 0.003, 0.3, "sample", lower=0.04)
    for profile in {"min_variance", "max_sharpe"} & engine.profiles:
        ours, theirs = solved_by("native", profile, problem), solve_posed(profile, problem, engine)
        assert theirs.status == "native"
        assert (theirs.weights == 0.04).any()
        assert_agree(profile, problem, theirs.weights, ours.weights)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_tighter_attempt_is_another_treatment_of_the_same_problem(engine: Engine) -> None:
    problem = posed(window(4, 12) + 0.003, 0.25, "sample")
    for profile in CONVEX[engine.name]:
        first, second = engine.attempt(profile, problem).weights, engine.attempt(profile, problem, tighter=True).weights
        assert 0.0 < np.abs(first - second).max() < 1e-6


@pytest.mark.parametrize(
    ("engine", "profile", "status"),
    [
        ("cvxportfolio", "hrp", "unsupported"),
        ("cvxportfolio", "barbell", "unsupported"),
        ("cvxportfolio", "max_sharpe", "unsupported"),
        ("cvxportfolio", "equal_weight", "native"),
        ("pypfopt", "risk_parity", "unsupported"),
        ("pypfopt", "barbell", "native"),
        ("pypfopt", "equal_weight", "native"),
    ],
)
def test_a_recipe_that_an_engine_lacks_is_unsupported(engine: str, profile: str, status: str) -> None:
    assert solve(profile, window(0, 6), engine=engine, cap=0.25).status == status


def test_a_barbell_over_pypfopts_hrp_is_natives() -> None:
    returns = window(1, 12)
    ours, theirs = solve("barbell", returns, cap=0.25), solve("barbell", returns, cap=0.25, engine="pypfopt")
    np.testing.assert_allclose(theirs.weights, ours.weights, rtol=0, atol=1e-12)


def test_pypfopts_own_hrp_of_a_shrunk_covariance_would_not_agree() -> None:
    import pandas as pd  # noqa: PLC0415 - same
    from pypfopt import HRPOpt  # noqa: PLC0415 - an optional library, imported where it solves

    problem = posed(window(0, 9), 1.0, "ledoit_wolf")
    own = HRPOpt(returns=pd.DataFrame(problem.returns)).optimize()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agree("hrp", problem, np.array(list(own.values())), solved_by("native", "hrp", problem).weights)


def test_cvxportfolios_stand_ins_are_its_own() -> None:
    returns = window(3, 24, T=8)
    solution = solve("risk_parity", returns, engine="cvxportfolio")
    assert solution.status == "fallback"
    assert "hrp" not in solution.reason
