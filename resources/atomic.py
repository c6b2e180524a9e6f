"""Files that are there whole or not at all."""

import os
from collections.abc import Callable
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path

from sleevegraph.errors import LakeError

_ADVICE = {
    ENOSPC: "make room on its disk and run this again",
    EDQUOT: "make room in the quota and run this again",
    EROFS: "make its disk writable and run this again",
    EACCES: "let this user write there and run this again",
    EPERM: "let this user write there and run this again",
}


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then move it into place in one step.

    A process killed on the way leaves the old file (or none) and a hidden neighbour that no reader looks at.

    Raises
    ------
    LakeError
        When the disk is full or cannot be written to; nothing is changed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> Exception:
    """What to raise for a write that failed: a LakeError where the disk is the cause, else the error itself."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return error
    return LakeError(f"{path}: expected to write it, found: {error.strerror}; nothing is changed there; {advice}")
