"""How an attempt dies: SIGKILL right before its n-th step of a kind, or from outside, at a time or at a write of SQLite."""

import mmap
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

STEPS = {"open": "open", "os.rename": "rename", "os.remove": "remove", "os.mkdir": "mkdir"}
"""Audit events of the interpreter, and what they are called here. Each is raised before the system is asked."""
FOLDERS = {"data/lake/daily_bars": "bars", "data/lake": "lake", "data/receipts": "receipts", "runs": "runs"}
"""What a step is about, by the folder of its file; the more exact name first."""
PHASES = ("start", *FOLDERS.values(), "other", "events")


@dataclass(frozen=True)
class Death:
    """Before the n-th `step`, such as "rename receipts", which is before the temporary file is moved into place; "remove
    receipts" is after that, and before Dagster is told. "cpu" is at a share of the processor time that a whole attempt
    takes, "events" at the n-th write seen of the write-ahead log of Dagster's index, in the midst of its commit."""

    step: str
    number: float
    alone: bool = False
    """Whether its worker processes are left alive, as by a system that is out of memory."""


class Notes:
    """What an attempt was doing, in memory that outlives it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def phase(self) -> str:
        return PHASES[self._memory[0]]

    def enter(self, phase: str) -> None:
        self._memory[0] = PHASES.index(phase)


def await_death(root: Path, death: Death, notes: Notes, reached: Callable[[str], None]) -> Counter[str]:
    """Die in the midst of a step of this process; the steps until then are counted.

    `reached` is told each file that was moved into place, by its temporary name.
    """
    taken: Counter[str] = Counter()
    folders = {str(root / folder): name for folder, name in FOLDERS.items()}

    def step(event: str, args: tuple[object, ...]) -> None:
        if event not in STEPS or not _writes(event, args):
            return
        path = str(args[0])
        about = next((name for folder, name in folders.items() if path.startswith(folder)), "other")
        if not path.startswith(str(root)):
            return
        notes.enter(about)
        name = f"{STEPS[event]} {about}"
        taken[name] += 1
        if name == death.step and taken[name] == death.number:
            os.kill(os.getpid() if death.alone else -os.getpid(), signal.SIGKILL)
        if event == "os.remove":
            reached(path)

    sys.addaudithook(step)
    return taken


def _writes(event: str, args: tuple[object, ...]) -> bool:
    return event != "open" or (isinstance(args[1], str) and args[1][0] in "wax")


def processor_seconds(pid: int) -> float:
    """Of a process, all of its threads together; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def writes_seen(file: Path) -> Iterator[int]:
    """How often the file was seen to have been written until now."""
    seen, count = 0, 0
    while True:
        written = file.stat().st_mtime_ns if file.exists() else 0
        count += written != seen
        seen = written
        yield count
