"""skfolio: hierarchical risk parity, and convex problems by SCS."""

# ruff: noqa: PLC0415 - importing skfolio takes two seconds, so only where it solves

from dataclasses import dataclass
from typing import Any

from sleevegraph.engines.conic import (
    CLARABEL,
    DUST,
    MAX_RESIDUAL,
    SCS,
    import_all,
    in_units,
    per_volatility,
    quiet,
    unit_mean,
)
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.panel import Floats

SOLVERS = (SCS, CLARABEL)
"""The first attempt's and the tighter one's. The library poses the variance as a second-order cone, on which SCS leaves
residuals of 1e-10 in the time in which Clarabel leaves 1e-7, at worst 2e-6."""


@dataclass(frozen=True)
class Skfolio:
    """All four solved profiles."""

    name: str = "skfolio"
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = "skfolio"
    requirement: str = "skfolio"
    max_residual: float = MAX_RESIDUAL
    dust: float = DUST

    def load(self) -> None:
        """Import skfolio's optimisers."""
        import_all(*(f"skfolio.{part}" for part in ("cluster", "distance", "optimization", "prior", "seriation")))

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Fit the estimator of the profile on a prior that holds the problem's moments."""
        posed = in_units(problem)
        with quiet():
            if profile == "hrp":
                return Attempt(_hrp(posed).fit(posed.returns).weights_)
            if profile == "risk_parity":
                weights = _risk_budgeting(posed, tighter=tighter).fit(posed.returns).weights_
                return Attempt(per_volatility(weights, posed))
            return Attempt(_mean_risk(profile, posed, tighter=tighter).fit(posed.returns).weights_)


def _prior(mean: Floats, covariance: Floats) -> Any:
    from skfolio.prior import BasePrior, ReturnDistribution

    class Posed(BasePrior):
        def __init__(self) -> None:
            """Without parameters, as an estimator that is cloned must be."""

        def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
            del y, fit_params
            self.return_distribution_ = ReturnDistribution(mu=mean, covariance=covariance, returns=X)
            return self

    return Posed()


def _hrp(problem: Problem) -> Any:
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    clustering = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE, max_clusters=2)
    return HierarchicalRiskParity(
        prior_estimator=_prior(problem.mean, problem.covariance),
        distance_estimator=PearsonDistance(),
        seriation_estimator=HierarchicalSeriation(hierarchical_clustering_estimator=clustering, optimal_ordering=False),
    )


def _risk_budgeting(problem: Problem, *, tighter: bool) -> Any:
    from skfolio.optimization import RiskBudgeting

    name, settings = SOLVERS[tighter]
    prior = _prior(problem.mean, problem.correlation)
    return RiskBudgeting(prior_estimator=prior, solver=name, solver_params=settings)


def _mean_risk(profile: str, problem: Problem, *, tighter: bool) -> Any:
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    name, settings = SOLVERS[tighter]
    ratio = profile == "max_sharpe"
    return MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO if ratio else ObjectiveFunction.MINIMIZE_RISK,
        prior_estimator=_prior(unit_mean(problem) if ratio else problem.mean, problem.covariance),
        min_weights=problem.lower,
        max_weights=problem.upper,
        solver=name,
        solver_params=settings,
    )
