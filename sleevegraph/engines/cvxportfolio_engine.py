"""cvxportfolio: convex problems as one step of its single-period optimisation."""

# ruff: noqa: PLC0415 - an optional library, imported only where it solves

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from sleevegraph.engines.conic import CLARABEL, DUST, MAX_RESIDUAL, SCS, import_all, in_units, per_volatility, quiet
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.panel import Floats

SOLVERS = (CLARABEL, SCS)
"""The first attempt's and the tighter one's. The library poses the variance as a quadratic objective, on which Clarabel
leaves residuals of 1e-12."""


@dataclass(frozen=True)
class Cvxportfolio:
    """It has no hierarchical risk parity, and its objectives are sums, so that a ratio is none."""

    name: str = "cvxportfolio"
    profiles: frozenset[str] = frozenset({"min_variance", "risk_parity"})
    module: str = "cvxportfolio"
    requirement: str = "cvxportfolio"
    max_residual: float = MAX_RESIDUAL
    dust: float = DUST

    def load(self) -> None:
        """Import cvxportfolio."""
        import_all("cvxportfolio", "cvxpy", "pandas")

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Let a policy trade once, from cash."""
        posed = in_units(problem)
        with quiet():
            if profile == "min_variance":
                return Attempt(_min_variance(posed, tighter=tighter))
            return Attempt(per_volatility(_equal_contributions(posed, tighter=tighter), posed))


def _min_variance(problem: Problem, *, tighter: bool) -> Floats:
    import cvxportfolio as cvx

    bounds = [cvx.NoCash(), cvx.MinWeights(problem.lower), cvx.MaxWeights(problem.upper)]
    return _traded(problem.covariance, lambda risk: -1.0 * risk, bounds, tighter=tighter)


def _equal_contributions(problem: Problem, *, tighter: bool) -> Floats:
    """Maximise mean(log x) - x'Cx / 2 with cash left free: at the answer every x_i (Cx)_i is 1/N.

    The library has no risk parity. Its risk term is one half of this; the other is a term of ours, derived from the
    base class of its terms as its documentation says.
    """
    from cvxportfolio.costs import Cost

    cp = import_module("cvxpy")

    class MeanLog(Cost):
        def compile_to_cvxpy(self, w_plus: Any, z: Any, w_plus_minus_w_bm: Any, **_: Any) -> Any:
            del z, w_plus_minus_w_bm
            return cp.sum(cp.log(w_plus[:-1])) / len(problem.correlation)

    return _traded(problem.correlation, lambda risk: MeanLog() - 0.5 * risk, [], tighter=tighter)


def _traded(covariance: Floats, objective: Callable[[Any], Any], constraints: list[Any], *, tighter: bool) -> Floats:
    """What the policy buys, in units of a portfolio that held nothing but cash."""
    import cvxportfolio as cvx
    import pandas as pd

    names = [str(i) for i in range(len(covariance))]
    cash = pd.Series([0.0] * len(names) + [1.0], index=[*names, "cash"])
    name, settings = SOLVERS[tighter]
    policy = cvx.SinglePeriodOptimization(
        objective(cvx.FullCovariance(pd.DataFrame(covariance, columns=names, index=names))),
        constraints,
        include_cash_return=False,
        fallback_solver=None,
        solver=name,
        **settings,
    )
    trades, _, _ = policy.execute(cash, market_data=None, t=pd.Timestamp("2000-01-01"))
    return np.asarray(trades.to_numpy()[:-1], dtype=np.float64)
