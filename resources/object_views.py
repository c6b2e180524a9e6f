"""A lake in object storage as DuckDB sees it while views over it are made: through this process, without an extension.

Whoever opens the views later reads the objects with DuckDB's own extension httpfs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import filter as matching
from io import BytesIO
from typing import Any

import duckdb
from fsspec import AbstractFileSystem

from resources import places
from resources.lake import Lake


class LakeFiles(AbstractFileSystem):
    """The partitions of a lake, read whole."""

    protocol = "s3"
    cachable = False

    def __init__(self, lake: Lake) -> None:
        """Look once at what is stored; names are without the protocol, as fsspec has them."""
        super().__init__()
        self._stored = {place.path: place for place in (lake.path(*stored) for stored in lake.stored())}

    def fetch(self, lake: Lake) -> None:
        """Have files at hand, as many as there is room for: DuckDB asks for one after the other."""
        for _ in places.for_each(lake.root, places.content, self._stored.values()):
            pass

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Names that match a pattern."""
        return sorted(matching(self._stored, self._strip_protocol(path)))

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Size of a file."""
        version = places.version(self._stored[self._strip_protocol(path)])
        if version is None:
            raise FileNotFoundError(path)
        return {"name": path, "size": version[-1], "type": "file"}

    def modified(self, path: str) -> datetime:
        """No time: nothing is kept from one making of the views to the next."""
        del path
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> BytesIO:
        del mode
        return BytesIO(places.content(self._stored[path])[1])


@contextmanager
def lake_files(connection: duckdb.DuckDBPyConnection, lake: Lake) -> Iterator[None]:
    """Let a connection read the lake's URLs for as long as the block runs."""
    with lake.one_look():
        files = LakeFiles(lake)
        files.fetch(lake)
        connection.register_filesystem(files)
        try:
            yield
        finally:
            connection.unregister_filesystem(files.protocol)
