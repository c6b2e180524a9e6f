"""Celery by the environment: where its broker is, how it is set, and whether it answers."""

import os
from pathlib import Path
from typing import Any

from celery import Celery, Task
from dagster import DagsterInstance
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import unpack_value
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from resources.home import find_home
from resources.patience import within
from resources.secrets import secrets_of_environment
from resources.steps import going_run, require_place, require_url
from resources.trouble import without_secrets
from sleevegraph.errors import ConfigurationError

BROKER_VARIABLE, RESULTS_VARIABLE = "SLEEVEGRAPH_BROKER", "SLEEVEGRAPH_RESULTS"
SECONDS = 3.0
"""That a broker may take to answer."""
DAYS = 7
"""After which Redis hands out again what a worker took and did not finish: longer than any step, so never twice at once."""


def broker_url() -> str:
    """The broker of the environment, else a folder of the home."""
    return os.environ.get(BROKER_VARIABLE, "") or f"filesystem://{find_home().dagster / 'celery'}"


def settings() -> dict[str, Any]:
    """Celery's settings; ConfigurationError for a broker that cannot be meant, or that needs a result backend named."""
    url, results = broker_url(), os.environ.get(RESULTS_VARIABLE, "")
    parts = require_url(BROKER_VARIABLE, url)
    require_url(RESULTS_VARIABLE, results)
    if parts.scheme == "filesystem":
        from resources.folder_broker import folder_settings  # noqa: PLC0415 - makes folders known to kombu

        if parts.netloc or len(parts.path) <= 1:
            raise ConfigurationError(
                f"{BROKER_VARIABLE}: expected filesystem:/// and a folder, such as filesystem:///var/lib/sleevegraph, "
                f"found {url!r}; give the folder from the root on"
            )
        chosen = folder_settings(Path(parts.path))
    elif not results and parts.scheme not in {"redis", "rediss"}:
        raise ConfigurationError(
            f"{RESULTS_VARIABLE}: expected the URL of a result backend, which a broker of {parts.scheme or 'no scheme'} "
            f"is not, found none; set it, such as redis://host:6379/1"
        )
    else:
        timeouts = {"socket_connect_timeout": SECONDS, "socket_timeout": 30.0}
        options = {"max_retries": 3, "visibility_timeout": DAYS * 86400, **timeouts}
        chosen = {"broker_url": url, "result_backend": url, "broker_transport_options": options}
    return {**chosen, **({"result_backend": results} if results else {}), **_FIXED}


_FIXED: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "task_track_started": True,
    # A worker takes a step when it can begin it, so that none waits behind a long one while another worker idles.
    "task_acks_late": True,
    "worker_prefetch_multiplier": 1,
    "worker_concurrency": 1,
    # A step starts processes for solvers, which a prefork worker may not; and a worker answers while it computes.
    "worker_pool": "threads",
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
    "task_default_queue": "dagster",
    "task_default_priority": 5,
}


class Guarded(Task):
    """A step that is computed only for a run that goes on, in the place of that run."""

    abstract = True

    def before_start(self, _task_id: str, _args: Any, kwargs: Any) -> None:
        """Refuse what came too late or to the wrong worker."""
        worker = str(self.request.hostname)
        require_place((self.request.headers or {}).get("place", {}), worker)
        step = unpack_value(kwargs["execute_step_args_packed"], as_type=ExecuteStepArgs)
        with DagsterInstance.from_ref(step.instance_ref) as instance:
            going_run(instance, step.run_id, worker)


def application() -> Celery:
    """An application by the environment of now, with the task that computes a step."""
    made = make_app({"config_source": settings()})
    create_task(made, base=Guarded)
    return made


def broken() -> list[tuple[str, str, str]]:
    """Try broker and result backend: setting, what was tried, what was found instead."""
    broker = _shown(broker_url())
    try:
        app = application()
    except (ConfigurationError, OSError) as error:
        said = _told(str(error))
        if said.startswith(RESULTS_VARIABLE):
            where = _shown(os.environ.get(RESULTS_VARIABLE, "")) or broker
            return [(RESULTS_VARIABLE, f"to use {where}", said.removeprefix(f"{RESULTS_VARIABLE}: "))]
        return [(BROKER_VARIABLE, f"to use {broker}", said.removeprefix(f"{BROKER_VARIABLE}: "))]
    found = within(SECONDS, lambda: _connect(app))
    if found:
        return [(BROKER_VARIABLE, f"to connect to {broker}", f"{_told(found)}; start the broker, or name another")]
    found = within(SECONDS, lambda: app.backend.get_state("none"))
    if found:
        where = os.environ.get(RESULTS_VARIABLE, "")
        setting = RESULTS_VARIABLE if where else BROKER_VARIABLE
        advice = "start the result backend, or name another"
        return [(setting, f"to read results from {_shown(where) or broker}", f"{_told(found)}; {advice}")]
    return []


def _connect(app: Celery) -> None:
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=SECONDS)
        connection.default_channel.close()


def _shown(url: str) -> str:
    """A URL without secrets; a folder has none."""
    try:
        return url if url.startswith("filesystem://") else without_secrets(url)
    except ValueError:
        return "what is no URL"


def _told(text: str) -> str:
    """What a client said of an address, without the secrets of the address."""
    for secret in secrets_of_environment():
        text = text.replace(secret, "***")
    return text
