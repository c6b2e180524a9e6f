"""Run one rebalance of a home of the small manifest, in a process that somebody may kill: ROOT DATE."""

import sys
from pathlib import Path

from tests.homes import TemporaryHome, small_definitions

if __name__ == "__main__":
    TemporaryHome(Path(sys.argv[1]), small_definitions()).run_one(sys.argv[2])
