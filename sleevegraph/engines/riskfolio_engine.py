"""riskfolio-lib: hierarchical risk parity, and convex problems by Clarabel."""

# ruff: noqa: PLC0415 - importing riskfolio takes three seconds, so only where it solves

from dataclasses import dataclass
from typing import Any

import numpy as np

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED


@dataclass(frozen=True)
class Riskfolio:
    """All four solved profiles."""

    name: str = "riskfolio"
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = "riskfolio"
    requirement: str = "riskfolio-lib"
    max_residual: float = 1e-4
    dust: float = 1e-6

    def load(self) -> None:
        """Import riskfolio."""
        import riskfolio  # noqa: F401

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Fill a portfolio object with the problem's moments and optimise it."""
        del tighter
        found = _hrp(problem) if profile == "hrp" else _convex(profile, problem)
        if found is None:
            return Attempt(reason="riskfolio found no solution")
        return Attempt(found["weights"].to_numpy())


def _frame(matrix: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(matrix, columns=[str(i) for i in range(matrix.shape[1])])


def _hrp(problem: Problem) -> Any:
    from riskfolio import HCPortfolio

    covariance = _frame(problem.covariance)
    covariance.index = covariance.columns
    return HCPortfolio(returns=_frame(problem.returns)).optimization(
        model="HRP",
        codependence="pearson",
        rm="MV",
        linkage="single",
        leaf_order=False,
        method_cov="custom_cov",
        custom_cov=covariance,
    )


def _convex(profile: str, problem: Problem) -> Any:
    from riskfolio import Portfolio

    portfolio = Portfolio(returns=_frame(problem.returns), upperlng=problem.upper)
    portfolio.assets_stats()
    portfolio.cov = _frame(problem.covariance).set_index(portfolio.returns.columns)
    portfolio.mu = _frame(np.asarray(problem.mean)[None, :])
    portfolio.solvers = ["CLARABEL"]
    if profile == "risk_parity":
        return portfolio.rp_optimization("Classic", "MV")
    return portfolio.optimization("Classic", "MV", {"min_variance": "MinRisk", "max_sharpe": "Sharpe"}[profile])
