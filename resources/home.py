"""Where all state lives: one home folder with `dagster_home/` (runs, events) and `data/` (lake, receipts).

Partitions, verdicts, acceptances and bundles may be in object storage instead.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from resources import places
from resources.atomic import write_atomically
from resources.places import Place
from sleevegraph.errors import ConfigurationError

if TYPE_CHECKING:
    from upath import UPath

PROJECT = Path(__file__).resolve().parent.parent
HOME_VARIABLE = "SLEEVEGRAPH_HOME"
LAKE_VARIABLE = "SLEEVEGRAPH_LAKE"

RECORD = Path("data", "lake.json")
"""Under a home: where its lake is."""
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}")


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one home."""

    root: Path
    objects: str = ""
    """URL in object storage of what decisions and audits read; empty: it is here, too."""

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster_home"

    @property
    def lake(self) -> Place:
        """Parquet by asset and partition."""
        return place_at(self.objects) / "lake" if self.objects else self.root / "data" / "lake"

    @property
    def receipts(self) -> Place:
        """Verdicts of checks by asset, check and partition."""
        return place_at(self.objects) / "receipts" if self.objects else self.root / "data" / "receipts"

    @property
    def runs(self) -> Place:
        """Audit bundles by portfolio and rebalance."""
        return place_at(self.objects) / "runs" if self.objects else self.root / "runs"

    @property
    def acceptances(self) -> Place:
        """Warnings that an operator accepted."""
        return place_at(self.objects) / "acceptances" if self.objects else self.root / "data" / "acceptances"

    @property
    def market(self) -> Path:
        """What was fetched of an exchange, as it gave it: rows, provenance, revisions, quarantine."""
        return self.root / "data" / "market"

    @property
    def source(self) -> Path:
        """Which market source this home's bars come from."""
        return self.root / "data" / "source.json"

    @property
    def warehouse(self) -> Path:
        """DuckDB views over the lake."""
        return self.root / "data" / "warehouse.duckdb"


def find_home(given: str = "") -> Home:
    """Return the home `given`, else SLEEVEGRAPH_HOME, else the folder above DAGSTER_HOME, else the project.

    A DAGSTER_HOME counts when its folder is named `dagster_home`, so that Dagster's own command line finds
    the same lake as `sleevegraph --home`. Its lake is where SLEEVEGRAPH_LAKE says, else in the home.
    """
    objects = lake_url(os.environ.get(LAKE_VARIABLE, ""))
    chosen = given or os.environ.get(HOME_VARIABLE, "")
    if chosen:
        return Home(Path(chosen).expanduser().resolve(), objects)
    dagster_home = os.environ.get("DAGSTER_HOME", "")
    if dagster_home and Path(dagster_home).name == "dagster_home":
        return Home(Path(dagster_home).resolve().parent, objects)
    return Home(PROJECT, objects)


def lake_url(given: str) -> str:
    """Return a URL as s3://bucket/prefix without a slash at its end; empty for an empty one.

    Raises
    ------
    ConfigurationError
        For any other one.
    """
    if not given:
        return ""
    try:
        parts = urlsplit(given.strip())
        beside = (parts.username, parts.password, parts.port, parts.query, parts.fragment)
    except ValueError:
        parts, beside = urlsplit(""), ("",)
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or any(part is not None and part for part in beside):
        named = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else "no URL"
        raise ConfigurationError(
            f"{LAKE_VARIABLE}: expected s3://bucket/prefix, found {named}{' and more' if any(beside) else ''}; credentials "
            "and endpoint are set by the AWS_... variables"
        )
    return f"s3://{parts.netloc}{parts.path}".rstrip("/")


def place_at(url: str) -> "UPath":
    """A place in object storage; ConfigurationError without the packages for it."""
    try:
        import s3fs  # noqa: F401, PLC0415 - an extra
        from upath import UPath  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{LAKE_VARIABLE}: expected the packages for object storage, found no {error.name}; "
            "run pip install 'sleevegraph[s3]'"
        ) from error
    return UPath(url)


def has_lake(home: Home) -> bool:
    """Whether anything is stored in a home's lake, or its folder is there."""
    return home.lake.is_dir() if isinstance(home.lake, Path) else bool(places.below(home.lake))


def home_at(root: Path) -> Home:
    """A home with its lake where its record says, whatever the environment says."""
    return Home(root, recorded_lake(root) or "")


def recorded_lake(root: Path) -> str | None:
    """Where a home's lake is recorded to be: a URL, empty for in the home; None where nothing is recorded."""
    path = root / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        record = str(error)
    if not isinstance(record, dict) or not isinstance(record.get("url"), str):
        raise ConfigurationError(f"{path}: expected JSON with the url of a lake, found {record!r}; restore it")
    return lake_url(record["url"])


def record_lake(home: Home) -> None:
    """Remember where a home's lake is, before anything is stored there."""
    if recorded_lake(home.root) is None:
        text = json.dumps({"url": home.objects}) + "\n"
        write_atomically(home.root / RECORD, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def with_its_lake(home: Home) -> Home:
    """The home, unless its lake is elsewhere: ConfigurationError, since an empty lake would be begun beside the other."""
    known = recorded_lake(home.root)
    if known is None and home.objects and any(any((home.root / name).glob("*")) for name in ("data/lake", "runs")):
        known = ""
    if known is not None and known != home.objects:
        raise ConfigurationError(
            f"{LAKE_VARIABLE}: expected {known or 'it unset'}, since {home.root} has its lake "
            f"{'there' if known else 'in data/lake'}, found {home.objects or 'it unset'}; "
            f"{f'set {LAKE_VARIABLE}={known}' if known else 'unset it'}, or use another home"
        )
    return home
