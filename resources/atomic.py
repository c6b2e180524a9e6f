"""Files that are there whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from sleevegraph.errors import LakeError

_ADVICE = {
    ENOSPC: "make room on its disk and run this again",
    EDQUOT: "make room in the quota and run this again",
    EROFS: "make its disk writable and run this again",
    EACCES: "let this user write there and run this again",
    EPERM: "let this user write there and run this again",
}
_swept: set[Path] = set()
"""Folders without leftovers from before this process."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then move it into place in one step.

    `write` finds the neighbour there, empty. A process killed on the way leaves the old file (or none) and that neighbour,
    which no reader looks at and the next process that writes in the same folder removes.

    Raises
    ------
    LakeError
        When the disk is full or cannot be written to; nothing is changed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        try:
            with _locked(temporary):
                write(temporary)
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a new file locked: a process that does not see this one, as in another container, sees that it writes."""
    with path.open("wb") as file:
        with suppress(OSError):  # a file system without locks
            flock(file, LOCK_EX | LOCK_NB)
        yield


def _sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; one look per process, since no process leaves more than one file."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in folder.glob(".*.tmp"):
        number = path.name.split(".")[-2]
        if number.isdecimal() and (int(number) == os.getpid() or not _lives(int(number))):
            with suppress(OSError), path.open("rb") as file:
                flock(file, LOCK_EX | LOCK_NB)
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def unwritable(path: Path, error: OSError) -> Exception:
    """What to raise for a write that failed: a LakeError where the disk is the cause, else the error itself."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return error
    return LakeError(f"{path}: expected to write it, found: {error.strerror}; nothing is changed there; {advice}")
