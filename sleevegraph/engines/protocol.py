"""The protocol of an engine, and the name under which another distribution adds one."""

from typing import Protocol

from sleevegraph.engines.problem import Attempt, Problem

ENTRY_POINTS = "sleevegraph.engines"
"""Group of entry points; each names an object that follows `Engine`."""

SOLVED = ("hrp", "min_variance", "max_sharpe", "risk_parity")
"""Risk profiles that an engine may solve; the others are recipes that need no solver of their own."""


class Engine(Protocol):
    """Who solves. An instance is stateless; importing its module must not import what it solves with."""

    @property
    def name(self) -> str:
        """How the manifest calls it."""

    @property
    def profiles(self) -> frozenset[str]:
        """Which of `SOLVED` it supports."""

    @property
    def module(self) -> str:
        """What must be importable before it can solve."""

    @property
    def requirement(self) -> str:
        """What to install where `module` is missing, as pip takes it."""

    @property
    def max_residual(self) -> float:
        """Largest residual, as `sleevegraph.engines.residuals` measures it, that counts as solved."""

    @property
    def dust(self) -> float:
        """Weights below it are rounding of an interior-point method and are cut."""

    def load(self) -> None:
        """Import everything that `attempt` needs; ImportError where something is missing."""

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        """Solve one of `profiles`; `tighter` asks for another numerical treatment of the same problem.

        Takes the bounds as constraints for min_variance and max_sharpe; hrp and risk_parity are unbounded, and are
        projected on the bounds afterwards. May raise whatever it likes: an exception is recorded as the reason.
        """
