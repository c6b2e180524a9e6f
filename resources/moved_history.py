"""The history of a home that began with SQLite, copied to PostgreSQL: every row, with the events numbered anew.

With SQLite, the events of a run are in a file of its own, and those of assets, checks and ends of runs a second time in an
index; each file has its own numbers. PostgreSQL has one table, whose numbers tell both orders: of a run's events, and of what
all runs said of an asset. So the index keeps its order, the other events go in between where their run has them, and whatever
names an event of the index by number is given the new one.

Private to Dagster: the tables of its schema, the files of its SQLite storage, and the texts with numbers in them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from sqlalchemy import URL, Connection, Table, create_engine, func, select, text
from sqlalchemy.event import listen
from sqlalchemy.pool import NullPool

from resources.history_numbers import Numbers
from resources.run_history import IN_PROGRESS
from sleevegraph.errors import ConfigurationError

RUNS, INDEX, SCHEDULES = (
    Path("history", "runs.db"),
    Path("history", "runs", "index.db"),
    Path("schedules", "schedules.db"),
)
"""Dagster's SQLite files under DAGSTER_HOME; the events of a run are beside the index."""
BUSY_SECONDS = 20
CHUNK = 1000
"""Rows that are held at once."""

_TABLES = {RUNS: RunStorageSqlMetadata, INDEX: SqlEventLogStorageMetadata, SCHEDULES: ScheduleStorageSqlMetadata}
_OF_THE_DATABASE = {"alembic_version", "secondary_indexes", "instance_info", "daemon_heartbeats"}
_EVENTS = SqlEventLogStorageTable
_REVISION = text("SELECT version_num FROM alembic_version")

Row = dict[str, Any]


def copy_history(dagster_home: Path, url: URL) -> dict[str, int]:
    """Copy every row in one transaction, while nobody writes on either side; return the count by table.

    Raises
    ------
    ConfigurationError
        Where there is no history, a run is in progress, the schemas differ, or the database has a history of its own.
    """
    target = create_engine(url, poolclass=NullPool)
    with ExitStack() as held:
        files = {name: held.enter_context(_held(dagster_home / name)) for name in _TABLES}
        _require_ended(dagster_home, files[RUNS])
        new = held.enter_context(target.begin())
        _require_same_schema(dagster_home, files, new)
        _require_empty(new, url)
        shards = [path for path in sorted((dagster_home / INDEX).parent.glob("*.db")) if path.name != INDEX.name]
        numbers = Numbers.of(files[INDEX], [(path.name, partial(_events_of, path)) for path in shards])
        counts = {}
        for name, table in _tables():
            rows = (
                _numbered_events(files[INDEX], shards, numbers)
                if table is _EVENTS
                else (numbers.renumbered(table.name, row) for row in _rows(files[name], table))
            )
            counts[table.name] = _insert(new, table, rows)
        return counts


def _tables() -> list[tuple[Path, Table]]:
    return [
        (name, table)
        for name, metadata in _TABLES.items()
        for table in metadata.sorted_tables
        if table.name not in _OF_THE_DATABASE
    ]


@contextmanager
def _held(path: Path, begin: str = "BEGIN IMMEDIATE") -> Iterator[Connection]:
    """Open a SQLite file in which nobody else writes for as long as the block runs."""
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: expected the SQLite history of a home, found no file; name a home that has one"
        )
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
    # The driver would begin by itself, and only with the first write.
    listen(engine, "connect", lambda made, _: setattr(made, "isolation_level", None))
    listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    with engine.begin() as connection:
        yield connection


def _require_ended(dagster_home: Path, runs: Connection) -> None:
    wanted = select(RunsTable.c.run_id, RunsTable.c.status).where(
        RunsTable.c.status.in_([status.value for status in IN_PROGRESS])
    )
    found = runs.execute(wanted).all()
    if found:
        raise ConfigurationError(
            f"{dagster_home}: expected no run in progress, found {len(found)}, first {found[0].run_id} ({found[0].status}); "
            "wait for its end, or cancel it on Dagster's page with the variable unset, and run this again"
        )


def _require_same_schema(dagster_home: Path, files: Mapping[Path, Connection], new: Connection) -> None:
    expected = new.execute(_REVISION).scalar()
    for name, connection in files.items():
        found = connection.execute(_REVISION).scalar()
        if found != expected:
            raise ConfigurationError(
                f"{dagster_home / name}: expected revision {expected} of Dagster's tables, as the database has it, found {found}; "
                "run dagster instance migrate with the variable unset"
            )


def _require_empty(new: Connection, url: URL) -> None:
    """Lock every table as well: a daemon that is on already would write between our rows."""
    names = [table.name for _, table in _tables()]
    new.execute(text(f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE"))
    full = [table.name for _, table in _tables() if new.execute(select(table).limit(1)).first()]
    if full:
        raise ConfigurationError(
            f"database {url.database!r}: expected empty tables, found rows in {', '.join(full)}; name an empty database, "
            "since two histories cannot be merged"
        )


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    query = select(table).order_by(table.c.id).execution_options(yield_per=CHUNK)
    for row in connection.execute(query):
        yield dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _events_of(path: Path) -> Iterator[Row]:
    with _held(path, "BEGIN") as run:
        yield from _rows(run, _EVENTS)


def _numbered_events(index: Connection, shards: Sequence[Path], numbers: Numbers) -> Iterator[Row]:
    yield from (numbers.renumbered(_EVENTS.name, row) for row in _rows(index, _EVENTS))
    for path in shards:
        for row in _events_of(path):
            number = numbers.between.get((path.name, row["id"]))
            if number is not None:  # the others are in the index
                yield {**row, "id": number}


def _insert(new: Connection, table: Table, rows: Iterator[Row]) -> int:
    count = 0
    while chunk := list(islice(rows, CHUNK)):
        new.execute(table.insert(), chunk)
        count += len(chunk)
    if count:
        last = select(func.max(table.c.id)).scalar_subquery()
        new.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last)))
    return count
