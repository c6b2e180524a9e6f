"""Real processes and real engines of another distribution, each with one defect."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources import workers
from sleevegraph.engines.protocol import ENTRY_POINTS
from tests import planted_engines, pool_driver
from tests.pool_driver import ANSWER, END, HANG, PROFILES, running, session

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
"""Seconds: what a busy machine may take."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="asks /proc which processes live")


def install_planted_engines(site: Path) -> None:
    """What pip would leave behind: the module, and the entry points that name its engines."""
    info = site / "planted_engines-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(planted_engines.__file__, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-engines\nVersion: 1.0\n", encoding="utf-8")
    named = [f"{name} = planted_engines:{name}" for name in (*HANG, *END, *ANSWER, "unloadable", "ill_built")]
    lines = [f"[{ENTRY_POINTS}]", *named, "unimportable = no_such_module:engine", ""]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def forbid(site: Path, *modules: str) -> None:
    """Make modules unimportable, whatever is installed."""
    for module in modules:
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text(f"raise ImportError('{module} is broken here')\n", encoding="utf-8")


class Driven:
    """A process that drives the pool, and what it wrote."""

    def __init__(self, what: str, folder: Path, threads: int, *paths: Path) -> None:
        self.pids = folder / "pids"
        self.pids.mkdir(parents=True)
        self.output = folder / "found.json"
        variables = {
            "PYTHONPATH": os.pathsep.join(map(str, (*paths, PROJECT))),
            "PLANTED_PIDS": str(self.pids),
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        }
        self.process = subprocess.Popen(
            [sys.executable, pool_driver.__file__, what, str(self.output)],
            env=os.environ | variables,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> None:
        self.stdout, self.stderr = self.process.communicate(timeout=PATIENCE)
        self.found = json.loads(self.output.read_text(encoding="utf-8"))

    def rows(self, which: str) -> dict[tuple[str, str], dict]:
        return {(row["engine"], row["profile"]): row for row in self.found[which]}

    def living(self) -> list[int]:
        """Processes that this one left behind, and their children."""
        everybody = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return [pid for pid in everybody if running(pid) and session(pid) == self.process.pid]


def until(condition: Callable[[], object]) -> bool:
    """Whether it became true before patience ended."""
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Driven]]:
    """Three of them at once; one is killed while a solver hangs."""
    root = tmp_path_factory.mktemp("pool")
    install_planted_engines(root / "site")
    forbid(root / "broken", "skfolio", "riskfolio")
    found = {
        "batch": Driven("batch", root / "batch", 4, root / "site"),
        "missing": Driven("missing", root / "missing", 1, root / "broken", root / "site"),
        "hang": Driven("hang", root / "hang", 2, root / "site"),
    }
    hung = found["hang"]
    assert until(lambda: list(hung.pids.iterdir()) or hung.process.poll() is not None)
    assert hung.living(), "it ended before it could be killed"
    os.kill(hung.process.pid, signal.SIGKILL)
    for one in found.values():
        one.finish()
    yield found
    for one in found.values():
        for pid in one.living():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("engine", HANG)
def test_a_solver_that_never_returns_has_failed_and_its_process_is_ended(
    driven: dict[str, Driven], engine: str
) -> None:
    cell = driven["batch"].rows("planted")[engine, "min_variance"]
    assert cell["status"] == "failed"
    assert cell["reason"].startswith(
        "timeout: no answer within 1 s, its process was ended; raise risk.time_limit_seconds"
    )
    assert cell["milliseconds"] is None
    assert {float.fromhex(bits) for bits in cell["bits"]} == {0.0}


def test_a_solver_that_takes_its_process_down_has_failed(driven: dict[str, Driven]) -> None:
    cell = driven["batch"].rows("planted")["crasher", "min_variance"]
    assert cell["status"] == "failed"
    assert cell["reason"] == f"died: its process ended with exit code {-signal.SIGSEGV}"


def test_a_solver_that_calls_exit_has_failed_and_ends_no_run(driven: dict[str, Driven]) -> None:
    cell = driven["batch"].rows("planted")["leaver", "min_variance"]
    assert (cell["status"], bool(cell["reason"])) == ("failed", True), cell["reason"]


def test_no_process_of_a_failed_solve_is_left_running(driven: dict[str, Driven]) -> None:
    for name in (*HANG, "crasher"):
        assert list(driven["batch"].pids.glob(f"{name}-*")), f"{name} was never asked"
    assert driven["batch"].found["still running"] == []


