import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, SensorInstigatorData, TickData, TickStatus

from commands import up as up_module
from commands.automate import SCHEDULE, SENSOR
from resources.trouble import Trouble
from tests.alert_receivers import closed_port
from tests.command_homes import refused, sleevegraph
from tests.homes import environment
from tests.waiting import until

OURS = {"bars_sensor", SENSOR, "revision_sensor"}


@contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    with environment(DAGSTER_HOME=str(home / "dagster_home")), dg.DagsterInstance.get() as instance:
        yield instance


def on(output: str) -> set[str]:
    return {words[0] for words in map(str.split, output.splitlines()) if words[1:2] == ["on"]}


def test_all_is_off_at_first_and_status_says_how_to_start_a_daemon(tmp_path: Path) -> None:
    said = sleevegraph("automate", "status", "--home", tmp_path).stdout
    assert on(said) == set()
    assert OURS | {SCHEDULE} <= {line.split()[0] for line in said.splitlines()}
    assert f"start one by sleevegraph up --home {tmp_path}" in said


def test_on_turns_on_all_but_the_schedule_twice_is_once_and_off_turns_off_all(tmp_path: Path) -> None:
    first = sleevegraph("automate", "on", "--home", tmp_path).stdout
    assert on(first) >= OURS
    assert SCHEDULE not in on(first)
    assert sleevegraph("automate", "on", "--home", tmp_path).stdout == first
    assert on(sleevegraph("automate", "status", "--home", tmp_path).stdout) == on(first)
    assert on(sleevegraph("automate", "off", "--home", tmp_path).stdout) == set()


def test_the_schedule_and_its_sensor_are_never_on_together(tmp_path: Path) -> None:
    sleevegraph("automate", "on", "--home", tmp_path)
    by_clock = on(sleevegraph("automate", "on", "--schedule", "--home", tmp_path).stdout)
    assert SCHEDULE in by_clock
    assert SENSOR not in by_clock
    by_bars = on(sleevegraph("automate", "on", "--home", tmp_path).stdout)
    assert SENSOR in by_bars
    assert SCHEDULE not in by_bars


def test_a_folder_that_is_not_there_is_no_home_and_none_is_made_by_looking(tmp_path: Path) -> None:
    for what in ("status", "off"):
        assert f"found none at {tmp_path / 'typo'}" in refused("automate", what, "--home", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_up_names_a_port_that_is_in_use_and_starts_nothing(tmp_path: Path, executed: list[list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("up", "--home", tmp_path, "--port", port)
    assert f"--port: expected one that is free on 127.0.0.1, found {port}" in said
    assert executed == []


def test_the_schedule_is_chosen_where_something_is_turned_on(tmp_path: Path) -> None:
    assert "--schedule: expected with on alone" in refused("automate", "off", "--schedule", "--home", tmp_path)


def test_status_shows_the_last_ticks_reason_with_its_time(tmp_path: Path) -> None:
    sleevegraph("automate", "on", "--home", tmp_path)
    with opened(tmp_path) as instance:
        state = next(s for s in instance.all_instigator_state() if s.name == SENSOR)
        at = datetime(2022, 3, 22, 0, 5, tzinfo=UTC).timestamp()
        tick = TickData(
            state.origin.get_id(), SENSOR, InstigatorType.SENSOR, TickStatus.SKIPPED, at,
            skip_reason="2022-03-21 waits", selector_id=state.selector_id,
        )  # fmt: skip
        instance.create_tick(tick)
    said = sleevegraph("automate", "status", "--home", tmp_path).stdout
    (line,) = [line for line in said.splitlines() if line.startswith(f"{SENSOR} ")]
    assert line.endswith("2022-03-22 00:05:00 UTC 2022-03-21 waits")


def test_a_sensor_that_rests_since_the_clock_was_set_back_is_named_and_turned_on_goes_on(tmp_path: Path) -> None:
    sleevegraph("automate", "on", "--home", tmp_path)
    ahead = (datetime.now(UTC) + timedelta(days=90)).timestamp()
    with opened(tmp_path) as instance:
        state = next(s for s in instance.all_instigator_state() if s.name == SENSOR)
        data = SensorInstigatorData(last_tick_timestamp=ahead, cursor="kept", min_interval=60)
        instance.update_instigator_state(state.with_data(data))
    assert "the clock was set back" in sleevegraph("automate", "status", "--home", tmp_path).stdout
    assert "the clock was set back" not in sleevegraph("automate", "on", "--home", tmp_path).stdout
    with opened(tmp_path) as instance:
        state = next(s for s in instance.all_instigator_state() if s.name == SENSOR)
        assert isinstance(state.instigator_data, SensorInstigatorData)
        assert state.instigator_data.last_tick_timestamp is None
        assert state.instigator_data.cursor == "kept"
        assert state.status is InstigatorStatus.RUNNING


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have replaced this process."""
    found: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, command: found.append(command))
    monkeypatch.chdir(Path.cwd())
    return found


def test_up_serves_the_page_to_this_machine_alone_unless_told_otherwise(
    tmp_path: Path, executed: list[list[str]]
) -> None:
    port = closed_port()
    result = sleevegraph("up", "--home", tmp_path, "--port", port)
    assert result.exit_code == 0, result.output
    assert executed[0][-4:] == ["-h", "127.0.0.1", "-p", str(port)]
    assert result.stderr == ""
    warned = sleevegraph("up", "--home", tmp_path, "--port", port, "--host", "0.0.0.0")  # noqa: S104 - this is what is warned of
    assert "the page has no passwords" in warned.stderr
    assert executed[1][-4:-2] == ["-h", "0.0.0.0"]  # noqa: S104 - as above


def command_of(pid: int) -> str:
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def test_up_is_refused_where_it_runs_already_whatever_the_port(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from commands.main import main; main()", "up", "--home", tmp_path, "--port"]
    with subprocess.Popen(
        [*map(str, command), str(closed_port())], stdout=subprocess.DEVNULL, start_new_session=True
    ) as first:
        try:
            lock = tmp_path / "dagster_home" / "up.lock"
            until(lambda: lock.exists() and lock.read_text() == str(first.pid), "lock")
            until(lambda: "-m dagster dev" in command_of(first.pid), "exec")
            said = refused("up", "--home", tmp_path, "--port", closed_port())
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert f"found those of process {first.pid}; end it, or use another home" in said


@pytest.mark.parametrize(("setting", "starts"), [("SLEEVEGRAPH_POSTGRES_URL", False), ("SLEEVEGRAPH_ALERTS", True)])
def test_up_says_each_trouble_in_a_line_and_does_not_start_without_dagsters_storage(
    tmp_path: Path, executed: list[list[str]], monkeypatch: pytest.MonkeyPatch, setting: str, *, starts: bool
) -> None:
    trouble = Trouble(setting, "a look at host:1", "nobody there; start it", "the rest works")
    monkeypatch.setattr(up_module, "preflight", lambda: [trouble])
    result = sleevegraph("up", "--home", tmp_path, "--port", closed_port())
    assert result.stderr == f"{setting}: tried a look at host:1, found nobody there; start it; the rest works\n"
    assert result.exit_code == (0 if starts else 1)
    assert bool(executed) is starts
