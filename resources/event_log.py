"""Dagster's SQLite event log with the events of a step written together.

The stock class commits each of the thousands of events of a range run two or three times. Here what a step says of its
partitions waits in memory until the step says something else, somebody reads, or a second has passed; then it is written
in one transaction per file. What is stored is what the stock class stores (tests/test_event_log.py), with one exception:
what resources/slim_plans.py leaves out.

A process that dies takes along at most what waited: the events of one step, never a file of the lake nor a receipt.

Private to Dagster: `_event_to_row`, `_event_insert_timestamp`, `_store_asset_event`, `_store_asset_event_tags`,
the tables of the schema, and what resources/pooled_sqlite.py names.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, Field, Noneable
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert

import resources.grid  # noqa: F401 - Dagster's processes load this module, and need the grid's class to read partitions
from resources.alive import ProvesLife
from resources.lanes import KnowsLanes
from resources.pooled_sqlite import INDEX, PooledSqlite
from resources.postgres import POSTGRES_VARIABLE
from resources.slim_plans import SlimPlans
from sleevegraph.errors import ConfigurationError

LARGEST_BATCH = 500
"""Events that may wait."""
LONGEST_WAIT_SECONDS = 1.0
"""After that the next event is written with those that wait, so that the page of a slow step is never far behind."""

Row = dict[str, Any]
_ASSET_EVENTS = {DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_MATERIALIZATION}


class PooledSqliteEventLog(ProvesLife, KnowsLanes, SlimPlans, PooledSqlite):
    """Writes the events of a step together."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Use the files in `base_dir`, as the stock class lays them out."""
        self._waiting: list[tuple[EventLogEntry, Row]] = []
        self._waiting_since = 0.0
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Field]:
        """`base_dir`: by default where the stock class has it."""
        return {"base_dir": Field(Noneable(str), is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteEventLog":
        """Build from the dagster.yaml of a home that was made before `storage` had a class of its own."""
        if os.environ.get(POSTGRES_VARIABLE, "").strip():
            raise ConfigurationError(
                f"{POSTGRES_VARIABLE}: expected `storage` in dagster.yaml to name resources.dagster_storage, found "
                "`event_log_storage`, which is SQLite; put `storage` of the project's dagster_home/dagster.yaml in its place, or "
                "unset the variable"
            )
        base_dir, home = config_value.get("base_dir"), os.environ.get("DAGSTER_HOME")
        if not base_dir and not home:
            raise ConfigurationError(
                "event log: expected DAGSTER_HOME, or base_dir in dagster.yaml, found neither; set DAGSTER_HOME"
            )
        return cls(base_dir or str(Path(str(home)) / "history" / "runs"), inst_data)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event; of a partition, soon."""
        if not _may_wait(event):
            super().store_event(event)  # connects, and so writes what waits before it
            return
        row = self._event_to_row(event)
        with self._db_lock:
            if self._waiting and self._waiting[0][0].run_id != event.run_id:
                self._write_waiting()
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting.append((event, row))
            waited = time.monotonic() - self._waiting_since
            if len(self._waiting) >= LARGEST_BATCH or waited > LONGEST_WAIT_SECONDS:
                self._write_waiting()

    def _write_waiting(self) -> None:
        """Write the events that wait, all of one run; they stay when that fails. The lock is held."""
        if not self._waiting:
            return
        events, rows = [event for event, _ in self._waiting], [row for _, row in self._waiting]
        table = SqlEventLogStorageTable
        with self._begin(INDEX) as index, self._begin(events[0].run_id) as run:
            run.execute(table.insert(), rows)
            numbered = table.insert().returning(table.c.id, sort_by_parameter_order=True)
            ids = index.execute(numbered, rows).scalars().all()
            self._write_assets(index, [(e, n) for e, n in zip(events, ids, strict=True) if _is_asset_event(e)])
            stored = zip(events, ids, rows, strict=True)
            checks = [self._execution_row(e, n, row["event"]) for e, n, row in stored if not _is_asset_event(e)]
            if checks:
                index.execute(_WRITE_VERDICT, checks)
        self._waiting.clear()

    def _write_assets(self, index: Connection, stored: Sequence[tuple[EventLogEntry, int]]) -> None:
        """Tags of every event; what an asset's own row says, of the newest one only."""
        self._store_asset_event_tags(index, [event for event, _ in stored], [number for _, number in stored])
        newest: dict[tuple[Any, ...], tuple[EventLogEntry, int]] = {}
        for event, number in stored:
            of = event.get_dagster_event().asset_key, event.dagster_event_type
            newest.pop(of, None)  # so that the order is that of the last ones
            newest[of] = event, number
        for event, number in newest.values():
            self._store_asset_event(index, event, number)

    def _execution_row(self, event: EventLogEntry, number: int, text: str) -> Row:
        """What the table of verdicts says of an evaluation."""
        found = event.get_dagster_event().asset_check_evaluation_data
        status, target = AssetCheckExecutionRecordStatus, found.target_materialization_data
        return {
            "asset_key": found.asset_key.to_string(),
            "check_name": found.check_name,
            "partition": found.partition,
            "run_id": event.run_id,
            "execution_status": (status.SUCCEEDED if found.passed else status.FAILED).value,
            "evaluation_event": text,
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": number,
            "materialization_event_storage_id": target.storage_id if target else None,
        }

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            self._write_waiting()
            with self._begin(shard) as connection:
                yield connection

    def dispose(self) -> None:
        """Write what waits, and close what is open."""
        with self._db_lock:
            self._write_waiting()
        super().dispose()


_VERDICT = insert(AssetCheckExecutionsTable)
_WHICH = ("asset_key", "check_name", "run_id", "partition")
_WRITE_VERDICT = _VERDICT.on_conflict_do_update(
    index_elements=_WHICH,
    set_={
        column.name: _VERDICT.excluded[column.name]
        for column in AssetCheckExecutionsTable.columns
        if column.name not in {"id", "create_timestamp", *_WHICH}
    },
)
"""Over the row of the planned check, or a new one: what the stock class does in two statements."""


def _is_asset_event(event: EventLogEntry) -> bool:
    return event.dagster_event_type in _ASSET_EVENTS


def _may_wait(event: EventLogEntry) -> bool:
    """Whether it is about a partition in a run: another event of the run follows it from the same process."""
    if not event.run_id or event.dagster_event is None:
        return False
    if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        return event.dagster_event.asset_check_evaluation_data.partition is not None
    return _is_asset_event(event) and event.dagster_event.partition is not None
