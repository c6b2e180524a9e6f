"""What the adapters share: the problem in units that suit a conic solver, and the settings of two such solvers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

import numpy as np

from sleevegraph.engines.problem import Problem
from sleevegraph.panel import Floats

Solver = tuple[str, dict[str, float]]
"""A solver as cvxpy knows it, and its settings."""

SCS: Solver = ("SCS", {"eps_abs": 1e-11, "eps_rel": 1e-11, "max_iters": 50_000, "use_indirect": False})
"""A first-order method: it fails on other problems than an interior-point method does. Told nothing it would
factorise with a bundled MKL, which is not free software and takes 0.2 s to load, instead of its own QDLDL."""
CLARABEL: Solver = (
    "CLARABEL",
    {"tol_gap_abs": 1e-15, "tol_gap_rel": 1e-15, "tol_feas": 1e-12, "max_step_fraction": 0.95},
)
"""At its own tolerances weights are off by up to 4e-4; at its own step of 0.99 one answer in 300 was off by 6e-5."""
DUST = 1e-6
"""What a solver leaves beside a bound is below it, and a position of this size is worth nothing."""
MAX_RESIDUAL = 1e-6
"""What a risk parity may be off by. On 286 recorded windows answers were within 2e-7, on duplicated, pegged or nearly
singular ones within 9e-7; at the libraries' own tolerances, or where a solver stops short, they are off by 1e-5 to 1."""


def in_units(problem: Problem) -> Problem:
    """The same problem with a mean variance between 1/2 and 2.

    Absolute tolerances then mean the same for every window. A power of two changes no digit of the data.
    """
    exponent = round(np.log2(np.trace(problem.covariance) / len(problem.covariance)) / 2.0)
    return replace(
        problem,
        returns=np.ldexp(problem.returns, -exponent),
        covariance=np.ldexp(problem.covariance, -2 * exponent),
    )


def unit_mean(problem: Problem) -> Floats:
    """Means in units of the largest that a portfolio can have: the tangency portfolio depends on no unit."""
    return problem.mean / abs(problem.largest_mean)


def per_volatility(weights: Floats, problem: Problem) -> Floats:
    """Risk parity of `problem` from that of its correlation matrix, which is the same problem in y = weight x volatility.

    Assets whose volatilities differ by orders of magnitude are then solved as exactly as others.
    """
    scaled = np.asarray(weights * (problem.volatility.min() / problem.volatility), dtype=np.float64)
    return scaled / float(scaled.sum())


def import_all(*modules: str) -> None:
    """Import what an attempt will need; ImportError where something is missing."""
    with quiet():
        for module in modules:
            import_module(module)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what a library warns of to itself: deprecations are its own, and its accuracy is measured, not believed."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
