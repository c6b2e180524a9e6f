"""What other processes do to an event log; a module of its own, so that they import nothing else."""

import os
import signal
from collections.abc import Sequence

import dagster as dg

from resources.event_log import PooledSqliteEventLog
from resources.postgres import POSTGRES_VARIABLE, postgres_url
from resources.postgres_storage import postgres_parts


def write(folder: str, entries: Sequence[dg.EventLogEntry], run_id: str) -> None:
    """Store the events as those of a run."""
    storage = PooledSqliteEventLog(folder)
    for entry in entries:
        storage.store_event(entry._replace(run_id=run_id))
    storage.dispose()


def write_and_die(folder: str, entries: Sequence[dg.EventLogEntry]) -> None:
    """Store the events, and be killed."""
    storage = PooledSqliteEventLog(folder)
    for entry in entries:
        storage.store_event(entry)
    os.kill(os.getpid(), signal.SIGKILL)


def write_to_postgres(url: str, entries: Sequence[dg.EventLogEntry], run_id: str) -> None:
    """Store the events as those of a run, in a database that may be empty."""
    os.environ[POSTGRES_VARIABLE] = url
    named = postgres_url()
    assert named is not None
    runs, events, schedules = postgres_parts(named)
    for entry in entries:
        events.store_event(entry._replace(run_id=run_id))
    for storage in (runs, events, schedules):
        storage.dispose()
