"""The processes of a desk: one code server with the run workers that it starts, and the daemon."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient

from tests.soak.clock import forget

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent
PATIENCE_SECONDS = 420
"""Far more than anything takes, for machines that are busy with something else."""

CODE, DAEMON = "code server", "daemon"
LOCATION = "definitions"
"""The name in workspace.yaml, under which `sleevegraph automate on` turns the sensors on."""


class Desk:
    """What runs under the moved clock. A code server of its own, since the daemon renews one that it started at every jump."""

    def __init__(self, root: Path, variables: Mapping[str, str], module: str) -> None:
        self.root = root
        self.variables = {**os.environ, **variables}
        self._socket = root / "code.sock"
        self._workspace = root / "workspace.yaml"
        self._workspace.write_text(
            f"load_from:\n  - grpc_server:\n      host: localhost\n      socket: {self._socket}\n      location_name: {LOCATION}\n"
        )
        self._commands = {
            CODE: ("dagster", "api", "grpc", "--socket", str(self._socket), "-m", module, "--location-name", LOCATION),
            DAEMON: ("dagster-daemon", "run", "-w", str(self._workspace)),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[int] = []

    def start(self, name: str) -> None:
        """Start a process; a code server answers when this returns."""
        with (self.root / f"{name}.log").open("ab") as log:
            self._running[name] = process = subprocess.Popen(
                [SCRIPTS / self._commands[name][0], *self._commands[name][1:]],
                cwd=PROJECT,
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process.pid)
        if name == CODE:
            self._until_it_answers()

    def stop(self, name: str, how: signal.Signals, *, workers: bool = True) -> None:
        """Signal a process and wait for its end; with its run workers, or leaving them to themselves."""
        process = self._running.pop(name)
        if workers:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(timeout=PATIENCE_SECONDS)

    def command(self, *arguments: str) -> str:
        """Run `sleevegraph` under the moved clock, and return what it said."""
        command = [sys.executable, "-c", "from commands.main import main; main()", *arguments, "--home", str(self.root)]
        done = subprocess.run(command, cwd=PROJECT, env=self.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def require_alive(self) -> None:
        """Fail where a process ended that nobody stopped."""
        for name, process in self._running.items():
            assert process.poll() is None, f"the {name} ended by itself: {self.said(name)}"

    def said(self, name: str) -> str:
        """The end of a process's log."""
        return (self.root / f"{name}.log").read_text(errors="replace")[-4000:]

    def close(self) -> None:
        """End everything that was started, also run workers whose code server is gone."""
        for pid in self._started:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        for name, process in self._running.items():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            del name
        for pid in self._started:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            forget(pid)
        for process in self._running.values():
            process.wait()

    def _until_it_answers(self) -> None:
        client, end = DagsterGrpcClient(socket=str(self._socket)), time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            self.require_alive()
            with suppress(DagsterUserCodeUnreachableError):
                client.ping("soak")
                return
            time.sleep(0.2)
        raise AssertionError(f"the code server did not answer within {PATIENCE_SECONDS} s: {self.said(CODE)}")
