"""Dagster's own launcher, which can tell whether the process of a run lives.

The stock class cannot: a code server notices when a process that it started dies, but where both are killed, or the machine goes
down, a run stays "started" until `max_runtime_seconds`. With an answer, Dagster's monitoring reports it failed at its next look.
"""

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from resources.alive import alive


class WatchedRunLauncher(DefaultRunLauncher):
    """Answers for every run of the home, also those that a command runs in its own process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Failed where the lock of the run is free; running where it is held, or where nobody knows."""
        if alive(self._instance, run.run_id) is False:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, "the process of the run is gone: it was killed, or crashed"
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)
