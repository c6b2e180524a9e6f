"""What other processes do to an event log; a module of its own, so that they import nothing else."""

import os
import signal
from collections.abc import Sequence

import dagster as dg

from resources.event_log import PooledSqliteEventLog
from resources.postgres import POSTGRES_VARIABLE, postgres_url
from resources.postgres_storage import postgres_parts


class OwnedEventLog(PooledSqliteEventLog):
    """An event log of an instance, whose folder takes the proof that a run lives."""

    def __init__(self, base_dir: str) -> None:
        super().__init__(base_dir)
        self.owner = dg.DagsterInstance.ephemeral(tempdir=base_dir)  # which the log itself refers to weakly
        self.register_instance(self.owner)


def write(folder: str, entries: Sequence[dg.EventLogEntry], run_id: str) -> None:
    """Store the events as those of a run."""
    storage = OwnedEventLog(folder)
    for entry in entries:
        storage.store_event(entry._replace(run_id=run_id))
    storage.dispose()


def write_and_die(folder: str, entries: Sequence[dg.EventLogEntry]) -> None:
    """Store the events, and be killed."""
    storage = OwnedEventLog(folder)
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
