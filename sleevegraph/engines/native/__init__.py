"""The native engine: numpy, scipy and daqp, exact to rounding."""

from dataclasses import dataclass

from sleevegraph.engines.native.convex import max_sharpe, min_variance
from sleevegraph.engines.native.hrp import hrp
from sleevegraph.engines.native.risk_parity import risk_parity
from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED

PROXIMAL_STEPS, NEWTON_ITERATIONS = 10, 100
PATIENCE = 10
"""How many times more of them a tighter attempt may take."""


@dataclass(frozen=True)
class Native:
    """All four solved profiles, with residuals up to 1e-8."""

    name: str = "native"
    profiles: frozenset[str] = frozenset(SOLVED)
    module: str = "daqp"
    requirement: str = "daqp"
    max_residual: float = 1e-8
    dust: float = 0.0

    def load(self) -> None:
        """Everything was imported with this module."""

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Solve one of the four."""
        more = PATIENCE if tighter else 1
        if profile == "hrp":
            return hrp(problem)
        if profile == "min_variance":
            return min_variance(problem, PROXIMAL_STEPS * more)
        if profile == "max_sharpe":
            return max_sharpe(problem, PROXIMAL_STEPS * more)
        return risk_parity(problem, NEWTON_ITERATIONS * more)
