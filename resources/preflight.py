"""What the settings of this machine name, tried before anything depends on it: a database, a lake, an executor, alerts."""

from collections.abc import Callable

from resources.channel_probes import alerts_trouble
from resources.executors import executor_troubles
from resources.lake_trouble import lake_trouble
from resources.postgres import postgres_trouble
from resources.trouble import Trouble

ATTEMPTS: list[Callable[[], list[Trouble]]] = [postgres_trouble, lake_trouble, executor_troubles, alerts_trouble]
"""Each tries one setting where it is set, and gives up after some seconds."""


def preflight() -> list[Trouble]:
    """Try every setting that is set."""
    return [trouble for attempt in ATTEMPTS for trouble in attempt()]
