"""What killed writers leave is removed by the next writer, and nobody removes what is being written."""

import os
import subprocess
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import pytest

from resources import atomic
from resources.atomic import write_atomically


@pytest.fixture(autouse=True)
def of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_swept", set())


@pytest.fixture
def ended() -> int:
    """Number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def hidden(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(".*")}


def test_what_processes_that_are_gone_left_in_a_folder_is_removed_by_the_next_writer(
    tmp_path: Path, ended: int
) -> None:
    (tmp_path / f".gone.parquet.{ended}.tmp").write_text("half")
    (tmp_path / f".mine.parquet.{os.getpid()}.tmp").write_text("of one that had this number before")
    kept = {f".lives.parquet.{os.getppid()}.tmp", ".notes.tmp"}
    for name in kept:
        (tmp_path / name).write_text("somebody else's")
    write_atomically(tmp_path / "new.json", lambda temporary: temporary.write_text("{}"))
    assert hidden(tmp_path) == kept


def test_a_file_that_is_locked_stays_although_its_writer_is_not_seen(tmp_path: Path, ended: int) -> None:
    of_another_container = tmp_path / f".far.parquet.{ended}.tmp"
    with of_another_container.open("w") as file:
        flock(file, LOCK_EX)
        write_atomically(tmp_path / "new.json", lambda temporary: temporary.write_text("{}"))
    assert hidden(tmp_path) == {of_another_container.name}


def test_a_file_is_locked_while_it_is_written(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        temporary.write_text("{}")
        with temporary.open() as file, pytest.raises(BlockingIOError):
            flock(file, LOCK_EX | LOCK_NB)

    write_atomically(tmp_path / "new.json", fill)
    assert (tmp_path / "new.json").read_text() == "{}"
    assert hidden(tmp_path) == set()
