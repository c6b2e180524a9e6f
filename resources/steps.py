"""A step in another process: that it works in the same place as its run, and how one that nobody ends is failed."""

import os
from hashlib import sha256
from typing import Any
from urllib.parse import SplitResult, urlsplit

# Not exported: what an executor of its own needs to fail a step whose process is gone (docs/architecture.md).
from dagster import DagsterEvent, DagsterInstance, DagsterRun
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.objects import StepFailureData
from dagster._grpc.types import ExecuteStepArgs
from dagster._utils.error import SerializableErrorInfo

from resources.home import HOME_VARIABLE, LAKE_VARIABLE, find_home
from resources.trouble import without_secrets
from sleevegraph.errors import ConfigurationError

Place = dict[str, str]
"""Where a process reads and writes, without secrets."""


def place() -> Place:
    """Home and lake of this process."""
    lake = os.environ.get(LAKE_VARIABLE, "")
    return {
        HOME_VARIABLE: str(find_home().root),
        LAKE_VARIABLE: f"{without_secrets(lake)} ({sha256(lake.encode()).hexdigest()[:8]})" if lake else "",
    }


def require_url(setting: str, url: str) -> SplitResult:
    """The parts of an address; ConfigurationError where it has none, without a word of it: it may be a piece of a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ConfigurationError(
            f"{setting}: expected a URL, found one whose host or port is none; correct it, and quote what is special in a "
            "password (%2F for /, %40 for @)"
        ) from error
    return parts


def require_place(expected: Place, worker: str) -> None:
    """Refuse a step of a run that reads and writes elsewhere; ConfigurationError names the setting."""
    for name, found in place().items():
        if found != expected.get(name, ""):
            raise ConfigurationError(
                f"{name}: expected {expected.get(name) or 'it unset'}, as the process of the run has it, found "
                f"{found or 'it unset'} in worker {worker}; start the worker with the environment of the run"
            )


def going_run(instance: DagsterInstance, run_id: str, worker: str) -> DagsterRun:
    """The run of a step; ConfigurationError when it has ended: a message may come again long after."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        state = f"one that has ended ({run.status.value})" if run else "none of that id"
        raise ConfigurationError(
            f"step: expected a run that is going on, found {state}, in worker {worker}; nothing was computed"
        )
    return run


def step_args(context: PlanOrchestrationContext, step: Any, known: Any) -> ExecuteStepArgs:
    """What another process needs for a step of a run."""
    return ExecuteStepArgs(
        job_origin=context.reconstructable_job.get_python_origin(),
        run_id=context.dagster_run.run_id,
        step_keys_to_execute=[step.key],
        instance_ref=context.instance.get_ref(),
        retry_mode=context.executor.retries.for_inner_plan(),
        known_state=known,
        print_serialized_events=True,
    )


def failed_step(context: PlanOrchestrationContext, step: Any, reason: str) -> DagsterEvent:
    """Store that a step failed, where nobody else will."""
    data = StepFailureData(error=SerializableErrorInfo(reason, [], None), user_failure_data=None)
    return DagsterEvent.step_failure_event(context.for_step(step), data)
