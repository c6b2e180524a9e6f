"""Jobs in use as the executor of the environment needs them: where it is not this process, others must build them, too."""

from typing import Any

import dagster as dg

from resources.executors import IN_PROCESS, executor_name
from resources.home import PROJECT


def by_executor(job: str) -> Any:
    """A job as other processes can build it; None where this process computes it.

    Raises
    ------
    ConfigurationError
        For an executor that there is not.
    """
    if executor_name() == IN_PROCESS:
        return None
    return dg.build_reconstructable_job(__name__, built.__name__, (job,), reconstructor_working_directory=str(PROJECT))


def built(job: str) -> dg.JobDefinition:
    """A job of the definitions in use."""
    from definitions import defs  # noqa: PLC0415 - reads profiles, which other commands have no use for

    return defs.resolve_job_def(job)
