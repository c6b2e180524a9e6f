"""Dagster's SQLite event log with its connections kept open.

The stock class builds an engine, opens the file and compiles every statement anew for each of the thousands of events
of a range run, which takes longer than computing what the events report.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import Field, Noneable
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._record import replace
from dagster._serdes import ConfigurableClassData, serialize_value
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

from sleevegraph.errors import ConfigurationError

BUSY_SECONDS = 60


class PooledSqliteEventLog(SqliteEventLogStorage):
    """Keeps the engine of the index and of the run that was written last."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Use the shards in `base_dir`, as the stock class lays them out."""
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Field]:
        """`base_dir`: by default where the stock class has it."""
        return {"base_dir": Field(Noneable(str), is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteEventLog":
        """Build from dagster.yaml."""
        base_dir, home = config_value.get("base_dir"), os.environ.get("DAGSTER_HOME")
        if not base_dir and not home:
            raise ConfigurationError(
                "event log: expected DAGSTER_HOME, or base_dir in dagster.yaml, found neither; set DAGSTER_HOME"
            )
        return cls(base_dir or str(Path(str(home)) / "history" / "runs"), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Plan a check for every partition of a range without storing the whole grid beside each of them.

        The stock method writes the partition definition (255 kB) once per check and partition: 0.4 GB for 74 rebalances.
        """
        planned = event.get_dagster_event().event_specific_data
        if not isinstance(planned, AssetCheckEvaluationPlanned) or planned.partitions_subset is None:
            super()._store_asset_check_evaluation_planned(event, event_id)
            return
        slim = event.get_dagster_event()._replace(event_specific_data=replace(planned, partitions_subset=None))
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event._replace(dagster_event=slim)),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": event_id,
        }
        keys = planned.partitions_subset.get_partition_keys()
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert().values([{**row, "partition": key} for key in keys]))

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            for other in set(self._engines) - {INDEX_SHARD_NAME}:
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
