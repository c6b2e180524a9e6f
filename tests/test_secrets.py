"""Planted secrets of every setting are nowhere but in the environment: not in files, databases, objects, logs or answers."""

import base64
import pickletools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, inspect, text

from resources import places
from resources.postgres import POSTGRES_VARIABLE, postgres_url
from tests.browser import PROJECT, variables
from tests.homes import KEYS, TemporaryHome, environment, made_home, remove_homes, small_definitions, small_market
from tests.object_store import object_store
from tests.postgres import PASSWORD, needs_postgres, postgres_server

pytestmark = [pytest.mark.slow, needs_postgres]
HOOK, OBJECTS, BROKER = "planted-hook-7f3a91", "planted-objects-c02be5", "planted-broker-51ab3d"
DRIVER, BACKFILL = ("-m", "tests.rebalance_driver"), ("backfill", "--from", KEYS[1], "--to", KEYS[1])
PICKLE = (b"\x80\x03", b"\x80\x04", b"\x80\x05")


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, quoted, and in base64 at each of the three offsets, without its ends."""
    raw = secret.encode()
    coded = {base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)}
    return {raw, quote(secret, safe="").encode(), raw.hex().encode()} | coded


def found(places_of_text: Mapping[str, bytes], secrets: tuple[str, ...]) -> dict[str, list[str]]:
    """By secret the places that show it."""
    shown = {
        secret: [where for where, content in places_of_text.items() if any(one in content for one in spellings(secret))]
        for secret in secrets
    }
    return {secret: where for secret, where in shown.items() if where}


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, bytes]]:
    """Everything that a home with secrets in its settings shows: by where it is."""
    with postgres_server() as url, object_store() as objects:
        settings = {
            **objects,
            "AWS_SESSION_TOKEN": OBJECTS,
            POSTGRES_VARIABLE: url,
            "SLEEVEGRAPH_ALERTS": f"json://127.0.0.1:9/{HOOK} http://user:{HOOK}@127.0.0.1:9/hook",
            "SLEEVEGRAPH_BROKER": f"redis://:{BROKER}@127.0.0.1:9/0",
            "SLEEVEGRAPH_RESULTS": f"redis://:{BROKER}@127.0.0.1:9/1",
            "PGPASSWORD": BROKER,
            "SLEEVEGRAPH_LOGS": "json",
        }
        with environment(**settings):
            home = made_home(small_definitions())
            assert home.ingest(small_market()).success
            home.close()
            said = {
                "a rebalance": run(home, settings, *DRIVER, str(home.root), KEYS[0]),
                "dagster instance info": run(home, settings, "-m", "dagster", "instance", "info"),
                "doctor": sleevegraph(home, settings, "doctor"),
                "alerts test": sleevegraph(home, settings, "alerts", "test"),
                "an address that nobody answers": sleevegraph(
                    home,
                    {**settings, "AWS_ENDPOINT_URL": f"http://{OBJECTS}:{OBJECTS}@127.0.0.1:9"},
                    "gates",
                    "--on",
                    KEYS[0],
                ),
                "a broker that is not there": sleevegraph(
                    home, {**settings, "SLEEVEGRAPH_EXECUTOR": "celery", "SLEEVEGRAPH_LOGS": "text"}, *BACKFILL
                ),
                "a rebalance whose log is text": run(
                    home, {**settings, "SLEEVEGRAPH_LOGS": "text"}, *DRIVER, str(home.root), KEYS[1]
                ),
                "a database that is not there": sleevegraph(
                    home, {**settings, POSTGRES_VARIABLE: url.replace("home_1", "no_such")}, "automate", "status"
                ),
            }
            yield {**everything(home), **said}
            remove_homes([home])


def run(home: TemporaryHome, settings: Mapping[str, str], *command: str) -> bytes:
    """What a process says."""
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**variables(home.root), **settings, "SLEEVEGRAPH_HOME": str(home.root)},
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert ended.stdout or ended.stderr, command
    return ended.stdout + ended.stderr


def sleevegraph(home: TemporaryHome, settings: Mapping[str, str], *arguments: str) -> bytes:
    return run(home, settings, "-c", "from commands.main import main; main()", *arguments, "--home", str(home.root))


def everything(home: TemporaryHome) -> dict[str, bytes]:
    """Content of each file of the home, each object and each table of its database."""
    files = {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    lake = home.store.folders.lake.parent
    objects = {f"object {'/'.join(parts)}": places.content(lake.joinpath(*parts))[1] for parts in places.below(lake)}
    assert len(objects) > 50
    return {**files, **objects, **rows()}


def rows() -> dict[str, bytes]:
    url = postgres_url()
    assert url is not None
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        found = {f"table {name}": str(connection.execute(text(f"TABLE {name}")).all()).encode() for name in tables}
    engine.dispose()
    assert len(found["table event_logs"]) > 10_000
    return found


def test_no_secret_is_in_any_file_object_row_log_or_answer(shown: dict[str, bytes]) -> None:
    assert found(shown, (PASSWORD, HOOK, OBJECTS, BROKER, "testing-secret")) == {}
    assert b"did not arrive" in shown["alerts test"]  # it was tried, and said so
    assert b"SLEEVEGRAPH_BROKER: tried to connect to redis://" in shown["a broker that is not there"]


@pytest.mark.parametrize("spell", sorted(spellings(HOOK)))
def test_a_secret_that_is_written_somewhere_is_found(spell: bytes) -> None:
    assert found({"clean": b"nothing", "planted": b"before " + spell + b" after"}, (HOOK,)) == {HOOK: ["planted"]}


def test_nothing_that_is_stored_is_a_pickle(shown: dict[str, bytes]) -> None:
    """Reading one runs whatever whoever wrote it liked."""
    pickles = [where for where, content in shown.items() if content.startswith(PICKLE) and is_pickle(content)]
    assert pickles == []


def test_a_pickle_is_known_by_its_bytes() -> None:
    assert is_pickle(b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00\x8c\x02ab\x94.")
    assert not is_pickle(b"\x80\x04 no pickle")


def is_pickle(content: bytes) -> bool:
    try:
        list(pickletools.genops(content))
    except ValueError:
        return False
    return True
