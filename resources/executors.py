"""Who computes the steps of a run: this process, Celery's workers or Dask's, as the environment says."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode

from resources.trouble import Trouble
from sleevegraph.errors import ConfigurationError

EXECUTOR_VARIABLE = "SLEEVEGRAPH_EXECUTOR"
IN_PROCESS, CELERY, DASK = "in_process", "celery", "dask"
NAMES = (IN_PROCESS, CELERY, DASK)

_EXTRAS = {CELERY: "dagster_celery", DASK: "dagster_dask"}
"""By executor the module that its extra installs."""
_STILL = (
    f"the page, everything stored and every command that reads work; runs of the rebalance do not, until this is "
    f"mended or {EXECUTOR_VARIABLE}={IN_PROCESS} computes them in one process"
)


def executor_name() -> str:
    """Name of the executor in use; ConfigurationError for a name that is none, or one whose extra is missing."""
    name = os.environ.get(EXECUTOR_VARIABLE, "") or IN_PROCESS
    if name not in NAMES:
        raise ConfigurationError(
            f"{EXECUTOR_VARIABLE}: expected one of {', '.join(NAMES)}, found {name!r} in the environment; set one of them"
        )
    module = _EXTRAS.get(name)
    if module is not None and find_spec(module) is None:
        raise ConfigurationError(
            f"{EXECUTOR_VARIABLE}: expected the extra of {name!r} installed, found no module {module} in this Python; "
            f'run pip install "sleevegraph[{name}]", or set {EXECUTOR_VARIABLE}={IN_PROCESS}'
        )
    return name


def chosen_executor() -> dg.ExecutorDefinition:
    """The executor of every job that names none.

    What is wrong with the setting fails a run with the reason, and not the loading of the page. Nothing of it is
    configuration of a job or of a run, which Dagster stores: addresses are read where an executor starts.
    """
    try:
        return _EXECUTORS[executor_name()]
    except ConfigurationError as error:
        return _refusing(str(error))


def executor_troubles() -> list[Trouble]:
    """Try the executor in use, and give up after some seconds."""
    try:
        name = executor_name()
    except ConfigurationError as error:
        found = str(error).removeprefix(f"{EXECUTOR_VARIABLE}: ")
        return [Trouble(EXECUTOR_VARIABLE, "to find the executor that it names", found, _STILL)]
    return [Trouble(setting, tried, found, _STILL) for setting, tried, found in _ATTEMPTS[name]()]


def _celery_attempt() -> list[tuple[str, str, str]]:
    from resources.celery_app import broken  # noqa: PLC0415 - an extra

    return broken()


def _dask_attempt() -> list[tuple[str, str, str]]:
    from resources.dask_steps import broken  # noqa: PLC0415 - an extra

    return broken()


_ATTEMPTS: dict[str, Callable[[], list[tuple[str, str, str]]]] = {
    IN_PROCESS: list,
    CELERY: _celery_attempt,
    DASK: _dask_attempt,
}
"""By executor what tries it: setting, what was tried, and what was found instead."""


class Refusing(dg.Executor):
    """Fails a run that nobody can compute, at once and with the reason."""

    def __init__(self, reason: str) -> None:
        """Remember why."""
        self._reason = reason

    @property
    def retries(self) -> Any:
        """As every executor of several processes has them."""
        return RetryMode.DISABLED

    def execute(self, _plan_context: Any, _execution_plan: Any) -> Any:
        """Fail the run."""
        raise ConfigurationError(self._reason)


@dg.executor(name=CELERY, requirements=dg.multiple_process_executor_requirements())
def _celery(_context: dg.InitExecutorContext) -> dg.Executor:
    """Each step is a task of Celery, for workers of `celery -A resources.celery_worker worker`."""
    from resources.celery_steps import CelerySteps  # noqa: PLC0415 - an extra

    return _unless_in_trouble(CelerySteps.of_the_environment)


@dg.executor(name=DASK, requirements=dg.multiple_process_executor_requirements())
def _dask(_context: dg.InitExecutorContext) -> dg.Executor:
    """Each step is a task of Dask, for a cluster on this machine or the scheduler of SLEEVEGRAPH_DASK."""
    from resources.dask_steps import DaskSteps  # noqa: PLC0415 - an extra

    return _unless_in_trouble(DaskSteps.of_the_environment)


def _unless_in_trouble(made: Callable[[], dg.Executor]) -> dg.Executor:
    troubles = executor_troubles()
    return Refusing(str(troubles[0])) if troubles else made()


def _refusing(reason: str) -> dg.ExecutorDefinition:
    @dg.executor(name="refused", requirements=dg.multiple_process_executor_requirements())
    def refused(_context: dg.InitExecutorContext) -> dg.Executor:
        """Stands for an executor that there is not."""
        return Refusing(reason)

    return refused


_EXECUTORS = {IN_PROCESS: dg.in_process_executor, CELERY: _celery, DASK: _dask}
