"""Dagster's SQLite event log with its connections kept open.

The stock class builds an engine, opens the file and compiles every statement anew for each event and each read.

Private to Dagster: `_connect`, `_initdb`, `_initialized_dbs`, `_db_lock`, and the name of the index.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

INDEX = INDEX_SHARD_NAME
"""Name of the file that all runs share; every run has another one, named after it."""
BUSY_SECONDS = 60


class PooledSqlite(SqliteEventLogStorage):
    """Keeps the engine of the index and of the run that was read or written last."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Use the files in `base_dir`, as the stock class lays them out."""
        self._engines: dict[str, Engine] = {}
        self._known_tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; one that was there stays."""
        if table_name not in self._known_tables and super().has_table(table_name):
            self._known_tables.add(table_name)
        return table_name in self._known_tables

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._begin(shard) as connection:
            yield connection

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        """Begin a transaction; the lock is held."""
        engine = self._engine(shard)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        with engine.connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            for other in set(self._engines) - {INDEX}:
                self._engines.pop(other).dispose()
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            )
            listen(engine, "connect", _relax)
            self._engines[shard] = engine
        return self._engines[shard]

    def dispose(self) -> None:
        """Close what is open."""
        for engine in self._engines.values():
            engine.dispose()
        super().dispose()


def _relax(connection: Any, _record: object) -> None:
    # With a write-ahead log this survives the death of the process; a power cut may lose the last events, not the file.
    connection.execute("PRAGMA synchronous=NORMAL")
