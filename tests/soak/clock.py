"""A clock that the driver moves and that every process of the desk reads: libfaketime, from Debian's package faketime."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FAKED = Path(__file__).resolve().parent / "faked"
_FOLDERS = (Path("/usr/lib"), Path("/usr/local/lib"))
_SHARED = Path("/dev/shm")  # noqa: S108 - where libfaketime leaves what a killed process could not remove
NAME = "libfaketimeMT.so.1"


def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    places = (f"faketime/{NAME}", f"*/faketime/{NAME}")
    return next((found for folder in _FOLDERS for place in places for found in folder.glob(place)), None)


class Clock:
    """Whole seconds between the real clock and the desk's, in a file that is read at every look at the time."""

    def __init__(self, file: Path, start: datetime) -> None:
        self.file = file
        self._seconds = 0
        self.set(start)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._seconds, UTC)

    def set(self, moment: datetime) -> None:
        self._seconds = round(moment.timestamp() - time.time())
        temporary = self.file.with_suffix(".new")
        temporary.write_text(f"{self._seconds:+d}\n")
        temporary.replace(self.file)

    def move(self, by: timedelta) -> None:
        self.set(self.now() + by)

    def variables(self, project: Path) -> Mapping[str, str]:
        """What a process needs in its environment to read this clock; sleeps and time limits stay real."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else it takes the deadlines of waits on condition variables, every 5 ms at the interpreter lock, for long gone.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": os.pathsep.join((str(_FAKED), str(project))),
        }


def forget(pid: int) -> None:
    """Remove what libfaketime keeps for a process that is gone."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (_SHARED / name).unlink(missing_ok=True)
