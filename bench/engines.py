"""Time the engines on the same posed problems, in one process with one BLAS thread, in CPU time.

    python -m bench.engines

Two tables: one solve by profile and number of assets; and 73 windows of eight profiles, from returns to verified
weights, with the ratios to native. Returns are a seeded three-factor model; medians of interleaved rounds.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from sleevegraph.engines.problem import Problem
from sleevegraph.engines.protocol import SOLVED, Engine
from sleevegraph.engines.registry import engine_named
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.panel import Floats
from sleevegraph.risk_profiles.solver import EQUALLY_WEIGHTED, equally_weighted, pose, solve_posed

Result = TypeVar("Result")

ENGINES = ("native", "skfolio", "riskfolio")
SIZES = (5, 15, 30, 100)
T, N, WINDOWS = 252, 15, 73
CAP, COVARIANCE = 0.25, "ledoit_wolf"
ROUNDS = {"solve": 5, "walk": 3}
REPEATS = {"native": 40}
"""A native solve is too short to be timed alone."""
WANTED = {"skfolio": 30, "riskfolio": 100}
"""By how much native is to be faster over the walk."""


def random_window(seed: int, assets: int) -> Floats:
    """Returns (T, assets) of a three-factor model with volatilities a factor of twenty apart."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(T, 3)) @ rng.normal(size=(3, assets))
    returns: Floats = 0.02 * (factors + rng.normal(size=(T, assets))) * rng.uniform(0.1, 2.0, assets) + 0.001
    return returns


def posed(returns: Floats) -> Problem:
    """A problem of which nothing has been computed yet but what posing it needs."""
    problem = pose(returns, cap=CAP, covariance=COVARIANCE)
    if isinstance(problem, str):
        raise TypeError(problem)
    return problem


def walk(engine: Engine, windows: list[Floats]) -> int:
    """Every profile of every window; how many did not come out native."""
    return sum(solve_all(returns, engine) for returns in windows)


def solve_all(returns: Floats, engine: Engine) -> int:
    """All eight profiles of one window, as a rebalance solves them; how many did not come out native."""
    problem = posed(returns)
    solutions = [
        equally_weighted(profile, problem.returns, problem.upper)
        if profile in EQUALLY_WEIGHTED
        else solve_posed(profile, problem, engine)
        for profile in RISK_PROFILES
    ]
    return sum(solution.status != "native" for solution in solutions)


def timed(task: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds of this process, on all its threads, and what the task gave."""
    start = time.process_time()
    found = task()
    return time.process_time() - start, found


def one_solve(engine: Engine, profile: str, returns: Floats) -> float:
    """Milliseconds of one verified solve, posing not included."""
    problems = [posed(returns) for _ in range(REPEATS.get(engine.name, 1))]
    taken, _ = timed(lambda: [solve_posed(profile, problem, engine) for problem in problems])
    return 1000.0 * taken / len(problems)


def solves(engines: list[Engine]) -> dict[tuple[str, int, str], float]:
    """Median milliseconds of one solve by (profile, assets, engine)."""
    times = defaultdict(list)
    for seed in range(ROUNDS["solve"]):
        for assets in SIZES:
            returns = random_window(seed, assets)
            for profile in SOLVED:
                for engine in engines:
                    times[profile, assets, engine.name].append(one_solve(engine, profile, returns))
    return {key: statistics.median(taken) for key, taken in times.items()}


def walks(engines: list[Engine]) -> dict[str, tuple[float, int]]:
    """By engine median seconds for all windows and profiles, and how many cells did not come out native."""
    windows = [random_window(seed, N) for seed in range(WINDOWS)]
    times, stood_in = defaultdict(list), dict.fromkeys(ENGINES, 0)
    for _ in range(ROUNDS["walk"]):
        for engine in engines:
            taken, stood_in[engine.name] = timed(partial(walk, engine, windows))
            times[engine.name].append(taken)
    return {name: (statistics.median(taken), stood_in[name]) for name, taken in times.items()}


def print_solves(times: dict[tuple[str, int, str], float]) -> None:
    """One row per profile, one column per number of assets."""
    print(f"\nCPU ms of one verified solve, {' / '.join(ENGINES)}, T = {T}, cap {CAP}, {COVARIANCE}\n")
    print(f"| profile | {' | '.join(f'N = {assets}' for assets in SIZES)} |")
    print(f"|---|{'---|' * len(SIZES)}")
    for profile in SOLVED:
        cells = (" / ".join(f"{times[profile, assets, name]:.3g}" for name in ENGINES) for assets in SIZES)
        print(f"| {profile} | {' | '.join(cells)} |")


def print_walks(found: dict[str, tuple[float, int]]) -> None:
    """One row per engine, with its ratio to native."""
    print(f"\nCPU s of {WINDOWS} windows x {len(RISK_PROFILES)} profiles, N = {N}, from returns to verified weights\n")
    print("| engine | seconds | times native | wanted | cells not native |")
    print("|---|---|---|---|---|")
    for name, (seconds, stood_in) in found.items():
        wanted = f"{WANTED[name]}" if name in WANTED else ""
        print(f"| {name} | {seconds:.3f} | {seconds / found['native'][0]:.1f} | {wanted} | {stood_in} |")


def main() -> None:
    """Print both tables."""
    engines = [engine_named(name) for name in ENGINES]
    with threadpool_limits(1):
        for engine in engines:
            engine.load()
            solve_all(random_window(0, N), engine)
        print_walks(walks(engines))
        print_solves(solves(engines))


if __name__ == "__main__":
    main()
