"""The bits of `native` depend on the returns alone: not on BLAS threads, the run, or how the matrix lies in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.risk_profiles import Solution, solve
from tests.windows import window

ROOT = Path(__file__).resolve().parents[1]
AT_RISK = ("hrp", "min_variance", "max_sharpe", "risk_parity", "barbell")
SIZES = (5, 15, 25, 60)
MANY = (130, 1000)
"""(N, T) for which OpenBLAS splits a matrix product among threads, and LAPACK a factorisation: each changes bits."""


def bits(solution: Solution) -> str:
    return solution.weights.tobytes().hex() + np.array([solution.objective, solution.residual]).tobytes().hex()


def answers() -> dict[str, str]:
    found = {}
    for N, T in [*((N, 252) for N in SIZES), MANY]:
        returns = window(N, N, T=T) + 0.001
        for covariance in ("sample", "ledoit_wolf"):
            for profile in RISK_PROFILES:
                solution = solve(profile, returns, cap=0.25, covariance=covariance)
                assert solution.status == "native"
                found[f"{N} {covariance} {profile}"] = bits(solution)
    return found


def in_a_process_of(threads: int, hash_seed: str = "0") -> dict[str, str]:
    """The answers of a new process, and under "threads" how many BLAS says it has."""
    script = (
        "import json; from threadpoolctl import threadpool_info; from tests.test_native_determinism import answers;"
        "print(json.dumps(answers() | {'threads': max(pool['num_threads'] for pool in threadpool_info())}))"
    )
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **variables, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def one_thread() -> dict[str, str]:
    return in_a_process_of(1)


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_blas_threads_changes_no_bit(threads: int, one_thread: dict[str, str]) -> None:
    found = in_a_process_of(threads)
    assert one_thread["threads"] == 1
    assert found.pop("threads") == min(threads, os.cpu_count() or 1)
    assert len(found) == (len(SIZES) + 1) * 2 * len(RISK_PROFILES)
    assert {key: one_thread[key] for key in found} == found


def test_two_runs_give_the_same_bits(one_thread: dict[str, str]) -> None:
    assert in_a_process_of(1, hash_seed="1") == one_thread


@pytest.mark.parametrize("profile", AT_RISK)
def test_a_return_changed_in_its_last_bits_is_seen(profile: str, one_thread: dict[str, str]) -> None:
    returns = window(15, 15) + 0.001
    assert bits(solve(profile, returns, cap=0.25)) == one_thread[f"15 sample {profile}"]
    returns[7] *= 1 + 1e-13
    assert bits(solve(profile, returns, cap=0.25)) != one_thread[f"15 sample {profile}"]


@pytest.mark.parametrize("profile", RISK_PROFILES)
@pytest.mark.parametrize("N", SIZES)
def test_how_the_matrix_lies_in_memory_changes_no_bit(profile: str, N: int) -> None:
    returns = window(N, N, "near_singular") + 0.001
    layouts = {
        "F order": np.asfortranarray(returns),
        "every other column": np.repeat(returns, 2, axis=1)[:, ::2],
        "every other row": np.repeat(returns, 2, axis=0)[::2],
        "backwards": returns[::-1, ::-1].copy()[::-1, ::-1],
        "a transposed view": returns.T.copy().T,
        "misaligned": misaligned(returns),
        "lists": returns.tolist(),
    }
    for covariance in ("sample", "ledoit_wolf"):
        expected = bits(solve(profile, returns, cap=0.25, covariance=covariance))
        for name, layout in layouts.items():
            assert bits(solve(profile, layout, cap=0.25, covariance=covariance)) == expected, name


def misaligned(returns: np.ndarray) -> np.ndarray:
    """A copy that starts eight bytes off the boundaries that vector instructions like."""
    room = np.empty(returns.size + 8)
    start = 1 + (-room.ctypes.data // 8) % 8
    room[start : start + returns.size] = returns.ravel()
    return room[start : start + returns.size].reshape(returns.shape)


@pytest.mark.parametrize("profile", sorted(set(RISK_PROFILES) - {"hrp", "barbell"}))
def test_permuted_columns_get_permuted_weights(profile: str) -> None:
    for N in SIZES:
        returns, order = window(N, N) + 0.001, np.random.default_rng(N).permutation(N)
        for covariance in ("sample", "ledoit_wolf"):
            weights = solve(profile, returns, cap=0.25, covariance=covariance).weights
            permuted = solve(profile, returns[:, order], cap=0.25, covariance=covariance).weights
            np.testing.assert_allclose(permuted, weights[order], atol=1e-12, rtol=0)


@pytest.mark.parametrize("profile", ["hrp", "barbell"])
def test_bisection_depends_on_the_order_of_columns(profile: str) -> None:
    # Halves are cut at the middle of the leaves, so callers must fix an order: by name.
    moved = []
    for seed in range(5):
        returns = window(seed, 15)
        moved.append(np.abs(solve(profile, returns[:, ::-1]).weights[::-1] - solve(profile, returns).weights).max())
    assert max(moved) > 1e-3
