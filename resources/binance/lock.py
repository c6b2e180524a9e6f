"""One ingest at a time in one home."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from sleevegraph.errors import LakeError


@contextmanager
def ingest_lock(path: Path) -> Iterator[None]:
    """Hold the home's ingest lock; LakeError, naming the process, while another one does.

    The kernel frees it when its holder ends, however that happens, so a killed ingest locks nobody out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise LakeError(
                f"{path.parent}: expected no other ingest, found one at work (process {holder}); wait for it or stop it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
