"""dagster-dask's executor, whose steps wait for what they depend on to succeed, where the stock one's run all the same.

Keys of the stock one are those of a step alone, so that two runs on one scheduler would share results; here they are a
run's own.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import dask
from dagster import DagsterEvent, DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value, serialize_value
from dagster_dask.executor import DaskExecutor, query_on_dask_worker
from distributed import Client, Future, LocalCluster, get_worker

from resources import workers
from resources.patience import within
from resources.steps import Place, failed_step, going_run, place, require_place, require_url, step_args
from resources.trouble import without_secrets
from sleevegraph.errors import ConfigurationError

DASK_VARIABLE = "SLEEVEGRAPH_DASK"
SECONDS = 3.0
"""That a scheduler may take to answer."""
LOST_SECONDS = 120.0
"""That a scheduler may be without workers while steps wait."""
TICK_SECONDS = 0.2


class DaskSteps(DaskExecutor):
    """The executor."""

    @classmethod
    def of_the_environment(cls) -> "DaskSteps":
        """By the settings of this process, none of which is stored with a run."""
        address = os.environ.get(DASK_VARIABLE, "")
        return cls("existing", {"address": address}) if address else cls("local", {})

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Yield the events of the run."""
        waiting: dict[str, Future] = {}
        with (
            InstanceConcurrencyContext(plan_context.instance, plan_context.dagster_run) as slots,
            self._client() as client,
            execution_plan.start(retry_mode=self.retries, instance_concurrency_context=slots) as active,
        ):
            manned = monotonic()
            while not active.is_complete or waiting:
                if active.check_for_interrupts():
                    active.mark_interrupted()
                    client.cancel(list(waiting.values()))
                    return
                if client.scheduler_info()["workers"]:
                    manned = monotonic()
                unmanned = monotonic() - manned > LOST_SECONDS
                for key in [key for key, future in waiting.items() if unmanned or future.done()]:
                    for event in _events(waiting.pop(key), plan_context, active.get_step_by_key(key)):
                        yield event
                        active.handle_event(event)
                    active.verify_complete(plan_context, key)
                yield from active.plan_events_iterator(plan_context)
                for step in active.get_steps_to_execute():
                    waiting[step.key] = _submitted(client, plan_context, step, active.get_known_state())
                sleep(TICK_SECONDS)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """A scheduler that is there, or a cluster on this machine for as long as the run takes."""
        if self.cluster_type == "existing":
            with Client(self.cluster_configuration["address"], timeout=SECONDS) as client:
                yield client
            return
        # A step starts processes for solvers, which a daemonic worker may not.
        with (
            dask.config.set({"distributed.worker.daemon": False}),
            LocalCluster(n_workers=workers.processes(), threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client


def broken() -> list[tuple[str, str, str]]:
    """Try the scheduler: setting, what was tried, what was found instead."""
    address = os.environ.get(DASK_VARIABLE, "")
    try:
        require_url(DASK_VARIABLE, address)
    except ConfigurationError as error:
        said = str(error).removeprefix(f"{DASK_VARIABLE}: ")
        return [(DASK_VARIABLE, f"to use {without_secrets(address)}", said)]
    found = within(SECONDS, lambda: _connect(address)) if address else ""
    advice = "start the scheduler, or leave it unset for a cluster on this machine"
    return [(DASK_VARIABLE, f"to connect to {without_secrets(address)}", f"{found}; {advice}")] if found else []


def _connect(address: str) -> None:
    with Client(address, timeout=SECONDS, set_as_default=False):
        pass


def _submitted(client: Client, context: PlanOrchestrationContext, step: Any, known: Any) -> Future:
    # As text: Dask looks for tasks inside of tuples, which Dagster's records are, and do not let themselves be looked into.
    args, job = serialize_value(step_args(context, step, known)), json.dumps(context.reconstructable_job.to_dict())
    return client.submit(_step, place(), args, job, key=f"{context.run_id}.{step.key}", pure=False)


def _step(expected: Place, packed: str, job: str) -> list[str]:
    """Compute a step, in a worker."""
    worker = str(get_worker().name)
    require_place(expected, worker)
    args = deserialize_value(packed, ExecuteStepArgs)
    with DagsterInstance.from_ref(args.instance_ref) as instance:
        run = going_run(instance, args.run_id, worker)
    built = ReconstructableJob.from_dict(json.loads(job))
    events = query_on_dask_worker(
        None, built, run, run.run_config, args.step_keys_to_execute, args.instance_ref, args.known_state
    )
    return [serialize_value(event) for event in events]


def _events(future: Future, context: PlanOrchestrationContext, step: Any) -> list[DagsterEvent]:
    """Events of a step; of one that Dask could not compute, its failure."""
    if future.status == "finished":
        return [deserialize_value(event, DagsterEvent) for event in future.result()]
    error = future.exception() if future.status == "error" else None
    found = f"{type(error).__name__}: {error}" if error else f"the scheduler without workers for {LOST_SECONDS:g} s"
    if future.status in {"cancelled", "lost"}:
        found = f"it {future.status}: the scheduler is gone"
    future.cancel()
    return [failed_step(context, step, f"expected a worker of Dask to compute {step.key}, found {found}; run it again")]
