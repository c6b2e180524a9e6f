"""riskfolio-lib: hierarchical risk parity, and convex problems by SCS."""

# ruff: noqa: PLC0415 - importing riskfolio takes three seconds, so only where it solves

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

OBJECTIVES = {"min_variance": "MinRisk", "max_sharpe": "Sharpe"}
SOLVERS = (SCS, CLARABEL)
"""The first attempt's and the tighter one's. The library poses the variance as a second-order cone, on which SCS leaves
residuals of 1e-10 in the time in which Clarabel leaves 1e-7, at worst 2e-6."""


@dataclass(frozen=True)
class Riskfolio:
    """All four solved profiles."""

    name: str = "riskfolio"
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = "riskfolio"
    requirement: str = "riskfolio-lib"
    max_residual: float = MAX_RESIDUAL
    dust: float = DUST

    def load(self) -> None:
        """Import riskfolio."""
        import_all("riskfolio", "pandas")

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Fill a portfolio object with the problem's moments and optimise it.

        It renormalises by the absolute value of what its solver gave, so that weights which add to one prove nothing.
        """
        posed = in_units(problem)
        with quiet():
            found = _hrp(posed) if profile == "hrp" else _convex(profile, posed, tighter=tighter)
        if found is None:
            return Attempt(reason="riskfolio found no solution")
        weights = found["weights"].to_numpy()
        return Attempt(per_volatility(weights, posed) if profile == "risk_parity" else weights)


def _table(matrix: Floats, *, square: bool = False) -> Any:
    import pandas as pd

    names = [str(i) for i in range(matrix.shape[1])]
    return pd.DataFrame(matrix, columns=names, index=names if square else None)


def _hrp(problem: Problem) -> Any:
    from riskfolio import HCPortfolio

    return HCPortfolio(returns=_table(problem.returns)).optimization(
        model="HRP",
        codependence="pearson",
        rm="MV",
        linkage="single",
        leaf_order=False,
        method_cov="custom_cov",
        custom_cov=_table(problem.covariance, square=True),
    )


def _convex(profile: str, problem: Problem, *, tighter: bool) -> Any:
    from riskfolio import Portfolio

    name, settings = SOLVERS[tighter]
    parity = profile == "risk_parity"
    portfolio = Portfolio(returns=_table(problem.returns), upperlng=problem.upper, lowerlng=problem.lower)
    portfolio.mu = _table((unit_mean(problem) if profile == "max_sharpe" else problem.mean)[None, :])
    portfolio.cov = _table(problem.correlation if parity else problem.covariance, square=True)
    portfolio.solvers, portfolio.sol_params = [name], {name: settings}
    if parity:
        return portfolio.rp_optimization("Classic", "MV")
    return portfolio.optimization("Classic", "MV", OBJECTIVES[profile])
