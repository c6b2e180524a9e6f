"""Decoded Parquet files by their content: whoever asks for the same bytes again gets the same rows."""

import hashlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from threading import Lock

import polars as pl

MAX_PATHS = 100_000
"""Whose content is remembered; each takes some 200 bytes."""

Version = tuple[int, int, int, int]
"""Inode, both times and size of a file.

Whoever writes it again, atomically, makes a new inode; whoever writes into it and sets its time back changes the other
one, which only the system sets.
"""


class Frames:
    """The frames that were asked for last, of at most `limit` bytes together.

    Keyed by the SHA-256 of a file's bytes and by nothing else; a file that has not been written since is not opened again.
    """

    def __init__(self, limit: int) -> None:
        """Hold nothing yet."""
        self._limit, self._size = limit, 0
        self._frames: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._contents: OrderedDict[Path, tuple[Version, str]] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path) -> pl.DataFrame:
        """Rows of a Parquet file; raises what polars and the file system raise."""
        stat = path.stat()
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
        with self._lock:
            known, content = self._contents.get(path, (None, ""))
            if known == version and content in self._frames:
                self._frames.move_to_end(content)
                return self._frames[content].clone()
        content, frame = self._load(path)
        with self._lock:
            self._contents[path] = (version, content)
            self._contents.move_to_end(path)
            if len(self._contents) > MAX_PATHS:
                self._contents.popitem(last=False)
            self._keep(content, frame)
        return frame.clone()

    def _load(self, path: Path) -> tuple[str, pl.DataFrame]:
        written = path.read_bytes()
        content = hashlib.sha256(written).hexdigest()
        with self._lock:
            if content in self._frames:
                return content, self._frames[content]
        return content, pl.read_parquet(BytesIO(written))

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
