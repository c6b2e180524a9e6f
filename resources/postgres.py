"""PostgreSQL as Dagster's storage: the setting that names a database, and what is wrong with it.

The URL has a password, so it is read from the environment by whoever connects, and never stored, sent or said.
"""

import os
from importlib.util import find_spec

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION, check_alembic_revision
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from resources.trouble import Trouble

POSTGRES_VARIABLE = "SLEEVEGRAPH_POSTGRES_URL"
OWNER = "sleevegraph_home"
"""Our one table beside Dagster's, of one row: which home the database is of."""
LIMIT_SECONDS = 5
"""For the server to answer who connects."""
FORM = "postgresql://user:password@host:port/database"

_PATIENCE = {
    "connect_timeout": str(LIMIT_SECONDS),
    # A server whose machine is gone sends nothing, not even that: without these, a statement waits for hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_STILL = (
    "verify, weights, explain, gates, trades and coverage read the home's files and work without it; "
    "what opens Dagster's records does not: backfill, ingest, prune, the daemon and the page"
)
_ADVICE = {
    "password authentication failed": f"correct user or password in {POSTGRES_VARIABLE}",
    "no password supplied": f"put the password into {POSTGRES_VARIABLE}: {FORM}",
    "does not exist": "create it on the server, or correct its name",
    "timeout expired": "something listens there that is no PostgreSQL server, or a firewall drops what is sent",
    "refused": "start the server there, or correct host and port",
    "could not translate host name": "correct the host",
    "too many clients": "raise max_connections of the server",
}
_OTHERWISE = "correct the setting or the server"


class _Unfit(Exception):  # noqa: N818 - what it says follows "found"
    """What is wrong with the setting, and what to do."""


def postgres_url() -> URL | None:
    """The database that the environment names; none: SQLite. Raises `ValueError` where its URL cannot be one."""
    given = os.environ.get(POSTGRES_VARIABLE, "").strip()
    return _parsed(given) if given else None


def postgres_trouble() -> list[Trouble]:
    """Connect to the database that the environment names, and see whether Dagster could work there."""
    given = os.environ.get(POSTGRES_VARIABLE, "").strip()
    if not given:
        return []
    tried = "to read it"
    try:
        url = _parsed(given)
        tried = f"to connect to {place_of(url)}"
        require_extra()
        _try(url)
    except (ValueError, _Unfit) as error:
        return [Trouble(POSTGRES_VARIABLE, tried, str(error), _STILL)]
    return []


def place_of(url: URL) -> str:
    """What may be said of a URL."""
    where = f"{url.host}:{url.port or 5432}" if url.host else "a socket of this machine"
    return f"the database {url.database!r} at {where} as {url.username or 'the user of this process'!r}"


def require_extra() -> None:
    """Raise `ValueError` where the packages of the extra are not installed."""
    missing = next((name for name in ("psycopg2", "dagster_postgres") if find_spec(name) is None), None)
    if missing:
        raise ValueError(
            f"no package {missing}; install the extra with pip install 'sleevegraph[postgres]', or unset {POSTGRES_VARIABLE}"
        )


def _parsed(given: str) -> URL:
    expected = f"expected {FORM}"
    no_url = f"no URL ({expected}, with special characters of the password quoted, such as %40 for @); correct it"
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise ValueError(no_url) from None  # what the parser says may quote the password
    if set("@/") & set(f"{url.host}{url.database}") and not str(url.host).startswith("/"):
        raise ValueError(no_url)  # part of a password that is not quoted
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg2"}:
        raise ValueError(f"a URL of {url.drivername} ({expected}); correct it, or unset it to use SQLite")
    if not url.database:
        raise ValueError(f"a URL without a database ({expected}); name one")
    if "password" in url.query:  # where only the parser would know it for a secret
        url = url.set(password=str(url.query["password"])).difference_update_query(["password"])
    # SQLAlchemy would take another driver for `postgresql`, which dagster-postgres does not speak.
    patience = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return url.set(drivername="postgresql+psycopg2").update_query_dict(patience)


_STATE = text(
    "SELECT current_setting('transaction_read_only') = 'on' AS read_only, current_setting('server_encoding') AS encoding, "
    "to_regclass('alembic_version') IS NOT NULL AS made, "
    f"to_regclass('{OWNER}') IS NOT NULL AS ours, "
    "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create"
)


def _try(url: URL) -> None:
    """Raise `_Unfit` unless Dagster could work there."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            state = connection.execute(_STATE).one()
            if state.read_only:
                raise _Unfit("a server that is read-only, such as a standby; name the primary one")
            if state.encoding != "UTF8":
                raise _Unfit(
                    f"the encoding {state.encoding}, which cannot hold all text; make it with "
                    "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
                )
            if not (state.made and state.ours) and not state.may_create:
                raise _Unfit(
                    "no right to create tables there; let the user own the database, or grant CREATE on its schema"
                )
            if state.made:
                _require_newest(connection)
    except DBAPIError as error:
        raise _Unfit(_explained(error, url)) from error
    finally:
        engine.dispose()


def _require_newest(connection: Connection) -> None:
    settings = Config()
    settings.set_main_option("script_location", ALEMBIC_SCRIPTS_LOCATION)
    found, newest = check_alembic_revision(settings, connection)
    if found == newest:
        return
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if found in known:
        raise _Unfit(f"tables of an older Dagster (revision {found}, not {newest}); run dagster instance migrate")
    raise _Unfit(f"tables of another Dagster (revision {found}, not {newest}); install the version that made them")


def _explained(error: DBAPIError, url: URL) -> str:
    """What the driver said, without the password, and what to do."""
    said = " ".join(str(error.orig).split())
    if url.password:
        said = said.replace(str(url.password), "***")
    advice = next((advice for sign, advice in _ADVICE.items() if sign in said), _OTHERWISE)
    return f"{said or type(error.orig).__name__}; {advice}"
