"""skfolio: hierarchical risk parity, and convex problems by Clarabel."""

# ruff: noqa: PLC0415 - importing skfolio takes two seconds, so only where it solves

from dataclasses import dataclass
from typing import Any

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.panel import Floats

TOLERANCE = {"tol_gap_abs": 1e-15, "tol_gap_rel": 1e-15, "tol_feas": 1e-12}
"""At Clarabel's own tolerances weights are off by up to 4e-4; these cost no time."""


@dataclass(frozen=True)
class Skfolio:
    """All four solved profiles."""

    name: str = "skfolio"
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = "skfolio"
    requirement: str = "skfolio"
    max_residual: float = 1e-4
    dust: float = 1e-6

    def load(self) -> None:
        """Import skfolio's optimisers."""
        import skfolio.optimization  # noqa: F401

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Fit the estimator on the window, with the problem's covariance."""
        del tighter
        model = _hrp(problem) if profile == "hrp" else _convex(profile, problem)
        return Attempt(model.fit(problem.returns).weights_)


def _prior(covariance: Floats) -> Any:
    from skfolio.moments import BaseCovariance
    from skfolio.prior import EmpiricalPrior

    class Given(BaseCovariance):  # type: ignore[misc]
        def fit(self, X: Any, y: Any = None, **_: Any) -> Any:  # noqa: ARG002
            self.covariance_ = covariance
            return self

    return EmpiricalPrior(covariance_estimator=Given())


def _hrp(problem: Problem) -> Any:
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    clustering = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE, max_clusters=2)
    return HierarchicalRiskParity(
        prior_estimator=_prior(problem.covariance),
        distance_estimator=PearsonDistance(),
        seriation_estimator=HierarchicalSeriation(
            hierarchical_clustering_estimator=clustering, optimal_ordering=False
        ),
    )


def _convex(profile: str, problem: Problem) -> Any:
    from skfolio.optimization import MeanRisk, ObjectiveFunction, RiskBudgeting

    prior = _prior(problem.covariance)
    if profile == "risk_parity":
        return RiskBudgeting(prior_estimator=prior, solver_params=TOLERANCE)
    ratio = profile == "max_sharpe"
    return MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO if ratio else ObjectiveFunction.MINIMIZE_RISK,
        prior_estimator=prior,
        min_weights=problem.lower,
        max_weights=problem.upper,
        solver_params=TOLERANCE,
    )
