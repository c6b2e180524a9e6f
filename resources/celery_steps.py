"""dagster-celery's executor, watched: a step whose worker is gone fails its run, where the stock one waits for ever.

A worker that is killed takes the news of its step along. So workers are asked, in turns, what they compute; what nobody
computes for LOST_SECONDS, and nobody will, has failed.
"""

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._serdes import pack_value, serialize_value
from dagster_celery.config import TASK_EXECUTE_PLAN_NAME
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor
from dagster_celery.tasks import create_task

from resources.celery_app import settings
from resources.steps import failed_step, place, step_args

LOST_SECONDS = 120.0
"""That nobody may be known to compute a step, or to be free for it."""
ASK_SECONDS = 10.0
"""Between two questions to the workers."""
ANSWER_SECONDS = 1.0


class CelerySteps(CeleryExecutor):
    """The executor."""

    @classmethod
    def of_the_environment(cls) -> "CelerySteps":
        """By the settings of this process, none of which is stored with a run."""
        chosen = settings()
        return cls(
            retries=RetryMode.ENABLED,
            broker=chosen["broker_url"],
            backend=chosen["result_backend"],
            config_source={
                name: value for name, value in chosen.items() if name not in {"broker_url", "result_backend"}
            },
        )

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Any:
        """Yield the events of the run."""
        workers = Workers()

        def submit(app: Celery, context: PlanOrchestrationContext, step: Any, queue: str, *rest: Any) -> Watched:
            return Watched(_submitted(app, context, step, queue, *rest), workers, context, step)

        return core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=submit)


def _submitted(
    app: Celery, context: PlanOrchestrationContext, step: Any, queue: str, priority: int, known: Any
) -> AsyncResult:
    """Hand a step to Celery, as dagster-celery does, and say in which place the run works."""
    task = (app.tasks.get(TASK_EXECUTE_PLAN_NAME) or create_task(app)).si(
        execute_step_args_packed=pack_value(step_args(context, step, known)),
        executable_dict=context.reconstructable_job.to_dict(),
    )
    return task.apply_async(
        priority=priority, queue=queue, routing_key=f"{queue}.execute_plan", headers={"place": place()}
    )


@dataclass
class Workers:
    """Who is there, and what each of them computes, as they said when they were asked last."""

    tasks: dict[str, set[str]] = field(default_factory=dict)
    """Ids of tasks by name of worker."""
    asked: float = field(default_factory=monotonic)

    def ask(self, app: Celery) -> None:
        """Ask again, unless it was a moment ago."""
        if monotonic() - self.asked < ASK_SECONDS:
            return
        said = app.control.inspect(timeout=ANSWER_SECONDS).active() or {}
        self.tasks = {worker: {task["id"] for task in tasks} for worker, tasks in said.items()}
        self.asked = monotonic()

    def hopeless(self, result: AsyncResult) -> str:
        """Why nobody computes a task, nor will; empty as long as somebody may."""
        worker = (result.info or {}).get("hostname", "") if result.state == "STARTED" else ""
        if any(result.id in tasks for tasks in self.tasks.values()):
            return ""
        if worker:
            return f"worker {worker} took it and {'forgot it' if worker in self.tasks else 'is gone'}"
        if not self.tasks:
            return "no worker answers"
        return "" if any(self.tasks.values()) else f"{len(self.tasks)} workers are idle and none has the message"


class Watched:
    """The result of a step, as the loop of dagster-celery asks for it."""

    def __init__(self, result: AsyncResult, workers: Workers, context: PlanOrchestrationContext, step: Any) -> None:
        """Watch from now on."""
        self._result, self._workers, self._context, self._step = result, workers, context, step
        self._hopeful = monotonic()
        self._why = ""

    def ready(self) -> bool:
        """Whether there are events, or there will be none."""
        if self._result.ready():
            return True
        self._workers.ask(self._result.app)
        self._why = self._workers.hopeless(self._result)
        if not self._why:
            self._hopeful = monotonic()
        return monotonic() - self._hopeful > LOST_SECONDS

    def get(self) -> list[str]:
        """Events of the step; of one that is lost, or that a worker could not begin, its failure."""
        reason = ""
        if not self._result.ready():
            self._result.revoke()
            reason = (
                f"expected a worker of Celery to compute {self._step.key}, found that {self._why} for {LOST_SECONDS:g} s; "
                f"start workers (celery -A resources.celery_worker worker), then run it again"
            )
        elif self._result.failed():
            error = self._result.result
            reason = f"expected a worker of Celery to compute {self._step.key}, found {type(error).__name__}: {error}"
        if reason:
            return [serialize_value(failed_step(self._context, self._step, reason))]
        events: list[str] = self._result.get()
        self._result.forget()
        return events

    def revoke(self) -> None:
        """Tell workers not to begin it."""
        self._result.revoke()
