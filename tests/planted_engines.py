"""Engines as another distribution would add them, each with one defect; tests put this file into a folder of its own."""

import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sleevegraph.engines.problem import Attempt, Problem

PIDS = "PLANTED_PIDS"
"""Names the folder in which every attempt leaves its process id."""


class Planted:
    """An engine whose every attempt answers with one function."""

    profiles = frozenset(("hrp", "min_variance", "max_sharpe", "risk_parity"))
    module = ""
    requirement = "planted-engines"
    max_residual = 1e-6
    dust = 0.0

    def __init__(self, name: str, answer: Callable[[Problem], object]) -> None:
        self.name = name
        self.answer = answer

    def load(self) -> None:
        """Nothing to import."""

    def attempt(self, profile: str, problem: Problem, *, tighter: bool = False) -> Attempt:
        del profile, tighter
        Path(os.environ[PIDS], f"{self.name}-{os.getpid()}").touch()
        return Attempt(self.answer(problem))


class Unloadable(Planted):
    """An engine whose import goes wrong in whatever way."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(name, equal)
        self.error = error

    def load(self) -> None:
        raise self.error


def equal(problem: Problem) -> np.ndarray:
    N = len(problem.covariance)
    return np.full(N, 1.0 / N)


def sleep_for_ever(problem: Problem) -> object:
    del problem
    while True:
        time.sleep(1.0)


def loop_in_c(problem: Problem) -> object:
    """Backtracks for years without ever giving the interpreter back."""
    del problem
    return re.match(r"(a|aa)+$", "a" * 200 + "b")


def crash(problem: Problem) -> object:
    del problem
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(problem: Problem) -> object:
    del problem
    sys.exit("I am done")


def talk(problem: Problem) -> np.ndarray:
    print("printed by a solver")  # noqa: T201 - that is its defect
    sys.stdout.write("written by a solver\n")
    warnings.warn("a solver warns", stacklevel=1)
    _ = np.float64(1.0) / np.zeros(1)
    return equal(problem)


def talk_from_c(problem: Problem) -> np.ndarray:
    os.write(1, b"written by a solver in C\n")
    return equal(problem)


def noise(problem: Problem) -> np.ndarray:
    values = np.random.default_rng(7).dirichlet(np.full(len(problem.covariance), 5.0))
    return np.asarray(np.minimum(values, 0.2) / np.minimum(values, 0.2).sum())


def with_first(value: float) -> Callable[[Problem], np.ndarray]:
    """That on the first asset, and the rest of 1 shared by the others."""

    def answer(problem: Problem) -> np.ndarray:
        N = len(problem.covariance)
        return np.array([value] + [(1.0 - value) / (N - 1)] * (N - 1))

    return answer


sleeper = Planted("sleeper", sleep_for_ever)
spinner = Planted("spinner", loop_in_c)
crasher = Planted("crasher", crash)
leaver = Planted("leaver", leave)
talker = Planted("talker", talk)
c_talker = Planted("c_talker", talk_from_c)
no_numbers = Planted("no_numbers", with_first(float("nan")))
negative = Planted("negative", with_first(-0.1))
unnormalised = Planted("unnormalised", lambda problem: 2.0 * equal(problem))
above_cap = Planted("above_cap", with_first(0.9))
wrong_shape = Planted("wrong_shape", lambda problem: equal(problem)[1:])
noisy = Planted("noisy", noise)
unloadable = Unloadable("unloadable", ImportError("libsolver.so: cannot open shared object file"))
ill_built = Unloadable("ill_built", ValueError("numpy.dtype size changed"))
