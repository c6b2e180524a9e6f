"""Solve in the pool of a process of its own: `python tests/pool_driver.py WHAT OUTPUT`."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resources.solver_pool import Pending, submit, unavailable
from sleevegraph.engines.problem import Problem
from sleevegraph.risk_profiles.solver import pose
from sleevegraph.tournament import Task
from tests.windows import window

PROFILES = ("hrp", "min_variance", "max_sharpe", "risk_parity", "barbell")
SHORT, LONG = 1.0, 60.0
"""Seconds: for who never answers, and for who would."""
HANG = ("sleeper", "spinner")
END = ("crasher", "leaver")
ANSWER = ("talker", "c_talker", "no_numbers", "negative", "unnormalised", "above_cap", "wrong_shape", "noisy")
CANNOT_LOAD = ("unloadable", "ill_built", "unimportable")


def pids(name: str) -> list[int]:
    """Of the processes in which a planted engine was asked."""
    return [int(file.name.rpartition("-")[2]) for file in Path(os.environ["PLANTED_PIDS"]).glob(f"{name}-*")]


def running(pid: int) -> bool:
    return _stat(pid)[0] not in {"Z", "gone"}


def session(pid: int) -> int:
    return int(_stat(pid)[3])


def _stat(pid: int) -> list[str]:
    """Fields of /proc from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ["gone", "0", "0", "0"]


def posed(seed: int, N: int) -> Problem:
    """Solvable, and large enough for a BLAS to use threads."""
    problem = pose(window(seed, N), cap=0.25, covariance="ledoit_wolf")
    assert isinstance(problem, Problem)
    return problem


def native_tasks() -> list[Task]:
    return [Task("native", profile, posed(seed, N), LONG) for seed, N in ((1, 8), (2, 120)) for profile in PROFILES]


def solved(tasks: Sequence[Task]) -> list[dict[str, object]]:
    return [_said(task, pending) for task, pending in zip(tasks, submit(tasks), strict=True)]


def _said(task: Task, pending: Pending) -> dict[str, object]:
    asked = {"engine": task.engine, "profile": task.profile}
    try:
        outcome = pending.outcome()
    except BaseException as error:  # noqa: BLE001 - a run would die of it
        return {**asked, "status": "raised", "reason": repr(error), "milliseconds": None, "bits": []}
    solution = outcome.solution
    return {
        **asked,
        "status": solution.status,
        "reason": solution.reason,
        "milliseconds": outcome.milliseconds,
        "bits": [weight.hex() for weight in solution.weights.tolist()],
    }


def batch() -> dict[str, object]:
    """Engines that hang or end their process first, so that all others answer beside and after them."""
    problem = posed(1, 8)
    limits = dict.fromkeys(HANG, SHORT)
    tasks = [Task(name, "min_variance", problem, limits.get(name, LONG)) for name in (*HANG, *END, *ANSWER)]
    planted = solved(tasks)
    left = [name for name in (*HANG, "crasher") if any(running(pid) for pid in pids(name))]
    return {"planted": planted, "native": solved(native_tasks()), "still running": left}


def missing() -> dict[str, object]:
    engines = ("native", "skfolio", "riskfolio", *CANNOT_LOAD)
    return {"unavailable": {name: _unavailable(name) for name in engines}, "native": solved(native_tasks())}


def _unavailable(name: str) -> dict[str, str]:
    try:
        return unavailable([name])
    except Exception as error:  # noqa: BLE001 - whatever comes out is what a run would die of
        return {"raised": f"{type(error).__name__}: {error}"}


def hang() -> dict[str, object]:
    native = solved(native_tasks())
    Path(sys.argv[2]).write_text(json.dumps({"native": native}), encoding="utf-8")
    return {"planted": solved([Task("sleeper", "hrp", posed(1, 8), 3 * SHORT)])}


if __name__ == "__main__":
    found = {"batch": batch, "missing": missing, "hang": hang}[sys.argv[1]]()
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
