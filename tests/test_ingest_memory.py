"""How many months of files there are costs an ingest no memory."""

import subprocess
import sys
from pathlib import Path

from tests.replica.handle import ROOT

SYMBOLS = 300
FEW, MANY = 300, 1000
"""Days, of which each symbol has a file."""

GROWTH_MIB = 48
"""As rows in memory, 210,000 more files would take 250."""


def peak(folder: Path, days: int) -> float:
    """MiB of a process that surveys and plans, first with nothing and then with everything stored."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.memory_driver", str(SYMBOLS), str(days), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    new, unchanged, known, mib = map(float, done.stdout.split())
    assert new == unchanged == known == SYMBOLS * days
    return mib


def test_three_times_the_months_take_no_more_memory(tmp_path: Path) -> None:
    assert peak(tmp_path / "many", MANY) - peak(tmp_path / "few", FEW) < GROWTH_MIB
