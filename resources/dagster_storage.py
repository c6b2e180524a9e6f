"""Where Dagster keeps runs, events and schedules of a home: in its own files, or in PostgreSQL where the environment says so.

`dagster.yaml` names this class and says nothing else, since it knows no conditions, and a URL in it would be sent along
with every run.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from dagster import Field
from dagster._core.storage.legacy_storage import CompositeStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._serdes import ConfigurableClassData

import resources.grid  # noqa: F401 - Dagster's processes load this module, and need the grid's class to read partitions
from resources.event_log import PooledSqliteEventLog
from resources.home import Home
from resources.postgres import POSTGRES_VARIABLE, postgres_url, require_extra
from resources.records import require_sqlite
from sleevegraph.errors import ConfigurationError


class HomeStorage(CompositeStorage):
    """Dagster's storage of one home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Field]:
        """Nothing: all of it comes from the environment."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - Dagster passes it
    ) -> "HomeStorage":
        """Open PostgreSQL where SLEEVEGRAPH_POSTGRES_URL is set, else SQLite in DAGSTER_HOME.

        Raises ConfigurationError where neither can be used, or the variable is unset in a home that is known to use it.
        """
        runs, events, schedules = _parts()
        return cls(runs, events, schedules, inst_data)


def _parts() -> tuple[Any, Any, Any]:
    try:
        url = postgres_url()
        if url is None:
            return _sqlite_parts()
        require_extra()
    except ValueError as error:
        raise ConfigurationError(f"{POSTGRES_VARIABLE}: found {error}") from error
    parts: tuple[Any, Any, Any] = import_module("resources.postgres_storage").postgres_parts(url)  # of an extra
    return parts


def _sqlite_parts() -> tuple[Any, Any, Any]:
    """The layout that Dagster has by default, with our event log in the place of the stock one."""
    given = os.environ.get("DAGSTER_HOME")
    if not given:
        raise ConfigurationError("storage: expected DAGSTER_HOME, found none; set it to the home's folder dagster_home")
    home = Path(given)
    require_sqlite(Home(home.parent))
    return (
        SqliteRunStorage.from_local(str(home / "history")),
        PooledSqliteEventLog(str(home / "history" / "runs")),
        SqliteScheduleStorage.from_local(str(home / "schedules")),
    )
