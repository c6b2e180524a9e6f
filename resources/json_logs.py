"""Logs for machines: SLEEVEGRAPH_LOGS=json makes each line of a run's stderr one JSON object.

Private to Dagster: `_logger_fn` of its console logger. A logger of `Definitions` counts only where a run's own configuration
names it, which neither the page nor a sensor does, so the function behind the default one is exchanged.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import colored_console_logger
from pythonjsonlogger.json import JsonFormatter

from resources.secrets import secrets_of_environment
from sleevegraph.alerts import without
from sleevegraph.errors import ConfigurationError

LOGS_VARIABLE = "SLEEVEGRAPH_LOGS"
FORMS = ("text", "json")
FIELDS = ("run", "job", "asset", "step", "partition", "event")
"""Beside time, level, logger, message and trace; those that do not apply are left out."""
_PARTITION, _FIRST, _LAST = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
_STEP_ENDS = {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED", "STEP_UP_FOR_RETRY"}


class JsonLines(JsonFormatter):
    """One record, one line; known secrets are left out of it."""

    def __init__(self) -> None:
        """Belong to no run yet."""
        super().__init__("%(message)s", json_ensure_ascii=False)
        self.assets: Mapping[str, str] = {}
        """What is made or judged, by step."""
        self.secrets: Sequence[str] = ()
        self._run: dict[str, str] = {}

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Drop what was not asked for: this is the last step before the text."""
        return dict(without(log_data, self.secrets))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill one line."""
        meta = getattr(record, "dagster_meta", None)
        log_data |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": meta["orig_message"] if meta else record.getMessage(),
            **(self._of_event(meta) if meta else self._run),
        }
        trace = message_dict.get("exc_info") or _trace_of(meta)
        if trace:
            log_data["trace"] = trace
        if meta:
            self._follow(meta, log_data)

    def _of_event(self, meta: Mapping[str, Any]) -> dict[str, str]:
        """Where in which run something was said; FIELDS in their order."""
        event, tags = meta.get("dagster_event"), meta.get("job_tags") or {}
        step = meta.get("step_key")
        told = event.asset_key if event is not None else None
        in_range = f"{tags[_FIRST]}...{tags[_LAST]}" if _FIRST in tags and _LAST in tags else None
        found = {
            "run": meta.get("run_id"),
            "job": meta.get("job_name"),
            "asset": told.to_user_string() if told else self.assets.get(step or ""),
            "step": step,
            "partition": (event.partition if event is not None else None) or tags.get(_PARTITION) or in_range,
            "event": event.event_type_value if event is not None else None,
        }
        return {name: str(value) for name, value in found.items() if value}

    def _follow(self, meta: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        """Remember the run and its step: what Python's own loggers say in this process until it ends is said in it."""
        event = meta.get("dagster_event")
        ended = event is not None and event.event_type_value in _STEP_ENDS
        kept = ("run", "job") if ended else ("run", "job", "asset", "step", "partition")
        self._run = {name: line[name] for name in kept if name in line}


def _trace_of(meta: Mapping[str, Any] | None) -> str:
    """The error that an event of Dagster carries, with those that caused it."""
    event = meta.get("dagster_event") if meta else None
    error = getattr(event.event_specific_data, "error", None) if event is not None else None
    return error.to_string() if error is not None else ""


_FORMATTER = JsonLines()


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTER)
    return handler


@dg.logger(config_schema=colored_console_logger.config_schema, description="One JSON object per line on stderr.")
def json_console_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """Log what a run does, from INFO on, and every event of a step and of a partition.

    The threshold that a run's configuration sets is not asked for: our own commands set it to keep a terminal quiet.
    """
    _FORMATTER.assets = _assets_of(context.job_def) if context.job_def else {}
    log = logging.Logger("dagster", level=logging.DEBUG)  # noqa: LOG001 - one of its own for each run, as Dagster makes it
    log.addHandler(_handler())
    return log


def _assets_of(job: dg.JobDefinition) -> dict[str, str]:
    """Asset by step, also of the steps that are checks."""
    found = {}
    for definition in job.asset_layer.asset_graph.assets_defs:
        if definition.is_executable:
            keys = [*definition.keys, *(key.asset_key for key in definition.check_keys)]
            found[definition.node_def.name] = keys[0].to_user_string()
    return found


def configure_logs() -> None:
    """Follow SLEEVEGRAPH_LOGS in this process; ConfigurationError for a form that is none."""
    form = os.environ.get(LOGS_VARIABLE, "") or FORMS[0]
    if form not in FORMS:
        raise ConfigurationError(f"{LOGS_VARIABLE}: expected {' or '.join(FORMS)}, found {form!r}; correct or unset it")
    if form == FORMS[0]:
        return
    colored_console_logger._logger_fn = json_console_logger.logger_fn  # noqa: SLF001 - see above
    _FORMATTER.secrets = secrets_of_environment()
    root = logging.getLogger()
    root.handlers = [_handler()]
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    logging.captureWarnings(capture=True)
