"""A bundle's folder is there as a whole or not at all, whenever its writer was killed."""

import os
import threading
from datetime import date
from pathlib import Path

import pytest

from resources.runs import Runs
from sleevegraph.errors import AuditError

NAME, AT = "a_sleeve", date(2023, 12, 1)
OLD = {"audit.jsonl": b"old\n", "data/a.json": b"{}\n", "reports/gone.html": b"x"}
NEW = {"audit.jsonl": b"old\nnew\n", "data/a.json": b'{"a": 1}\n'}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def names(runs: Runs) -> list[str]:
    return sorted(path.name for path in runs.root.iterdir())


def test_a_bundle_is_the_folder_that_the_contract_names(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    assert runs.path(NAME, AT) == runs.root / "a_sleeve-20231201"
    assert (runs.path(NAME, AT) / "data" / "a.json").read_bytes() == b"{}\n"
    assert runs.read(NAME, AT) == OLD
    assert runs.ledger(NAME, AT) == "old\n"
    assert runs.file(NAME, AT, "data/a.json") == b"{}\n"


def test_nothing_is_read_where_nothing_was_written(runs: Runs) -> None:
    assert runs.read(NAME, AT) == {}
    assert runs.ledger(NAME, AT) == ""
    assert runs.file(NAME, AT, "data/a.json") == b""
    assert not runs.root.exists()


def test_a_new_bundle_replaces_the_old_one_as_a_whole(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    runs.write(NAME, AT, NEW)
    assert runs.read(NAME, AT) == NEW
    assert names(runs) == ["a_sleeve-20231201"]


def test_the_same_content_is_not_written_again(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    before = {path: path.stat().st_mtime_ns for path in runs.root.rglob("*")}
    runs.write(NAME, AT, dict(OLD))
    assert {path: path.stat().st_mtime_ns for path in runs.root.rglob("*")} == before


def test_a_writer_killed_while_it_filled_the_new_folder_leaves_the_old_bundle(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    half = runs.root / f".a_sleeve-20231201.{os.getpid() + 1}.tmp"
    half.mkdir()
    (half / "audit.jsonl").write_bytes(b"ne")
    assert runs.read(NAME, AT) == OLD
    runs.write(NAME, AT, NEW)
    assert runs.read(NAME, AT) == NEW
    assert names(runs) == ["a_sleeve-20231201"]


@pytest.mark.parametrize("next_one", ["reads", "asks for the ledger", "writes the same", "writes another"])
def test_a_writer_killed_between_the_two_moves_loses_nothing(runs: Runs, next_one: str) -> None:
    runs.write(NAME, AT, OLD)
    runs.path(NAME, AT).rename(runs.root / ".a_sleeve-20231201.old")
    whole = runs.root / ".a_sleeve-20231201.999999.tmp"
    whole.mkdir()
    (whole / "audit.jsonl").write_bytes(NEW["audit.jsonl"])
    if next_one == "asks for the ledger":
        assert runs.ledger(NAME, AT) == "old\n"
    elif next_one == "writes the same":
        runs.write(NAME, AT, OLD)
    elif next_one == "writes another":
        runs.write(NAME, AT, NEW)
    assert runs.read(NAME, AT) == (NEW if next_one == "writes another" else OLD)
    if next_one.startswith("writes"):
        assert names(runs) == ["a_sleeve-20231201"]


def test_a_writer_killed_while_it_deleted_the_old_bundle_leaves_the_new_one(runs: Runs) -> None:
    runs.write(NAME, AT, NEW)
    rest = runs.root / ".a_sleeve-20231201.old"
    rest.mkdir()
    (rest / "audit.jsonl").write_bytes(b"old\n")
    assert runs.read(NAME, AT) == NEW
    runs.write(NAME, AT, OLD)
    assert runs.read(NAME, AT) == OLD
    assert names(runs) == ["a_sleeve-20231201"]


def test_a_write_that_fails_leaves_the_old_bundle(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    with pytest.raises(OSError, match="directory"):
        runs.write(NAME, AT, {**NEW, "data": b"a file where a folder is needed"})
    assert runs.read(NAME, AT) == OLD
    assert names(runs) == ["a_sleeve-20231201"]


def test_a_write_that_fails_after_another_was_killed_loses_nothing_either(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    runs.path(NAME, AT).rename(runs.root / ".a_sleeve-20231201.old")
    with pytest.raises(OSError, match="directory"):
        runs.write(NAME, AT, {**NEW, "data": b"a file where a folder is needed"})
    assert runs.read(NAME, AT) == OLD


def test_bundles_of_other_days_and_names_are_left_alone(runs: Runs) -> None:
    runs.write(NAME, date(2023, 12, 11), OLD)
    runs.write("another", AT, OLD)
    runs.write(NAME, AT, NEW)
    assert runs.read(NAME, date(2023, 12, 11)) == runs.read("another", AT) == OLD


def test_a_reader_beside_a_writer_never_sees_a_mixture(runs: Runs) -> None:
    runs.write(NAME, AT, OLD)
    done = threading.Event()

    def write() -> None:
        for turn in range(40):
            runs.write(NAME, AT, OLD if turn % 2 else NEW)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(runs.read(NAME, AT))
    writer.join()
    assert seen
    assert all(bundle in (OLD, NEW) for bundle in seen)


def test_a_ledger_that_is_no_ascii_is_named(runs: Runs) -> None:
    runs.write(NAME, AT, {"audit.jsonl": b'{"a": "\xff"}\n'})
    with pytest.raises(AuditError, match=r"a_sleeve-20231201/audit\.jsonl: expected ASCII, found another byte at 7"):
        runs.ledger(NAME, AT)
