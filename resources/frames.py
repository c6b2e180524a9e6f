"""Decoded Parquet files by their content: whoever asks for the same bytes again gets the same rows."""

import hashlib
from collections import OrderedDict
from io import BytesIO
from threading import Lock

import polars as pl

from resources import places
from resources.places import Place, Version

MAX_PATHS = 100_000
"""Whose content is remembered; each takes some 200 bytes."""


class Frames:
    """The frames that were asked for last, of at most `limit` bytes together.

    Keyed by the SHA-256 of a file's bytes and by nothing else; a file that has not been written since is not opened again.
    """

    def __init__(self, limit: int) -> None:
        """Hold nothing yet."""
        self._limit, self._size = limit, 0
        self._frames: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._contents: OrderedDict[Place, tuple[Version, str]] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Place) -> pl.DataFrame:
        """Rows of a Parquet file; raises what polars and the file system raise."""
        version = places.version(path)
        if version is None:
            raise FileNotFoundError(path)
        with self._lock:
            known, content = self._contents.get(path, (None, ""))
            if known == version and content in self._frames:
                self._frames.move_to_end(content)
                return self._frames[content].clone()
        version, content, frame = self._load(path, version)
        with self._lock:
            self._contents[path] = (version, content)
            self._contents.move_to_end(path)
            if len(self._contents) > MAX_PATHS:
                self._contents.popitem(last=False)
            self._keep(content, frame)
        return frame.clone()

    def _load(self, path: Place, version: Version) -> tuple[Version, str, pl.DataFrame]:
        version, written = places.content(path, version)
        content = hashlib.sha256(written).hexdigest()
        with self._lock:
            if content in self._frames:
                return version, content, self._frames[content]
        return version, content, pl.read_parquet(BytesIO(written))

    def _keep(self, content: str, frame: pl.DataFrame) -> None:
        if frame.estimated_size() > self._limit:
            return
        if content not in self._frames:
            self._frames[content] = frame
            self._size += frame.estimated_size()
        self._frames.move_to_end(content)
        while self._size > self._limit:
            _, oldest = self._frames.popitem(last=False)
            self._size -= oldest.estimated_size()
