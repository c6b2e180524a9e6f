"""An asset materialised alone behind a gate that does not stand open is refused, whoever asks for it."""

import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from commands.home import create
from definitions import defs
from resources.lake import digest
from resources.receipts import State
from tests.browser import PROJECT, Dev, dagster_dev, variables
from tests.command_homes import KEYS, own_copy, refused
from tests.homes import SHORT, TemporaryHome, checks_of

pytestmark = pytest.mark.slow

STREAMS, CELLS = (SHORT, "synthetic_returns"), (SHORT, "solver_cells")
JUDGED, ASKED = "/".join(STREAMS), "/".join(CELLS)
SIGN_TEST = "directional_sign_test"

GATES = {
    "failed": (KEYS[0], State.FAILED, "SHORT_NOT_INVERTED"),
    "missing": (KEYS[1], State.ABSENT, "no receipt"),
    "stale": (KEYS[2], State.STALE, "changed after it was judged"),
}
"""Rebalance at which the planted home's sign test of the streams stands so, and what a refusal says of it."""

LAUNCH = """mutation LaunchPipelineExecution($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { id } } }
}"""
RUN = """query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status eventConnection { events {
  ... on ExecutionStepFailureEvent { stepKey failureMetadata { description } }
} } } } }"""
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> TemporaryHome:
    """A home of the project's own manifest with the gate of one sleeve's solvers in each of the three states."""
    home = TemporaryHome(own_copy(tmp_path_factory, tmp_path_factory.mktemp("planted")), defs)
    create(home.store.folders)
    home.plant(STREAMS, KEYS[0], pl.col("raw").alias("synthetic"))
    assert home.run(KEYS[0], checks=[(STREAMS, SIGN_TEST)]).success
    home.close()
    home.store.receipts.path(STREAMS, SIGN_TEST, KEYS[1]).unlink()
    home.plant(STREAMS, KEYS[2], rows=pl.int_range(pl.len()) > 0)
    for key, state, _ in GATES.values():
        assert home.store.receipts.state(STREAMS, SIGN_TEST, key)[0] is state
    return home


def through_the_page(home: TemporaryHome) -> dict[str, str]:
    """Send what the page's "Materialize" sends for one partition."""
    with dagster_dev(home.root, home.root / "dev.log", "definitions") as dev:
        runs = {key: _launched(dev, key) for key, _, _ in GATES.values()}
        return {key: _refusal(dev, run) for key, run in runs.items()}


def _launched(dev: Dev, key: str) -> str:
    checks = [name for path, name in checks_of(defs) if path == CELLS]
    params = {
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
        "runConfigData": "{}\n",
        "selector": {
            "repositoryLocationName": "definitions",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": CELLS}],
            "assetCheckSelection": [{"name": name, "assetKey": {"path": CELLS}} for name in checks],
        },
    }
    answer = dev.graphql(LAUNCH, params=params)["launchPipelineExecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["id"])


def _refusal(dev: Dev, run: str) -> str:
    def ended() -> dict[str, Any]:
        found: dict[str, Any] = dev.graphql(RUN, id=run)["runOrError"]
        return found if found["status"] in ENDED else {}

    found = dev.wait(f"end of run {run}", ended)
    assert found["status"] == "FAILURE"
    (failure,) = filter(None, found["eventConnection"]["events"])
    assert failure["stepKey"] == "__".join(CELLS)
    return str(failure["failureMetadata"]["description"])


def through_dagster(home: TemporaryHome) -> dict[str, str]:
    """Run `dagster asset materialize`."""
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "definitions", "--select", ASKED]
    found = {}
    for key, _, _ in GATES.values():
        ran = subprocess.run(
            [*command, "--partition", key],
            cwd=PROJECT,
            env=variables(home.root),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1, ran.stderr[-3000:]
        found[key] = ran.stdout + ran.stderr
    return found


def through_sleevegraph(home: TemporaryHome) -> dict[str, str]:
    """Run our own command."""
    return {
        key: refused("backfill", "--select", ASKED, "--from", key, "--to", key, "--home", home.root)
        for key, _, _ in GATES.values()
    }


WAYS = {"page": through_the_page, "dagster": through_dagster, "sleevegraph": through_sleevegraph}


@pytest.fixture(scope="module", params=WAYS)
def refusals(request: pytest.FixtureRequest, planted: TemporaryHome) -> dict[str, str]:
    """What is said at each rebalance of the table; whoever asks, partitions and verdicts stay as they were."""
    before = stored(planted)
    found = WAYS[request.param](planted)
    assert stored(planted) == before, "a refused run wrote something"
    return found


def stored(home: TemporaryHome) -> dict[str, str]:
    """Hashes of everything in the lake and of every receipt."""
    receipts = {str(file): digest(file) for file in home.store.receipts.root.rglob("*.json")}
    return home.hashes(bars=True) | receipts


@pytest.mark.parametrize("gate", GATES)
def test_a_downstream_asset_alone_is_refused(refusals: dict[str, str], gate: str) -> None:
    key, _, said = GATES[gate]
    found = [line for line in refusals[key].splitlines() if f"{SIGN_TEST} of {JUDGED} at {key}" in line]
    assert found, refusals[key]
    assert ASKED in found[0]
    assert said in found[0]
    assert f"materialise {JUDGED}" in found[0]
