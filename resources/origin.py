"""Where a home was made: whoever is given a copy wants to know, though nothing in it depends on it."""

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from resources.atomic import write_atomically
from resources.home import Home
from sleevegraph.errors import ConfigurationError

RECORD = Path("data", "home.json")
"""Under the home."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A place on a machine."""

    root: str
    host: str

    def __str__(self) -> str:
        return f"{self.root} on {self.host}"


def place_of(home: Home) -> Origin:
    """Where a home is now."""
    return Origin(str(home.root), platform.node())


def record_origin(home: Home) -> None:
    """Remember where a home was made; a record that is there already stays."""
    path = home.root / RECORD
    if not path.exists():
        text = json.dumps(asdict(place_of(home)), sort_keys=True) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def recorded_origin(home: Home) -> Origin | None:
    """Where a home was made; None where nobody recorded it.

    Raises
    ------
    ConfigurationError
        For a record that cannot be read.
    """
    path = home.root / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        record = str(error)
    if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("root", "host")):
        raise ConfigurationError(f"{path}: expected JSON with root and host, found {record!r}; delete it")
    return Origin(record["root"], record["host"])
