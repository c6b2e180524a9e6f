"""PyPortfolioOpt: hierarchical risk parity, and convex problems by Clarabel."""

# ruff: noqa: PLC0415 - an optional library, imported only where it solves

from dataclasses import dataclass
from typing import Any

import numpy as np

from sleevegraph.engines.conic import CLARABEL, DUST, MAX_RESIDUAL, SCS, import_all, in_units, quiet, unit_mean
from sleevegraph.engines.problem import Attempt, Problem

SOLVERS = (CLARABEL, SCS)
"""The first attempt's and the tighter one's. The library poses the variance as a quadratic objective, on which Clarabel
leaves residuals of 1e-12."""


@dataclass(frozen=True)
class PyPortfolioOpt:
    """It has no risk parity."""

    name: str = "pypfopt"
    profiles: frozenset[str] = frozenset({"hrp", "min_variance", "max_sharpe"})
    module: str = "pypfopt"
    requirement: str = "pyportfolioopt"
    max_residual: float = MAX_RESIDUAL
    dust: float = DUST

    def load(self) -> None:
        """Import PyPortfolioOpt."""
        import_all("pypfopt", "pandas")

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Optimise with the problem's moments."""
        posed = in_units(problem)
        with quiet():
            found = _hrp(posed) if profile == "hrp" else _convex(profile, posed, tighter=tighter)
        return Attempt(np.array([found[i] for i in range(len(posed.covariance))]))


def _hrp(problem: Problem) -> Any:
    import pandas as pd
    from pypfopt import HRPOpt

    class Window(pd.DataFrame):
        """Returns of which HRPOpt, which takes returns or a covariance matrix but not both, asks for both."""

        def cov(self) -> Any:
            return pd.DataFrame(problem.covariance)

    return HRPOpt(returns=Window(problem.returns)).optimize(linkage_method="single")


def _convex(profile: str, problem: Problem, *, tighter: bool) -> Any:
    from pypfopt import EfficientFrontier

    name, settings = SOLVERS[tighter]
    frontier = EfficientFrontier(
        unit_mean(problem) if profile == "max_sharpe" else problem.mean,
        problem.covariance,
        weight_bounds=(problem.lower, problem.upper),
        solver=name,
        solver_options=settings,
    )
    return frontier.min_volatility() if profile == "min_variance" else frontier.max_sharpe(risk_free_rate=0.0)
