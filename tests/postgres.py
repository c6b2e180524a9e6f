"""A real PostgreSQL server of one's own, from the system's package, in a folder that is gone afterwards."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self

import psycopg2
import pytest

PASSWORD = "a-password/that:needs@quoting%"  # noqa: S105 - of a server that lives as long as a test
QUOTED = "a-password%2Fthat%3Aneeds%40quoting%25"
_USER = "postgres"
_MEMORY = Path("/dev/shm")  # noqa: S108 - only a faster place for a folder with a name of its own
_START_SECONDS = 30
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_wal_size=256MB")


def _program(name: str) -> str | None:
    """Debian keeps the server's programs out of PATH."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def _as_user() -> dict[str, str]:
    """Whom to run the server as: it refuses root."""
    return {"user": _USER, "group": _USER} if os.geteuid() == 0 else {}


def _missing() -> str:
    if _program("initdb") is None or _program("postgres") is None:
        return "no initdb and postgres: install the package postgresql"
    if _as_user() and _USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return "the server refuses to run as root, and there is no user postgres"
    return ""


needs_postgres = pytest.mark.skipif(bool(_missing()), reason=_missing())


class PostgresServer:
    """A server on a free port of this machine; starts when it is entered."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sleevegraph-postgres-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.port = _free_port()
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", password: str = QUOTED) -> str:
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """URL of a database that is empty."""
        name = f"home_{next(self._numbers)}"
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.url(name)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder]
            options += [word for setting in _FAST for word in ("-c", setting)]
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self.folder / "data", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_user(),
            )
        limit = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Cut every connection, and end."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if _as_user():
            for path in (self.folder, secret):
                shutil.chown(path, _USER, _USER)
        options = ["-U", _USER, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [_program("initdb"), "-D", self.folder / "data", *options],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **_as_user(),
        )

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of an empty database, with its password, of a server that lives as long as the block."""
    with PostgresServer() as server:
        yield server.new_database()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
