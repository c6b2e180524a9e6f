"""Dagster's runs and what it stored of them: which are over, what a page still needs of them, and how to forget one.

Private to Dagster: the tables of the event log's schema, and the folders of its SQLite storage.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import delete, func, select

from resources.home import Home
from sleevegraph.retention import EndedRun, Told

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
IN_PROGRESS = tuple(status for status in dg.DagsterRunStatus if status not in ENDED)
PAGE = 200
"""Run records that are read at once."""
BUSY_SECONDS = 20.0
_EVENTS, _CHECKS = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
_TOLD = (dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value)

_JUDGED = (AssetCheckExecutionRecordStatus.SUCCEEDED.value, AssetCheckExecutionRecordStatus.FAILED.value)


def run_records(instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus]) -> Iterator[dg.RunRecord]:
    """Every run with one of these statuses, the newest first."""
    cursor = None
    while records := instance.get_run_records(dg.RunsFilter(statuses=list(statuses)), limit=PAGE, cursor=cursor):
        yield from records
        cursor = records[-1].dagster_run.run_id


def ended_runs(instance: dg.DagsterInstance) -> list[EndedRun]:
    """Runs that are over, and when that was."""
    return [EndedRun(record.dagster_run.run_id, ended_at(record)) for record in run_records(instance, ENDED)]


def ended_at(record: dg.RunRecord) -> datetime:
    """When a run ended; of one that died before it began, when Dagster noted it."""
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.replace(tzinfo=record.update_timestamp.tzinfo or UTC)


def newest_told(instance: dg.DagsterInstance) -> Told:
    """Which run was the last to tell of each partition: materialised, observed or judged it."""
    newest = (
        select(func.max(_EVENTS.id))
        .where(_EVENTS.dagster_event_type.in_(_TOLD))
        .group_by(_EVENTS.dagster_event_type, _EVENTS.asset_key, _EVENTS.partition)
    )
    verdicts = (
        select(func.max(_CHECKS.id))
        .where(_CHECKS.execution_status.in_(_JUDGED))
        .group_by(_CHECKS.asset_key, _CHECKS.check_name, _CHECKS.partition)
    )
    events = select(_EVENTS.dagster_event_type, _EVENTS.asset_key, _EVENTS.partition, _EVENTS.run_id)
    checks = select(_CHECKS.asset_key, _CHECKS.check_name, _CHECKS.partition, _CHECKS.run_id)
    found: dict[tuple[str, ...], str] = {}
    with _event_log(instance).index_connection() as connection:
        for query in (events.where(_EVENTS.id.in_(newest)), checks.where(_CHECKS.id.in_(verdicts))):
            for first, second, partition, run in connection.execute(query):
                found[first, second, partition or ""] = run
    return found


def bytes_of(instance: dg.DagsterInstance, home: Home, run_id: str) -> int:
    """What a run takes: its own files, and the text of its events among those of all runs."""
    events = select(func.sum(func.length(_EVENTS.event))).where(_EVENTS.run_id == run_id)
    checks = select(func.sum(func.length(_CHECKS.evaluation_event))).where(_CHECKS.run_id == run_id)
    with _event_log(instance).index_connection() as connection:
        texts = sum(connection.execute(query).scalar() or 0 for query in (events, checks))
    return texts + sum(path.stat().st_size for path in _files(home, run_id) if path.is_file())


def forget(instance: dg.DagsterInstance, home: Home, run_id: str) -> None:
    """Delete a run that is over, its record last: a process killed on the way leaves a run that can be deleted again."""
    storage = _event_log(instance)
    with storage.index_connection() as connection:
        connection.execute(delete(AssetCheckExecutionsTable).where(_CHECKS.run_id == run_id))
    storage.delete_events(run_id)
    for path in _files(home, run_id):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    instance.run_storage.delete_run(run_id)


def databases(home: Home) -> list[Path]:
    """Dagster's SQLite files that all runs share; none where a server has its storage."""
    folders = (home.dagster / "history", home.dagster / "history" / "runs", home.dagster / "schedules")
    found = (folder / name for folder, name in zip(folders, ("runs.db", "index.db", "schedules.db"), strict=True))
    return [path for path in found if path.is_file()]


def compact(database: Path) -> str:
    """Give back what deleted rows took; why that could not be done, or an empty text."""
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        return str(error)
    return ""


def _files(home: Home, run_id: str) -> list[Path]:
    """A run's own events and what its steps printed."""
    events = home.dagster / "history" / "runs"
    return [*sorted(events.glob(f"{run_id}.db*")), *sorted((home.dagster / "storage").glob(run_id))]


def _event_log(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # noqa: S101 - SQLite and PostgreSQL are, and nothing else is offered
    return storage
