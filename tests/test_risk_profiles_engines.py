"""The native recipes against two libraries that solve the same problems."""

# ruff: noqa: PLC0415 — importing both libraries takes five seconds, so not at every collection

import numpy as np
import pandas as pd
import pytest

from sleevegraph.risk_profiles import solve
from tests.windows import window

# The libraries complain about themselves, and about tolerances that their solver cannot quite reach.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = (2, 3, 5, 9, 15, 30)
EXACT = {"tol_gap_abs": 1e-15, "tol_gap_rel": 1e-15, "tol_feas": 1e-12}


def skfolio_hrp(returns: np.ndarray) -> np.ndarray:
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    clustering = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE, max_clusters=2)
    seriation = HierarchicalSeriation(hierarchical_clustering_estimator=clustering, optimal_ordering=False)
    model = HierarchicalRiskParity(distance_estimator=PearsonDistance(), seriation_estimator=seriation)
    return model.fit(returns).weights_


def skfolio_convex(profile: str, returns: np.ndarray, cap: float = 1.0) -> np.ndarray:
    from skfolio.optimization import MeanRisk, ObjectiveFunction, RiskBudgeting

    ratio = ObjectiveFunction.MAXIMIZE_RATIO
    models = {
        "min_variance": MeanRisk(max_weights=cap, solver_params=EXACT),
        "max_sharpe": MeanRisk(objective_function=ratio, max_weights=cap, solver_params=EXACT),
        "risk_parity": RiskBudgeting(solver_params=EXACT),
    }
    return models[profile].fit(returns).weights_


def riskfolio_hrp(returns: np.ndarray) -> np.ndarray:
    from riskfolio import HCPortfolio

    portfolio = HCPortfolio(returns=pd.DataFrame(returns).rename(columns=str))
    answer = portfolio.optimization(model="HRP", codependence="pearson", rm="MV", linkage="single", leaf_order=False)
    return answer["weights"].to_numpy()


def riskfolio_convex(profile: str, returns: np.ndarray) -> np.ndarray:
    from riskfolio import Portfolio

    portfolio = Portfolio(returns=pd.DataFrame(returns).rename(columns=str))
    portfolio.assets_stats()
    if profile == "risk_parity":
        answer = portfolio.rp_optimization("Classic", "MV")
    else:
        answer = portfolio.optimization("Classic", "MV", {"min_variance": "MinRisk", "max_sharpe": "Sharpe"}[profile])
    return answer["weights"].to_numpy()


def test_hrp_is_skfolios_to_1e_12() -> None:
    for N in SIZES:
        for seed in range(5):
            returns = window(seed, N)
            np.testing.assert_allclose(solve("hrp", returns).weights, skfolio_hrp(returns), atol=1e-12)


def test_hrp_is_riskfolios_to_1e_12() -> None:
    for N in SIZES[1:]:
        for seed in range(2):
            returns = window(seed, N)
            np.testing.assert_allclose(solve("hrp", returns).weights, riskfolio_hrp(returns), atol=1e-12)


def test_hrp_of_another_leaf_order_would_not_pass() -> None:
    returns = window(0, 15)
    reversed_columns = solve("hrp", returns[:, ::-1]).weights[::-1]
    assert np.abs(reversed_columns - skfolio_hrp(returns)).max() > 1e-3


@pytest.mark.parametrize(("profile", "cap"), [("min_variance", 1.0), ("min_variance", 0.25), ("max_sharpe", 0.25)])
def test_convex_profiles_agree_with_skfolio_and_are_no_worse(profile: str, cap: float) -> None:
    for N in SIZES[2:]:
        returns = window(N, N) + 0.001
        ours, theirs = solve(profile, returns, cap=cap), skfolio_convex(profile, returns, cap)
        held, held_there = returns @ ours.weights, returns @ theirs
        assert ours.status == "native"
        np.testing.assert_allclose(ours.weights, theirs, atol=1e-3)
        if profile == "min_variance":
            assert held.var() <= held_there.var() * (1 + 1e-9)
        else:
            assert held.mean() / held.std() >= held_there.mean() / held_there.std() * (1 - 1e-9)


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe", "risk_parity"])
def test_uncapped_profiles_agree_with_riskfolio(profile: str) -> None:
    returns = window(3, 12) + 0.001
    np.testing.assert_allclose(solve(profile, returns).weights, riskfolio_convex(profile, returns), atol=1e-3)


def test_risk_parity_agrees_with_skfolio() -> None:
    for N in SIZES:
        returns = window(N, N)
        theirs = skfolio_convex("risk_parity", returns)
        np.testing.assert_allclose(solve("risk_parity", returns).weights, theirs, atol=1e-3)
