"""Solvers in processes of their own: one BLAS thread each, ended when they hang, and no crash that takes a run along."""

import contextlib
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.util import find_spec

from pebble import ProcessExpired
from threadpoolctl import threadpool_limits

from resources import workers
from sleevegraph.engines.problem import Problem
from sleevegraph.engines.registry import engine_named
from sleevegraph.risk_profiles.solution import Solution, unsolved
from sleevegraph.risk_profiles.solver import install_hint, solve_posed
from sleevegraph.tournament import Outcome, Task

IMPORT_SECONDS = 120.0
"""Beyond the time limit of a solve: what importing an engine may take in a new process."""

Answer = tuple[Solution, float]


@dataclass(frozen=True, slots=True)
class Pending:
    """A solve that was handed to a process."""

    task: Task
    future: "Future[Answer]"

    def outcome(self) -> Outcome:
        """Wait for the answer; a process that was ended or died is a failure with its reason."""
        try:
            solution, milliseconds = self.future.result()
        except ProcessExpired as error:
            reason = _why_ended(error, self.task.time_limit)
            if reason.startswith("timeout"):
                reason += f"; raise risk.time_limit_seconds, or take {self.task.engine} out of risk.engines"
            return Outcome(unsolved(len(self.task.problem.covariance), "failed", reason), None)
        return Outcome(solution, milliseconds)


def submit(tasks: Sequence[Task]) -> list[Pending]:
    """Hand every task to the pool, in order."""
    return [
        Pending(
            task,
            workers.submit(
                _solve,
                task.time_limit + IMPORT_SECONDS,
                task.engine,
                task.profile,
                task.problem,
                task.time_limit,
            ),
        )
        for task in tasks
    ]


def warm_up(engines: Sequence[str]) -> None:
    """Begin to import engines in every process, and do not wait: a run has bars to read in the meantime."""
    for _ in range(workers.processes()):
        workers.submit(_load_all, IMPORT_SECONDS, list(engines))


def unavailable(engines: Sequence[str]) -> dict[str, str]:
    """By engine that cannot be imported the reason, with what to install."""
    missing = {name: _missing_module(engine_named(name).module) for name in engines}
    # Imported where they will solve, and all at once: each takes seconds.
    loads = {name: workers.submit(_load, IMPORT_SECONDS, name) for name in engines if not missing[name]}
    errors = missing | {name: _import_error(load) for name, load in loads.items()}
    return {name: f"{error}; {install_hint(engine_named(name))}" for name, error in errors.items() if error}


def _missing_module(module: str) -> str:
    try:
        missing = bool(module) and find_spec(module) is None
    except ImportError as error:
        return str(error)
    return f"No module named {module!r}" if missing else ""


def _import_error(load: "Future[str]") -> str:
    try:
        return str(load.result())
    except ProcessExpired as error:
        return f"importing it: {_why_ended(error, IMPORT_SECONDS)}"


def _why_ended(error: ProcessExpired, limit: float) -> str:
    if error.exitcode == -signal.SIGALRM:
        return f"timeout: no answer within {limit:g} s, its process was ended"
    return f"died: its process ended with exit code {error.exitcode}"


def _load_all(names: Sequence[str]) -> None:
    for name in names:
        _load(name)


def _load(name: str) -> str:
    with _quiet():
        return _why_not_loaded(name)


def _why_not_loaded(name: str) -> str:
    try:
        engine_named(name).load()
    except ImportError as error:
        return str(error) or "ImportError"
    except BaseException as error:  # noqa: BLE001 - a broken installation raises whatever it likes
        return f"{type(error).__name__}: {error}"
    return ""


def _solve(name: str, profile: str, problem: Problem, limit: float) -> Answer:
    assets = len(problem.covariance)
    with _quiet():
        missing = _why_not_loaded(name)
    if missing:
        return unsolved(assets, "unavailable", f"{missing}; {install_hint(engine_named(name))}"), 0.0
    # Only what is loaded by now can be held to one thread.
    with _quiet(), threadpool_limits(limits=1):
        # The kernel ends this process when the time is over, even where a solver never returns to Python.
        signal.setitimer(signal.ITIMER_REAL, limit)
        began = time.perf_counter()
        try:
            solution = solve_posed(profile, problem, engine_named(name))
        except BaseException as error:  # noqa: BLE001 - one that calls exit() must not end the run as if it were done
            solution = unsolved(assets, "failed", f"{type(error).__name__}: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        return solution, 1e3 * (time.perf_counter() - began)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What solvers warn of themselves does not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
