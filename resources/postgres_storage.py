"""Dagster's PostgreSQL storages with a connection kept open, and with errors that name the setting.

The stock classes connect and log in for each statement. Here a connection is kept and tried before it is used, so that one
which the server has cut is replaced. Where the server does not answer, the stock retries go on for some seconds.

Private to Dagster: `_engine`, `_connect` and `connect` of the three storages.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException, create_pg_connection, set_pg_statement_timeout
from sqlalchemy import URL, Boolean, Column, Connection, Engine, MetaData, Table, Text, create_engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from resources.alive import ProvesLife
from resources.home import Home
from resources.lanes import KnowsLanes
from resources.origin import recorded_origin
from resources.postgres import OWNER, POSTGRES_VARIABLE, place_of, postgres_trouble
from resources.records import begun_in_sqlite, record_postgres
from resources.slim_plans import SlimPlans
from sleevegraph.errors import ConfigurationError, LakeError

SPARE = 20
"""Connections that may be open beside the one that is kept: daemon and page ask from many threads at once."""
_OWNER = Table(OWNER, MetaData(), Column("one", Boolean, primary_key=True), Column("made", Text, nullable=False))


class _Kept:
    """A storage whose statements go through an engine that keeps a connection; mixed in before the stock class."""

    def __init__(self, url: URL, engine: Engine) -> None:
        """Make the tables where there are none."""
        self._url = url
        super().__init__(url.render_as_string(hide_password=False))
        self._engine = engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit statements of the page; the stock method would no longer try connections before they are used."""
        self._engine = _engine(self._url, pool_recycle=pool_recycle, max_overflow=max_overflow)
        listen(self._engine, "connect", lambda made, _: set_pg_statement_timeout(made, statement_timeout))

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with _answering(self._url), create_pg_connection(self._engine) as connection:
            yield connection

    def connect(self, run_id: str | None = None) -> Any:  # noqa: ARG002 - the stock storage of schedules has it
        """Connect, as runs and schedules call it."""
        return self._connect()

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self._engine.dispose()


class PostgresEvents(_Kept, ProvesLife, KnowsLanes, SlimPlans, PostgresEventLogStorage):
    """Events of runs, assets and verdicts of checks."""


class PostgresRuns(_Kept, PostgresRunStorage):
    """Runs, their tags and snapshots, the queue of backfills and the daemon's marks."""


class PostgresSchedules(_Kept, PostgresScheduleStorage):
    """Schedules, sensors and their ticks."""


def postgres_parts(url: URL) -> tuple[PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage]:
    """Storages of runs, events and schedules in one database, which share their connections.

    Raises ConfigurationError where the database cannot be used, or is another home's.
    """
    engine = _engine(url, max_overflow=SPARE)
    try:
        parts = PostgresRuns(url, engine), PostgresEvents(url, engine), PostgresSchedules(url, engine)
        _require_own(engine, url)
    except (DagsterPostgresException, DBAPIError) as error:
        engine.dispose()
        raise ConfigurationError(
            next(map(str, postgres_trouble()), f"{POSTGRES_VARIABLE}: {place_of(url)} failed: {error}")
        ) from error
    except ConfigurationError:
        engine.dispose()
        raise
    return parts


def _require_own(engine: Engine, url: URL) -> None:
    """Take the database for this home, unless it is another one's: two would launch and prune each other's runs.

    A home is known by where it was made, which goes along when it is moved or restored. It remembers that its records are
    in PostgreSQL, unless it has others in SQLite: those may yet be moved, or gone on with.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Home(Path(given).parent) if given else None
    made = recorded_origin(home) if home else None
    if home is None or made is None:
        return
    with engine.connect() as connection:
        with suppress(DBAPIError):  # another process was faster
            _OWNER.create(connection, checkfirst=True)
        connection.execute(insert(_OWNER).values(one=True, made=str(made)).on_conflict_do_nothing())
        found = connection.execute(select(_OWNER.c.made)).scalar()
    if found != str(made):
        raise ConfigurationError(
            f"{POSTGRES_VARIABLE}: expected {place_of(url)} to be empty or of this home, made as {made}, found that of the home "
            f"made as {found}; make a database for each home, or, where this home takes the other's place for good, "
            f"DROP TABLE {OWNER} there"
        )
    if not begun_in_sqlite(home):
        with suppress(LakeError):  # who may only read here, or has a full disk, can do without
            record_postgres(home)


def _engine(url: URL, **limits: int) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_size=1, **limits)


@contextmanager
def _answering(url: URL) -> Iterator[None]:
    try:
        yield
    except DagsterPostgresException as error:
        raise ConfigurationError(
            f"{POSTGRES_VARIABLE}: expected {place_of(url)} to answer, found no connection for some seconds "
            f"({_cause(error)}); see to the server and start this again: what is in the lake stays"
        ) from error


def _cause(error: DagsterPostgresException) -> str:
    return " ".join(str(getattr(error.__cause__, "orig", "") or error).split())
