"""Files that were read before are not opened again, and nobody ever sees another file's rows."""

import os
from pathlib import Path

import polars as pl
import pytest
from polars.exceptions import PolarsError

from resources.atomic import write_atomically
from resources.frames import Frames
from resources.places import Place, Version


class CountedFrames(Frames):
    """Frames that count how often each file is opened."""

    def __init__(self, limit: int = 2**20) -> None:
        super().__init__(limit)
        self.opened: list[str] = []

    def _load(self, path: Place, version: Version) -> tuple[Version, str, pl.DataFrame]:
        self.opened.append(path.name)
        return super()._load(path, version)


def write(path: Path, *values: float) -> Path:
    write_atomically(path, pl.DataFrame({"x": values}).write_parquet)
    return path


def test_a_file_is_opened_once_and_again_only_when_it_was_written(tmp_path: Path) -> None:
    frames, path = CountedFrames(), write(tmp_path / "a", 1.0, 2.0)
    assert [frames.read(path)["x"].to_list() for _ in range(3)] == [[1.0, 2.0]] * 3
    assert frames.opened == ["a"]
    write(path, 3.0, 4.0)
    assert [frames.read(path)["x"].to_list() for _ in range(2)] == [[3.0, 4.0]] * 2
    assert frames.opened == ["a", "a"]


def test_a_file_written_anew_in_the_same_instant_at_the_same_size_is_read_anew(tmp_path: Path) -> None:
    frames, path = CountedFrames(), write(tmp_path / "a", 1.0)
    before = path.stat()
    assert frames.read(path).item() == 1.0
    write(path, 2.0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert frames.read(path).item() == 2.0


def test_a_file_written_into_whose_time_was_set_back_is_read_anew(tmp_path: Path) -> None:
    frames, path, other = CountedFrames(), write(tmp_path / "a", 1.0), write(tmp_path / "b", 2.0)
    before = path.stat()
    assert frames.read(path).item() == 1.0
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert frames.read(path).item() == 2.0


def test_rows_are_those_of_the_content_whatever_the_name(tmp_path: Path) -> None:
    frames = CountedFrames()
    first, same, other = write(tmp_path / "a", 1.0), write(tmp_path / "b", 1.0), write(tmp_path / "c", 2.0)
    assert [frames.read(path).item() for path in (first, same, other)] == [1.0, 1.0, 2.0]
    assert len(frames._frames) == 2
    same.write_bytes(other.read_bytes())
    assert [frames.read(path).item() for path in (first, same, other)] == [1.0, 2.0, 2.0]


def test_what_a_reader_does_with_its_frame_is_its_own(tmp_path: Path) -> None:
    frames, path = CountedFrames(), write(tmp_path / "a", 1.0)
    own = frames.read(path)
    own.insert_column(0, pl.Series("y", [9.0]))
    own[0, "x"] = 5.0
    assert frames.read(path).to_dict(as_series=False) == {"x": [1.0]}


def test_the_oldest_frames_go_when_there_is_no_room(tmp_path: Path) -> None:
    frames = CountedFrames(limit=80)
    a, b, c = (write(tmp_path / name, *[float(i)] * 4) for i, name in enumerate("abc"))
    for path in (a, b, a, c, a, b):  # 32 bytes each: the third drives out b, which was asked for before a
        frames.read(path)
    assert frames.opened == ["a", "b", "c", "b"]
    large = write(tmp_path / "d", *range(20))
    frames.read(large)
    frames.read(a)
    assert frames.opened == ["a", "b", "c", "b", "d"], "one that never fits drives nobody out"
    assert frames._size <= 80


def test_a_file_that_cannot_be_read_is_never_remembered(tmp_path: Path) -> None:
    frames, path = CountedFrames(), tmp_path / "a"
    path.write_bytes(b"PAR1 but no more")
    for _ in range(2):
        with pytest.raises(PolarsError):
            frames.read(path)
    write(path, 1.0)
    assert frames.read(path).item() == 1.0
    path.unlink()
    with pytest.raises(FileNotFoundError):
        frames.read(path)
