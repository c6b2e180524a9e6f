"""Proof that the process of a run lives: a file in DAGSTER_HOME that it keeps locked, and that the system frees when it dies.

Dagster notes when a run starts and when it ends; of a process that was killed it notes nothing, and the run stays
"started". A lock needs no clock and no process number, which a restarted machine gives to somebody else.
"""

import os
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import IO, Any

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, EventLogEntry, RunsFilter

_RESTORED = ".restored"
"""Beside the locks: its time is when the home was restored."""
_held: dict[Path, IO[str]] = {}
_ENDED = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}


def lock_file(instance: DagsterInstance, run_id: str) -> Path:
    """The file that the process of a run keeps locked."""
    return Path(instance.root_directory) / "alive" / run_id


def mark_restored(dagster_home: Path) -> None:
    """Note that a home was restored now: no run that began before has its process here, nor its lock, which no backup has."""
    mark = dagster_home / "alive" / _RESTORED
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def alive(instance: DagsterInstance, run_id: str) -> bool | None:
    """Whether the process of a run lives; None where no process of this home ever said so, or the run has just ended.

    Of a run without a lock that began before the home was restored, the process is gone.
    """
    try:
        with lock_file(instance, run_id).open() as file:
            flock(file, LOCK_SH | LOCK_NB)
            released = not os.fstat(file.fileno()).st_nlink
    except FileNotFoundError:
        return False if _cut_off(instance, run_id) else None
    except BlockingIOError:
        return True
    return None if released else False


def _cut_off(instance: DagsterInstance, run_id: str) -> bool:
    """Whether a run is in progress on record, and began before its home was restored."""
    try:
        restored = lock_file(instance, _RESTORED).stat().st_mtime
    except FileNotFoundError:
        return False
    record = instance.get_run_record_by_id(run_id)
    if record is None or record.start_time is None or record.dagster_run.is_finished:
        return False
    return record.start_time < restored


def report_dead(instance: DagsterInstance) -> list[str]:
    """Report runs whose process is gone as failed, as Dagster's daemon does where one runs; their ids."""
    begun = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    dead = [run for run in instance.get_runs(RunsFilter(statuses=begun)) if alive(instance, run.run_id) is False]
    for run in dead:
        instance.report_run_failed(run, "the process of the run is gone: it was killed, or crashed")
    return [run.run_id for run in dead]


class ProvesLife:
    """To be put before a class of Dagster's event log: every run, whoever launched it, starts and ends there."""

    _instance: DagsterInstance
    has_instance: bool
    """Not where events are copied without a home around them."""

    def store_event(self, event: EventLogEntry) -> None:
        """Lock before a start is stored, so that no run is seen started and unlocked; unlock once its end is."""
        of_type = event.dagster_event_type if self.has_instance else None
        if of_type is DagsterEventType.RUN_START:
            _hold(lock_file(self._instance, event.run_id))
        upper: Any = super()
        upper.store_event(event)
        if of_type in _ENDED:
            _release(lock_file(self._instance, event.run_id))


def _hold(path: Path) -> None:
    with suppress(OSError):  # a disk that takes no file fails the run elsewhere, and with a better message
        path.parent.mkdir(exist_ok=True)
        _held[path] = file = path.open("w")
        flock(file, LOCK_EX)


def _release(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
    if path in _held:
        _held.pop(path).close()


def _leave_to_parent() -> None:
    """A forked child has the parent's open files, and would keep them locked beyond the parent's death."""
    for file in _held.values():
        os.close(file.fileno())
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
