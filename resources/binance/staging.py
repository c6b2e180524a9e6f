"""Files that were fetched and not stored yet, so that an ingest that was killed does not fetch them again."""

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path

from resources.binance.archive import Download, ListedFile, unpacked

_NAME = 32


class Staging:
    """One file each under `folder`, named by its key and SHA-256; what does not match its name counts as absent.

    Names are digests, so that nothing that a listing says becomes a path.
    """

    def __init__(self, folder: Path, host: str) -> None:
        """Use the folder; `host` is where its files came from."""
        self._folder = folder
        self._host = host
        folder.mkdir(parents=True, exist_ok=True)
        self._found = {path.name.split("-")[0]: path for path in folder.iterdir()}

    def take(self, file: ListedFile) -> Download | None:
        """The file as it was fetched earlier, if it is whole and still the listed version."""
        path = self._found.get(_name(file.key))
        if path is None:
            return None
        fetched_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        body = path.read_bytes()
        digest = sha256(body).hexdigest()
        listed = md5(body, usedforsecurity=False).hexdigest() == file.etag or "-" in file.etag
        if not listed or len(body) != file.size or path.name != f"{_name(file.key)}-{digest}":
            return None
        return Download(file, body, unpacked(file, body), digest, fetched_at, self._host)

    def keep(self, file: ListedFile, download: Download) -> None:
        """Put a file aside until its rows are stored."""
        name = _name(file.key)
        self.drop([file.key])
        path = self._folder / f"{name}-{download.sha256}"
        path.write_bytes(download.body)
        self._found[name] = path

    def drop(self, keys: Iterable[str]) -> None:
        """Forget files whose rows are stored."""
        for key in keys:
            path = self._found.pop(_name(key), None)
            if path is not None:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget also what killed ingests left of files that are stored, or wanted no longer."""
        for path in self._folder.iterdir():
            path.unlink()


def _name(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:_NAME]
