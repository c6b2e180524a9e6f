"""An ingest that is killed leaves nothing that a reader could stumble over, and the next one ends as if nothing had been."""

import multiprocessing
import random
import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import SPOOL, MarketLake
from resources.binance.settings import BinanceSettings
from sleevegraph.market_data.datasets import Dataset
from tests.ingest_driver import HOURS, Death, run
from tests.ingests import BARS, ingest, provenance, read_everything, rows_with_origin
from tests.replica.handle import Replica

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.ingest_driver"])
MOMENTS = 20
"""Half of them are times, half are steps: files about to be opened, renamed or deleted."""

State = dict[str, pl.DataFrame]


def state(lake: MarketLake) -> State:
    """Rows with the file and digest that each is from, and every file's provenance: all but times."""
    return {
        "rows": lake.rows(HOURS),
        "origins": rows_with_origin(lake, HOURS).drop("fetched_at"),
        "sources": provenance(lake, HOURS),
        "answers": lake.rest(HOURS).drop("fetched_at").sort("symbol", "open_time").collect(),
        "calendar": lake.calendar(HOURS),
    }


def die(root: Path, settings: BinanceSettings, death: Death, dataset: Dataset = HOURS) -> int | None:
    """The exit code of a process that ingests into `root`."""
    process = CONTEXT.Process(target=run, args=(root, settings, death, root.with_suffix(".report"), dataset))
    process.start()
    process.join(120)
    return process.exitcode


def damage(root: Path, stream: random.Random) -> None:
    """Cut a file that was put aside, as a machine that loses power would."""
    files = sorted(root.joinpath("staging").glob("*/*"))
    if files:
        victim = stream.choice(files)
        victim.write_bytes(victim.read_bytes()[: stream.randrange(200)])


@pytest.mark.slow
def test_killed_at_any_moment_an_ingest_is_resumed_to_the_same_rows_and_files(replica: Replica, tmp_path: Path) -> None:
    settings = replica.settings()
    quiet = tmp_path / "quiet"
    assert die(quiet, settings, Death()) == 0
    want = state(MarketLake(quiet))
    seconds, steps = map(float, quiet.with_suffix(".report").read_text().split())
    stream = random.Random(20250210)  # noqa: S311 - only has to be arbitrary
    times = [Death(seconds=seconds * (n + stream.random()) / (MOMENTS // 2)) for n in range(MOMENTS // 2)]
    deaths = times + [Death(step=n) for n in sorted(stream.sample(range(2, int(steps)), MOMENTS // 2))]
    killed = 0
    for death in deaths:
        root = tmp_path / "killed"
        killed += die(root, settings, death) == -signal.SIGKILL
        read_everything(root)
        damage(root, stream)
        ingest(MarketLake(root), settings, HOURS)
        for name, frame in state(MarketLake(root)).items():
            assert frame.equals(want[name]), (death, name)
        assert MarketLake(root).revisions(HOURS) == []
        assert not [path for path in root.joinpath("staging").rglob("*") if path.is_file()]
        assert not list(root.rglob(".*"))
        assert not list(root.glob(f"{SPOOL}*"))
        shutil.rmtree(root)
    # A process that a busy machine let go faster than the first one may have ended before its time.
    assert killed >= MOMENTS - 2


def test_killed_over_and_over_an_ingest_comes_to_its_end(replica: Replica, tmp_path: Path) -> None:
    settings = replica.settings()
    root = tmp_path / "killed"
    stream = random.Random(7)  # noqa: S311 - only has to be arbitrary
    codes = []
    while not codes or codes[-1] != 0:
        codes.append(die(root, settings, Death(step=stream.randrange(60, 150))))
        read_everything(root)
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert len(codes) > 2
    ingest(MarketLake(tmp_path / "quiet"), settings, HOURS)
    want = state(MarketLake(tmp_path / "quiet"))
    assert all(frame.equals(want[name]) for name, frame in state(MarketLake(root)).items())
    assert not list(root.glob(f"{SPOOL}*"))


def test_a_file_that_was_half_written_is_no_file_of_the_lake(replica: Replica, tmp_path: Path) -> None:
    quiet, root = MarketLake(tmp_path / "quiet"), tmp_path / "killed"
    ingest(quiet, replica.settings(), BARS)
    half = (quiet.root / BARS.name / "2024-11" / "archive-00.parquet").stat().st_size // 2
    assert quiet.sources(BARS)["size"].max() < half  # so that it is the lake's file which is cut, and no zip
    assert die(root, replica.settings(), Death(size=half), BARS) == -signal.SIGXFSZ
    assert list(root.rglob(".archive-00.parquet.*.tmp"))
    read_everything(root)
    assert MarketLake(root).rows(BARS).is_empty()
    ingest(MarketLake(root), replica.settings(), BARS)
    assert MarketLake(root).rows(BARS).equals(quiet.rows(BARS))
    assert not list(root.rglob(".*"))
