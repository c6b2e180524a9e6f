"""Which executor computes a run, and what a setting that does not work says, before a run and as the end of one."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from celery.exceptions import ImproperlyConfigured

from resources.celery_app import settings
from resources.celery_steps import Workers
from resources.executors import EXECUTOR_VARIABLE, NAMES, chosen_executor, executor_name, executor_troubles
from resources.home import HOME_VARIABLE
from resources.steps import place, require_place
from sleevegraph.errors import ConfigurationError
from tests.clusters import failing_job, failure_of, rebuildable
from tests.command_homes import refused
from tests.homes import TemporaryHome, environment

SECRET = "hunter2-of-the-broker"  # noqa: S105 - planted, to be looked for
BROKER, RESULTS, SCHEDULER = "SLEEVEGRAPH_BROKER", "SLEEVEGRAPH_RESULTS", "SLEEVEGRAPH_DASK"


@pytest.fixture
def silent() -> Iterator[int]:
    """Port of somebody who takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    """Port where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture(autouse=True)
def _home(tmp_path: Path) -> Iterator[None]:
    with environment(**{HOME_VARIABLE: str(tmp_path)}):
        yield


def test_it_is_this_process_unless_the_environment_says_otherwise() -> None:
    assert executor_name() == "in_process"
    assert chosen_executor() is dg.in_process_executor
    assert executor_troubles() == []


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_an_executor_of_that_name(name: str) -> None:
    with environment(**{EXECUTOR_VARIABLE: name}):
        assert chosen_executor().name == name


def test_an_unknown_name_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    with environment(**{EXECUTOR_VARIABLE: "slurm"}):
        (trouble,) = executor_troubles()
        said = refused("backfill", "--from", "2022-02-09", "--to", "2022-02-09", "--home", tmp_path / "new")
    text = "expected one of in_process, celery, dask, found 'slurm' in the environment; set one of them"
    assert f"{EXECUTOR_VARIABLE}: {text}" in said
    assert (trouble.setting, trouble.found) == (EXECUTOR_VARIABLE, text)
    assert "SLEEVEGRAPH_EXECUTOR=in_process computes them in one process" in trouble.still
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["celery", "dask"])
def test_an_extra_that_is_missing_is_named_with_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"dagster_{name}", None)
    with environment(**{EXECUTOR_VARIABLE: name}), pytest.raises(ConfigurationError) as caught:
        executor_name()
    assert f'found no module dagster_{name} in this Python; run pip install "sleevegraph[{name}]"' in str(caught.value)


def run_of(home: TemporaryHome, **variables: str) -> tuple[bool, str]:
    """Whether a run of a small job succeeds, and why not."""
    with environment(**{HOME_VARIABLE: str(home.root), **variables}):
        result = dg.execute_job(rebuildable(failing_job), home.instance)
    return result.success, failure_of(home.instance, result.run_id)


def test_a_wrong_executor_fails_runs_with_the_reason_and_not_the_page(new_home: Callable[[], TemporaryHome]) -> None:
    success, reason = run_of(new_home(), **{EXECUTOR_VARIABLE: "slurm"})
    assert not success
    assert "SLEEVEGRAPH_EXECUTOR: expected one of in_process, celery, dask, found 'slurm'" in reason


def test_a_run_without_its_broker_fails_at_once_and_nothing_that_is_stored_has_the_secret(
    new_home: Callable[[], TemporaryHome], free: int
) -> None:
    home = new_home()
    address = f"redis://user:{SECRET}@127.0.0.1:{free}/0"
    success, reason = run_of(home, **{EXECUTOR_VARIABLE: "celery", BROKER: address})
    assert not success
    assert f"{BROKER}: tried to connect to redis://127.0.0.1:{free}, found" in reason
    home.close()
    for file in home.root.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    del home.__dict__["instance"]


def test_a_broker_that_nobody_listens_at_is_named_without_its_secret(free: int) -> None:
    address = f"redis://:{SECRET}@127.0.0.1:{free}/0"
    with environment(**{EXECUTOR_VARIABLE: "celery", BROKER: address}):
        (trouble,) = executor_troubles()
    assert (trouble.setting, trouble.tried) == (BROKER, f"to connect to redis://127.0.0.1:{free}")
    assert "start the broker, or name another" in trouble.found
    assert SECRET not in str(trouble)


def test_a_broker_that_never_answers_is_given_up_on(silent: int) -> None:
    with environment(**{EXECUTOR_VARIABLE: "celery", BROKER: f"redis://127.0.0.1:{silent}/0"}):
        (trouble,) = executor_troubles()
    assert trouble.setting == BROKER
    assert "no answer within 3 s" in trouble.found or "Timeout" in trouble.found


def test_a_result_backend_that_nobody_listens_at_is_told_from_the_broker(free: int) -> None:
    with environment(**{EXECUTOR_VARIABLE: "celery", RESULTS: f"redis://:{SECRET}@127.0.0.1:{free}/0"}):
        (trouble,) = executor_troubles()
    assert (trouble.setting, trouble.tried) == (RESULTS, f"to read results from redis://127.0.0.1:{free}")
    assert SECRET not in str(trouble)


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("filesystem://relative/folder", "expected filesystem:/// and a folder"),
        ("filesystem://", "expected filesystem:/// and a folder"),
        ("amqp://host", "expected the URL of a result backend"),
        ("nonsense", "expected the URL of a result backend"),
        ("redis://[broken", "expected a URL, found one whose host or port is none"),
        ("redis://user:pa/ss@host", "expected a URL, found one whose host or port is none"),
        ("nosuch://host", "expected the URL of a result backend"),
    ],
)
def test_a_broker_that_cannot_be_meant_is_one_trouble(broker: str, expected: str) -> None:
    with environment(**{EXECUTOR_VARIABLE: "celery", BROKER: broker}):
        (trouble,) = executor_troubles()
    assert expected in trouble.found


@pytest.mark.parametrize(("name", "setting"), [("celery", RESULTS), ("dask", SCHEDULER)])
@pytest.mark.parametrize("address", ["redis://[broken", "redis://:pa55/word@host:6379"])
def test_an_address_that_is_none_is_one_trouble_and_the_end_of_a_run_and_no_word_of_it_is_said(
    name: str, setting: str, address: str, new_home: Callable[[], TemporaryHome]
) -> None:
    with environment(**{EXECUTOR_VARIABLE: name, setting: address}):
        (trouble,) = executor_troubles()
    assert trouble.setting == setting
    assert trouble.found.startswith("expected a URL, found one whose host or port is none; correct it")
    assert "pa55" not in str(trouble)
    success, reason = run_of(new_home(), **{EXECUTOR_VARIABLE: name, setting: address})
    assert not success
    assert str(trouble) in reason


def test_a_transport_that_there_is_not_is_one_trouble() -> None:
    with environment(**{EXECUTOR_VARIABLE: "celery", BROKER: "nosuch://host", RESULTS: "redis://host"}):
        (trouble,) = executor_troubles()
    assert "No such transport" in trouble.found


def test_a_folder_that_cannot_be_made_is_one_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with environment(**{EXECUTOR_VARIABLE: "celery", BROKER: f"filesystem://{tmp_path}/file/below"}):
        (trouble,) = executor_troubles()
    assert "Not a directory" in trouble.found


def test_a_scheduler_that_nobody_listens_at_is_named(free: int) -> None:
    with environment(**{EXECUTOR_VARIABLE: "dask", SCHEDULER: f"tcp://127.0.0.1:{free}"}):
        (trouble,) = executor_troubles()
    assert (trouble.setting, trouble.tried) == (SCHEDULER, f"to connect to tcp://127.0.0.1:{free}")
    assert "leave it unset for a cluster on this machine" in trouble.found


def test_what_celery_sends_and_takes_is_json() -> None:
    found = settings()
    assert {found["task_serializer"], found["result_serializer"], *found["accept_content"]} == {"json"}
    assert ImproperlyConfigured.__name__ not in json.dumps(found)


def test_a_step_is_refused_by_a_worker_of_another_place(tmp_path: Path) -> None:
    run = place()
    require_place(run, "w")
    with (
        environment(**{HOME_VARIABLE: str(tmp_path / "other")}),
        pytest.raises(ConfigurationError, match=rf"{HOME_VARIABLE}: expected {tmp_path}, .* found {tmp_path}/other"),
    ):
        require_place(run, "w")
    with (
        environment(SLEEVEGRAPH_LAKE="s3://bucket/prefix"),
        pytest.raises(ConfigurationError, match=r"SLEEVEGRAPH_LAKE: expected it unset, .* found s3://bucket \("),
    ):
        require_place(run, "w")


class Result:
    """What is known of a task."""

    def __init__(self, state: str, worker: str = "") -> None:
        self.id, self.state, self.info = "task", state, {"hostname": worker} if worker else None


@pytest.mark.parametrize(
    ("workers", "result", "expected"),
    [
        ({"a": {"task"}}, Result("STARTED", "a"), ""),
        ({"a": {"task"}}, Result("PENDING"), ""),
        ({"a": {"other"}}, Result("PENDING"), ""),
        ({"a": {"other"}, "b": set()}, Result("PENDING"), ""),
        ({"a": set()}, Result("PENDING"), "1 workers are idle and none has the message"),
        ({}, Result("PENDING"), "no worker answers"),
        ({"b": set()}, Result("STARTED", "a"), "worker a took it and is gone"),
        ({"a": {"other"}}, Result("STARTED", "a"), "worker a took it and forgot it"),
    ],
)
def test_a_task_is_hopeless_when_nobody_has_it_or_will(
    workers: dict[str, set[str]], result: Result, expected: str
) -> None:
    assert Workers(workers).hopeless(result) == expected