@pytest.mark.parametrize(
    ("engine", "defect"),
    [
        ("no_numbers", "8 of 8 weights are not finite"),
        ("negative", "weight -0.1 is negative"),
        ("unnormalised", "weights add to 2, expected 1"),
        ("above_cap", "weight 0.9 is above the cap 0.25"),
        ("wrong_shape", "expected 8 weights, found shape (7,)"),
        ("noisy", "residual "),
        ("talker", "residual "),
    ],
)
def test_weights_that_break_a_rule_are_never_native_and_the_reason_names_the_rule(
    driven: dict[str, Driven], engine: str, defect: str
) -> None:
    cell = driven["batch"].rows("planted")[engine, "min_variance"]
    assert cell["status"] == "fallback"
    for rung in ("min_variance", "tighter", "ridge"):
        assert f"{rung}: {defect}" in cell["reason"]
    assert "stands in" in cell["reason"]
    assert sum(map(float.fromhex, cell["bits"])) == pytest.approx(1.0)


@pytest.mark.parametrize("what", ["batch", "missing", "hang"])
def test_tasks_beside_and_after_solvers_that_hang_or_die_are_solved(driven: dict[str, Driven], what: str) -> None:
    rows = driven[what].found["native"]
    assert len(rows) == 2 * len(PROFILES)
    assert {(row["status"], row["reason"]) for row in rows} == {("native", "")}
    assert all(row["milliseconds"] > 0 for row in rows)


def test_the_number_of_blas_threads_changes_no_bit_of_native(driven: dict[str, Driven]) -> None:
    one, two, four = ([row["bits"] for row in driven[what].found["native"]] for what in ("missing", "hang", "batch"))
    assert one == two == four
    assert len({tuple(bits) for bits in one}) == len(one), "no two of these portfolios are the same one"


def test_what_python_prints_and_warns_in_a_solver_is_not_in_the_runs_output(driven: dict[str, Driven]) -> None:
    batch = driven["batch"]
    assert "talker" in {file.name.rpartition("-")[0] for file in batch.pids.iterdir()}
    assert "printed by a solver" not in batch.stdout + batch.stderr
    assert "written by a solver\n" not in batch.stdout + batch.stderr
    assert "a solver warns" not in batch.stderr


def test_what_c_code_prints_in_a_solver_is_not_in_the_runs_output(driven: dict[str, Driven]) -> None:
    batch = driven["batch"]
    assert "c_talker" in {file.name.rpartition("-")[0] for file in batch.pids.iterdir()}
    assert "written by a solver in C" not in batch.stdout


INSTALL = "install {0} (pip install {0}) or take {1} out of risk.engines"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("skfolio", f"skfolio is broken here; {INSTALL.format('skfolio', 'skfolio')}"),
        ("riskfolio", f"riskfolio is broken here; {INSTALL.format('riskfolio-lib', 'riskfolio')}"),
        (
            "unloadable",
            f"libsolver.so: cannot open shared object file; {INSTALL.format('planted-engines', 'unloadable')}",
        ),
        (
            "unimportable",
            f"ModuleNotFoundError: No module named 'no_such_module'; {INSTALL.format('planted-engines', 'unimportable')}",
        ),
    ],
)
def test_an_engine_that_cannot_be_imported_says_why_and_what_to_install(
    driven: dict[str, Driven], engine: str, said: str
) -> None:
    assert driven["missing"].found["unavailable"][engine] == {engine: said}
    assert driven["missing"].found["unavailable"]["native"] == {}


def test_an_engine_whose_import_fails_in_another_way_is_unavailable_too(driven: dict[str, Driven]) -> None:
    said = driven["missing"].found["unavailable"]["ill_built"]
    assert "numpy.dtype size changed" in said.get("ill_built", ""), said


def test_no_worker_outlives_a_run_that_was_killed_while_a_solver_hung(driven: dict[str, Driven]) -> None:
    hung = driven["hang"]
    assert hung.process.returncode == -signal.SIGKILL
    assert "planted" not in hung.found
    assert until(lambda: not hung.living()), hung.living()


@pytest.mark.parametrize("what", ["batch", "missing"])
def test_no_process_outlives_a_run_that_ended(driven: dict[str, Driven], what: str) -> None:
    assert driven[what].process.returncode == 0, driven[what].stderr[-2000:]
    assert until(lambda: not driven[what].living())


def test_a_clock_that_is_set_forward_ends_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    call = workers.submit(time.sleep, 60.0, 1.0)
    time.sleep(0.3)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600.0)
    assert call.result() is None
