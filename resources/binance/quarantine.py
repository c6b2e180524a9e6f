"""Files that stay broken however often they are fetched: kept aside with the reason, never stored."""

import json
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import polars as pl

from resources.atomic import write_atomically
from sleevegraph.errors import LakeError

QUARANTINED = pl.Schema(
    {"key": pl.String(), "reason": pl.String(), "etag": pl.String(), "at": pl.Datetime("us", "UTC")}
)


class Quarantine:
    """One JSON file per broken file under `folder`, named by a digest of its key, with the bytes where there are any."""

    def __init__(self, folder: Path) -> None:
        """Use the folder, which need not exist yet."""
        self._folder = folder

    def put(self, key: str, etag: str, reason: str, at: datetime, body: bytes = b"") -> None:
        """Record why a file cannot be stored; the newest reason counts."""
        stem = self._folder / _name(key)
        if body:
            write_atomically(stem.with_suffix(".zip"), lambda temporary: temporary.write_bytes(body))
        record = {"key": key, "reason": reason, "etag": etag, "at": at.isoformat()}
        text = json.dumps(record, ensure_ascii=False) + "\n"
        write_atomically(stem.with_suffix(".json"), lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def release(self, key: str) -> None:
        """Forget a file that came whole after all."""
        for suffix in (".zip", ".json"):
            (self._folder / _name(key)).with_suffix(suffix).unlink(missing_ok=True)

    def files(self) -> pl.DataFrame:
        """QUARANTINED rows, sorted by key."""
        return pl.DataFrame(map(_record, self._folder.glob("[!.]*.json")), schema=QUARANTINED).sort("key")


def _record(path: Path) -> dict[str, object]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {**record, "at": datetime.fromisoformat(record["at"])}
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path}: expected a record of a broken file, found {error!r}; delete it") from error


def _name(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]
