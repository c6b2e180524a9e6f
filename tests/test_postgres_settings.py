"""A database that cannot be used is told in one line: which setting, what was tried, what was found, what still works."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from resources.home import Home
from resources.postgres import POSTGRES_VARIABLE, place_of, postgres_trouble, postgres_url
from tests.command_homes import CERTIFIED, finished_home, refused, sleevegraph
from tests.postgres import PASSWORD, QUOTED, PostgresServer, needs_postgres

SECRET = "do-not-show-me"  # noqa: S105 - of a server that is not there
WORKS = "verify, weights, explain, gates, trades and coverage"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What is said of a URL, which must be one line without a password."""

    def say(url: str) -> str:
        monkeypatch.setenv(POSTGRES_VARIABLE, url)
        (trouble,) = postgres_trouble()
        said = str(trouble)
        assert said.startswith(f"{POSTGRES_VARIABLE}: tried to ")
        assert WORKS in said
        assert "\n" not in said
        for secret in (SECRET, SECRET[3:], PASSWORD, QUOTED):
            assert secret not in said
        return said

    return say


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"mysql://u:{SECRET}@127.0.0.1:1/x", "a URL of mysql (expected postgresql://"),
        (f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/x", "a URL of postgresql+asyncpg (expected postgresql://"),
        (f"host=127.0.0.1 password={SECRET}", "no URL (expected postgresql://"),
        (f"postgresql://u:{SECRET}@127.0.0.1:port/x", "no URL (expected postgresql://"),
        (f"postgresql://u:a@{SECRET}@127.0.0.1:1/x", "special characters of the password quoted"),
        (f"postgresql://u:a@b/{SECRET}@127.0.0.1:1/x", "special characters of the password quoted"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1", "a URL without a database (expected postgresql://"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/x", "Connection refused"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/x?sslmoode=on", 'invalid connection option "sslmoode"'),
        (f"postgresql://u:{SECRET}@no-such-host.invalid/x", "could not translate host name"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(found: Callable[[str], str], url: str, expected: str) -> None:
    assert expected in found(url)


def test_what_was_tried_names_user_host_port_and_database(found: Callable[[str], str]) -> None:
    said = found(f"postgresql://anna:{SECRET}@127.0.0.1:1/history")
    assert "tried to connect to the database 'history' at 127.0.0.1:1 as 'anna', found " in said
    assert "start the server there, or correct host and port" in said


def test_a_listener_that_never_answers_is_given_up(found: Callable[[str], str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"postgresql://u:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/x"
        assert "timeout expired; something listens there that is no PostgreSQL server" in found(
            f"{address}?connect_timeout=2"
        )


def test_who_connects_waits_for_seconds_unless_the_url_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for query, expected in (("", "5"), ("?connect_timeout=2", "2")):
        monkeypatch.setenv(POSTGRES_VARIABLE, f"postgresql://u:p@h/x{query}")
        url = postgres_url()
        assert url is not None
        assert url.query["connect_timeout"] == expected


@needs_postgres
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda url: url.replace(QUOTED, SECRET), "correct user or password"),
        (lambda url: url.replace(f":{QUOTED}", ""), "put the password into"),
        (
            lambda url: url.replace("/home_", "/nowhere_"),
            "does not exist; create it on the server, or correct its name",
        ),
        (lambda url: f"{url}?options=-c%20default_transaction_read_only%3Don", "a server that is read-only"),
        (lambda url: url.replace("postgres:" + QUOTED, "guest:guest-password"), "no right to create tables there"),
    ],
    ids=["wrong password", "no password", "no such database", "read-only", "no right"],
)
def test_a_database_that_refuses_is_told_with_what_to_do(
    server: PostgresServer, found: Callable[[str], str], change: Callable[[str], str], expected: str
) -> None:
    url = server.new_database()
    let_in_a_guest(url)
    assert expected in found(change(url))


def let_in_a_guest(url: str) -> None:
    """One who may connect, and nothing else."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS guest")
        cursor.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
    connection.close()


@needs_postgres
def test_a_database_that_cannot_hold_all_text_is_refused(server: PostgresServer, found: Callable[[str], str]) -> None:
    url = server.new_database()
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE no_text ENCODING 'SQL_ASCII' TEMPLATE template0")
    connection.close()
    assert "found the encoding SQL_ASCII, which cannot hold all text; make it with CREATE DATABASE" in found(
        url.rsplit("/", 1)[0] + "/no_text"
    )


def test_a_password_among_the_options_is_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, f"postgresql://u@127.0.0.1:1/x?password={SECRET}")
    url = postgres_url()
    assert url is not None
    assert url.password == SECRET
    assert SECRET not in repr(url)


@needs_postgres
def test_nothing_is_said_of_a_database_that_works_nor_of_none(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres_trouble() == []
    for form in ("postgresql://", "postgres://", "postgresql+psycopg2://"):
        monkeypatch.setenv(POSTGRES_VARIABLE, server.new_database().replace("postgresql://", form))
        assert postgres_trouble() == []


@pytest.mark.parametrize("package", ["dagster_postgres", "psycopg2"])
def test_an_extra_that_is_not_installed_is_named(
    found: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert f"no package {package}; install the extra with pip install 'sleevegraph[postgres]'" in found(
        f"postgresql://u:{SECRET}@127.0.0.1:1/x"
    )


def test_backfill_says_at_once_what_is_wrong_and_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    said = refused(
        "backfill", "--from", "2022-02-19", "--to", "2022-02-19", "--source", "simulated", "--home", tmp_path
    )
    assert f"{POSTGRES_VARIABLE}: tried to connect to the database 'x' at 127.0.0.1:1 as 'u', found " in said
    assert SECRET not in said
    assert not Home(tmp_path).source.exists()


def test_what_reads_the_files_of_a_home_needs_no_database(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = finished_home(tmp_path_factory)[0]
    monkeypatch.setenv(POSTGRES_VARIABLE, f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    for arguments in (["weights", "meta_benchmark", "--on", CERTIFIED], ["gates", "--on", CERTIFIED]):
        result = sleevegraph(*arguments, "--home", root)
        assert result.exit_code == 0, result.output
        assert POSTGRES_VARIABLE not in result.output


def test_a_socket_of_this_machine_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://u@/x?host=/run/postgresql")
    url = postgres_url()
    assert url is not None
    assert place_of(url) == "the database 'x' at a socket of this machine as 'u'"
