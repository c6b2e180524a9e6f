"""A setting that does not work, and how an address is said without its secrets."""

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


def without_secrets(url: str) -> str:
    """A URL by scheme, host and port alone: the rest of one may be a password, a token or a webhook's secret path."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{url.partition(':')[0]}:..." if url.partition(":")[0].isalnum() else "no URL"
    return urlunsplit((parts.scheme, f"{parts.hostname or ''}{port}", "", "", ""))
