"""An ingest in a process of its own that dies by SIGKILL, at a time or at a step; forked from one that has its imports."""

import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from resources.binance.market_lake import MarketLake
from resources.binance.progress import Silent
from resources.binance.settings import BinanceSettings
from sleevegraph.market_data.datasets import DATASETS, Dataset
from tests.ingests import ingest

HOURS = DATASETS["spot_klines_1h"]


@dataclass(frozen=True)
class Death:
    """After so many seconds, right before the n-th file of the lake is opened, renamed or deleted, or in the midst of
    the first file of it that grows beyond so many bytes (by SIGXFSZ, which the kernel sends)."""

    seconds: float | None = None
    step: int | None = None
    size: int | None = None


class _Sized(Silent):
    """Lets files grow no further than so many bytes, from the first one of the lake on: the requests are accounted for
    in a larger one."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def begin(self, stage: str, total: int) -> None:
        del total
        if stage == "files" and self.size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


def run(root: Path, settings: BinanceSettings, death: Death, report: Path, dataset: Dataset = HOURS) -> None:
    """Ingest until the end, or death; `report` gets the seconds and steps that the whole took."""
    numbers = count(1)
    taken = 0

    def step(event: str, args: tuple[object, ...]) -> None:
        nonlocal taken
        if event in {"open", "os.rename", "os.remove"} and str(args[0]).startswith(str(root)):
            taken = next(numbers)
            if taken == death.step:
                os.kill(os.getpid(), signal.SIGKILL)

    if death.seconds is not None:
        threading.Timer(death.seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if death.size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    sys.addaudithook(step)
    began = time.perf_counter()
    ingest(MarketLake(root), settings, dataset, progress=_Sized(death.size))
    report.write_text(f"{time.perf_counter() - began} {taken}")
