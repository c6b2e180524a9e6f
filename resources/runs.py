"""Bundles: one folder per portfolio and rebalance, there as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path

from resources.atomic import unwritable
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.layout import LEDGER
from sleevegraph.errors import AuditError


class Runs:
    """Bundles under `root`.

    A bundle is written beside its place under a hidden name and moved there, the one before is moved aside first. A
    process killed between the two moves leaves none in place: whoever comes next puts the one aside back.
    """

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist yet."""
        self.root = root

    def path(self, name: str, at: date) -> Path:
        """Where a bundle is or would be."""
        return self.root / run_id(name, at)

    def read(self, name: str, at: date) -> dict[str, bytes]:
        """Content of every file by its path in the bundle; empty without a bundle."""
        with self._in_place(name, at) as place:
            return _content(place)

    def file(self, name: str, at: date, file: str) -> bytes:
        """Content of one file; empty without it."""
        with self._in_place(name, at) as place:
            return (place / file).read_bytes() if (place / file).is_file() else b""

    def ledger(self, name: str, at: date) -> str:
        """The ledger's text; empty without a bundle."""
        try:
            return self.file(name, at, LEDGER).decode("ascii")
        except UnicodeDecodeError as error:
            path = self.path(name, at) / LEDGER
            raise AuditError(f"{path}: expected ASCII, found another byte at {error.start}; restore it") from error

    def write(self, name: str, at: date, files: Mapping[str, bytes]) -> None:
        """Replace a bundle by one of exactly these files; one that has them already is not touched."""
        self.root.mkdir(parents=True, exist_ok=True)
        place = self.path(name, at)
        with self._locked(LOCK_EX):
            _put_back(place)
            for leftover in (*self.root.glob(f".{place.name}.*.tmp"), _aside(place)):  # of processes that were killed
                shutil.rmtree(leftover, ignore_errors=True)
            if _content(place) == files:
                return
            new = place.with_name(f".{place.name}.{os.getpid()}.tmp")
            try:
                _fill(new, files)
                if place.is_dir():
                    place.rename(_aside(place))
                new.rename(place)
            except OSError as error:
                raise unwritable(place, error) from error
            finally:
                shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(_aside(place), ignore_errors=True)

    @contextmanager
    def _in_place(self, name: str, at: date) -> Iterator[Path]:
        """A bundle's place while nobody writes."""
        place = self.path(name, at)
        if not place.is_dir() and _aside(place).is_dir():
            with self._locked(LOCK_EX):
                _put_back(place)
        with self._locked(LOCK_SH):
            yield place

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        """One writer at a time, and no reader while it moves folders."""
        if not self.root.is_dir():
            yield
            return
        folder = os.open(self.root, os.O_RDONLY)
        try:
            flock(folder, mode)
            yield
        finally:
            os.close(folder)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _put_back(place: Path) -> None:
    """Move back what a process moved aside before it was killed."""
    if not place.is_dir() and _aside(place).is_dir():
        _aside(place).rename(place)


def _content(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    }
