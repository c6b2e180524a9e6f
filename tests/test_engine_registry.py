"""Engines by name: those that come with the library, those that others add, and those that cannot be imported."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sleevegraph.engines.registry import BUILT_IN, engine_named, engine_names
from sleevegraph.errors import ConfigurationError
from sleevegraph.risk_profiles import solve
from tests.windows import window

ROOT = Path(__file__).resolve().parents[1]
INVERSE = '''
from sleevegraph.engines.native.hrp import hrp

class Inverse:
    """The hrp of native under another name."""
    name, profiles, module, requirement = "inverse", frozenset({"hrp"}), "inverse_engine", "inverse-dist"
    max_residual, dust = 1e-6, 0.0
    def load(self): pass
    def attempt(self, profile, problem, *, tighter=False):
        return hrp(problem)
'''


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    for module in ("inverse_engine", "broken_engine"):
        sys.modules.pop(module, None)
    engine_named.cache_clear()
    yield
    engine_named.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of distributions on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def distribution(site: Path, name: str, entry_point: str, module: str, source: str) -> None:
    """What pip leaves behind: metadata with an entry point, and a module."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[sleevegraph.engines]\n{entry_point}\n", encoding="utf-8")
    (site / f"{module}.py").write_text(source, encoding="utf-8")


def python(code: str, *path: Path) -> str:
    """What a new process prints, with folders first on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_five_engines_come_with_the_library_under_their_own_names() -> None:
    assert tuple(BUILT_IN) == ("native", "skfolio", "riskfolio", "cvxportfolio", "pypfopt")
    assert engine_names() == tuple(BUILT_IN)
    assert all(engine_named(name).name == name for name in BUILT_IN)


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as error:
        solve("hrp", window(0, 5), engine="skfoilo")
    assert "expected one of native, skfolio, riskfolio, cvxportfolio, pypfopt, found 'skfoilo'" in str(error.value)
    assert "did you mean skfolio?" in str(error.value)
    with pytest.raises(ConfigurationError) as error:
        solve("hrp", window(0, 5), engine="gurobi")
    assert "did you mean" not in str(error.value)


def test_an_engine_of_another_distribution_is_listed_and_solves(site: Path) -> None:
    distribution(site, "inverse-dist", "inverse = inverse_engine:Inverse", "inverse_engine", INVERSE)
    code = (
        "from sleevegraph.engines.registry import engine_names; from sleevegraph.risk_profiles import solve\n"
        "from tests.windows import window\n"
        "print(engine_names()[-1]); found = solve('hrp', window(0, 5), engine='inverse')\n"
        "print(found.status); print(*found.weights.tolist())"
    )
    listed, status, weights = python(code, site).splitlines()
    assert (listed, status) == ("inverse", "native")
    np.testing.assert_array_equal([float(w) for w in weights.split()], solve("hrp", window(0, 5)).weights)


def test_an_added_engine_that_calls_something_else_hrp_is_found_out(site: Path) -> None:
    source = INVERSE.replace(
        "return hrp(problem)", "v = 1 / problem.volatility; return type(hrp(problem))(v / v.sum())"
    )
    distribution(site, "inverse-dist", "inverse = inverse_engine:Inverse", "inverse_engine", source)
    solution = solve("hrp", window(0, 5), engine="inverse")
    assert (solution.status, solution.rung) == ("fallback", "inverse_volatility")
    assert solution.reason.startswith("hrp: residual ")


def test_the_documented_example_is_an_engine_and_agrees_with_native(site: Path) -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    entry_point = re.search(r'^slsqp = "(.+)"$', text, re.MULTILINE)
    source = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert entry_point is not None
    assert source is not None
    distribution(site, "slsqp-dist", f"slsqp = {entry_point[1]}", "slsqp_engine", source[1])
    for cap in (1.0, 0.25):
        solution = solve("min_variance", window(0, 8), engine="slsqp", cap=cap)
        assert solution.status == "native", solution.reason
        np.testing.assert_allclose(solution.weights, solve("min_variance", window(0, 8), cap=cap).weights, atol=1e-4)


def test_what_an_added_engine_has_no_recipe_for_is_unsupported(site: Path) -> None:
    distribution(site, "inverse-dist", "inverse = inverse_engine:Inverse", "inverse_engine", INVERSE)
    assert solve("barbell", window(0, 5), engine="inverse").status == "native"
    solution = solve("min_variance", window(0, 5), engine="inverse")
    assert (solution.status, solution.reason) == ("unsupported", "inverse has no min_variance; it has hrp")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_solver_that_is_missing", "ModuleNotFoundError: No module named 'a_solver_that_is_missing'"),
        ("def (", "SyntaxError: "),
        ("raise OSError('lib.so: cannot open')", "OSError: lib.so: cannot open"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    ],
)
def test_an_added_engine_that_cannot_be_imported_is_unavailable(site: Path, source: str, reason: str) -> None:
    distribution(site, "broken-dist", "broken = broken_engine:Broken", "broken_engine", source)
    solution = solve("hrp", window(0, 5), engine="broken")
    assert solution.status == "unavailable"
    assert solution.reason.startswith(reason)
    assert "install broken-dist (pip install broken-dist) or take broken out of risk.engines" in solution.reason


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (INVERSE.replace("max_residual, dust = 1e-6, 0.0", "dust = 0.0"), "found a Inverse without max_residual"),
        (INVERSE.replace("def attempt", "def solve").replace("def load", "def start"), "without load, attempt"),
        (INVERSE.replace('"inverse", frozenset', '"other", frozenset'), "found name 'other'"),
        (INVERSE.replace('{"hrp"}', '{"hrp", "kelly"}'), "found name 'inverse' and profiles hrp, kelly"),
        (INVERSE.replace('{"hrp"}', "()"), "profiles none"),
        (INVERSE.replace("1e-6, 0.0", "float('inf'), 0.0"), "expected max_residual in (0, 0.001]"),
        (INVERSE.replace("1e-6, 0.0", "1e-6, 0.1"), "and dust in [0, 1e-06], found 1e-06 and 0.1; a looser one"),
        (INVERSE.replace("def load", "def __init__(self, key): pass\n    def load"), "a class without arguments"),
        ("Other = 1", "expected an engine there, found none"),
    ],
)
def test_an_added_object_that_is_no_engine_is_refused_with_what_it_lacks(site: Path, source: str, said: str) -> None:
    distribution(site, "inverse-dist", "inverse = inverse_engine:Inverse", "inverse_engine", source)
    with pytest.raises(ConfigurationError) as error:
        solve("hrp", window(0, 5), engine="inverse")
    assert "engine inverse: entry point inverse_engine:Inverse of inverse-dist" in str(error.value)
    assert said in str(error.value)


def test_a_name_that_shadows_a_built_in_one_is_refused(site: Path) -> None:
    distribution(site, "rival", "native = inverse_engine:Inverse", "inverse_engine", INVERSE)
    with pytest.raises(ConfigurationError, match="engine native: expected one provider, found sleevegraph, rival "):
        solve("hrp", window(0, 5))


def test_a_name_that_two_distributions_add_is_refused(site: Path) -> None:
    distribution(site, "one", "inverse = inverse_engine:Inverse", "inverse_engine", INVERSE)
    distribution(site, "two", "inverse = inverse_engine_too:Inverse", "inverse_engine_too", INVERSE)
    with pytest.raises(ConfigurationError, match=r"engine inverse: expected one provider, found (one, two|two, one) "):
        solve("hrp", window(0, 5), engine="inverse")


def test_engines_that_cannot_be_imported_are_unavailable_and_native_goes_on(tmp_path: Path) -> None:
    for module in ("skfolio", "riskfolio"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text("raise ImportError('planted')", encoding="utf-8")
    code = (
        "from sleevegraph.risk_profiles import solve; from tests.windows import window\n"
        "for engine in ('native', 'skfolio', 'riskfolio'):\n"
        "    for profile in ('hrp', 'barbell', 'equal_weight'):\n"
        "        found = solve(profile, window(0, 5), engine=engine)\n"
        "        print(engine, profile, found.status, found.reason, sep='|')"
    )
    rows = [line.split("|") for line in python(code, tmp_path).splitlines()]
    hint = "planted; install {0} (pip install {0}) or take {1} out of risk.engines"
    assert rows == [
        *(["native", profile, "native", ""] for profile in ("hrp", "barbell", "equal_weight")),
        *(["skfolio", profile, "unavailable", hint.format("skfolio", "skfolio")] for profile in ("hrp", "barbell")),
        ["skfolio", "equal_weight", "native", ""],
        *(
            ["riskfolio", profile, "unavailable", hint.format("riskfolio-lib", "riskfolio")]
            for profile in ("hrp", "barbell")
        ),
        ["riskfolio", "equal_weight", "native", ""],
    ]


def test_nothing_heavy_is_imported_before_an_engine_is_loaded_and_nothing_after() -> None:
    code = (
        "import sys; import sleevegraph.engines.registry as registry, sleevegraph.risk_profiles.solver as solver\n"
        "from tests.windows import window\n"
        "heavy = {'skfolio', 'riskfolio', 'cvxportfolio', 'pypfopt', 'cvxpy', 'clarabel', 'scs', 'sklearn', 'pandas'}\n"
        "def packages(): return {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(heavy & packages()))\n"
        "problem = solver.pose(window(0, 6), cap=0.5, covariance='ledoit_wolf')\n"
        "for engine in registry.BUILT_IN.values():\n"
        "    engine.load(); before = packages()\n"
        "    for profile in engine.profiles:\n"
        "        engine.attempt(profile, problem); engine.attempt(profile, problem, tighter=True)\n"
        "    print(engine.name, sorted(packages() - before))\n"
        "print(sorted(heavy - packages()), [name for name in sys.modules if 'mkl' in name])"
    )
    first, *later, last = python(code).splitlines()
    assert first == "[]"
    assert later == [f"{name} []" for name in BUILT_IN]
    assert last == "[] []"
