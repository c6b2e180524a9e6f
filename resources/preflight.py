"""What the settings of this machine name, tried before anything depends on it: a database, a bucket, a broker, alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Trouble:
    """A setting that does not work."""

    setting: str
    """Name of the environment variable."""
    tried: str
    """What was done, against which address; without secrets."""
    found: str
    """What came of it, and what to do."""
    still: str
    """What works all the same, and what does not."""

    def __str__(self) -> str:
        return f"{self.setting}: tried {self.tried}, found {self.found}; {self.still}"


ATTEMPTS: list[Callable[[], list[Trouble]]] = []
"""Each tries one setting where it is set, and gives up after some seconds."""


def preflight() -> list[Trouble]:
    """Try every setting that is set."""
    return [trouble for attempt in ATTEMPTS for trouble in attempt()]


def without_secrets(url: str) -> str:
    """A URL by scheme, host and port alone: the rest of one may be a password, a token or a webhook's secret path."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return urlunsplit((parts.scheme, f"{parts.hostname or ''}{port}", "", "", ""))
