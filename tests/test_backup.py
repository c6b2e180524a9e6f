import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from commands.home import create
from resources import archive
from resources.archive import MANIFEST
from resources.home import Home
from resources.receipts import State
from resources.records import record_postgres
from tests.command_homes import refused, sleevegraph
from tests.homes import KEYS, TemporaryHome, checks_of, small_definitions
from tests.made_runs import made_run
from tests.test_prune import forget_rebalance


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A home with settings and one file, and Dagster's files of no run."""
    home = Home(tmp_path / "home")
    create(home)
    (home.root / "data" / "lake" / "a").mkdir()
    (home.root / "data" / "lake" / "a" / "2022-02-09.parquet").write_bytes(b"rows")
    return home.root


def taken(home: Path, target: Path) -> Path:
    result = sleevegraph("backup", target, "--home", home)
    assert result.exit_code == 0, result.output
    return target


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_home_copied_during_a_run_is_restored_elsewhere_and_goes_on_with_the_same_bits(
    home: TemporaryHome, tmp_path: Path
) -> None:
    undisturbed = home.hashes(bars=True)
    forget_rebalance(home, KEYS[3])
    instance, lake = home.instance, home.store.folders.lake
    began = threading.Event()
    run = threading.Thread(target=home.run, args=(KEYS[3],))
    run.start()
    while run.is_alive() and not list(Path(lake).rglob(f"solver_cells/{KEYS[3]}.parquet")):
        began.wait(0.01)
    archive.take(home.root, tmp_path / "copy", [])
    assert run.is_alive(), "the copy was taken after the run"
    run.join()
    assert len(instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))) == 3
    target = tmp_path / "elsewhere"
    restored = sleevegraph("restore", tmp_path / "copy", "--home", target)
    assert restored.exit_code == 0, restored.output
    assert "1 runs were in progress and are failed now" in restored.output
    other = TemporaryHome(target, small_definitions())
    missing = undisturbed.keys() - other.hashes(bars=True).keys()
    assert missing, "the run had nothing left to do"
    assert {Path(name).stem for name in missing} == {KEYS[3]}
    assert sleevegraph("verify", target).exit_code == 0
    assert other.run(KEYS[3]).success
    assert other.hashes(bars=True) == undisturbed
    for path, check in checks_of(other.defs):
        assert other.store.receipts.state(path, check, KEYS[3]) == (State.PASSED, "")
    assert sleevegraph("verify", target).exit_code == 0
    other.close()


def test_what_doctor_says_of_a_home_it_says_of_the_restored_one(home: TemporaryHome, tmp_path: Path) -> None:
    home.close()
    sleevegraph("restore", taken(home.root, tmp_path / "copy"), "--home", tmp_path / "restored")
    said = [doctor(root) for root in (home.root, tmp_path / "restored")]
    assert said[0] == said[1]
    assert any(line.startswith("partitions:") and " OK" in line for line in said[0])


def doctor(root: Path) -> list[str]:
    lines = sleevegraph("doctor", "--home", root).output.splitlines()
    return [line for line in lines if line.startswith(("partitions:", "receipts:", "newest bar:", "meta_", "problem:"))]


def test_a_backup_has_all_of_a_home_but_locks_views_and_half_files(tiny: Path, tmp_path: Path) -> None:
    for name in ("data/warehouse.duckdb", "data/lake/a/.b.parquet.1.tmp", "dagster_home/alive/run"):
        (tiny / name).parent.mkdir(exist_ok=True)
        (tiny / name).write_bytes(b"x")
    copy = taken(tiny, tmp_path / "copy")
    assert set(contents(copy)) == {
        MANIFEST,
        "dagster_home/dagster.yaml",
        "data/home.json",
        "data/lake/a/2022-02-09.parquet",
        *({"data/lake.json"} if (tiny / "data/lake.json").exists() else ()),
    }


def test_an_sqlite_file_is_copied_as_it_was_committed(tiny: Path, tmp_path: Path) -> None:
    file = tiny / "data" / "alerts" / "outbox.sqlite"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (2)")  # in a transaction that goes on
        copy = taken(tiny, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "data" / "alerts" / "outbox.sqlite")) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert not list(copy.rglob("*-wal"))


def damage_byte(copy: Path) -> None:
    (copy / "data/lake/a/2022-02-09.parquet").write_bytes(b"rowz")


def remove_file(copy: Path) -> None:
    (copy / "data/lake/a/2022-02-09.parquet").unlink()


def add_file(copy: Path) -> None:
    (copy / "data/lake/a/2022-02-19.parquet").write_bytes(b"rows")


def link_file(copy: Path) -> None:
    file = copy / "data/lake/a/2022-02-09.parquet"
    file.rename(copy.parent / "outside")
    file.symlink_to(copy.parent / "outside")


def cut_manifest(copy: Path) -> None:
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text()[:50])


def list_outside(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"]["../outside"] = manifest["files"].pop("data/lake/a/2022-02-09.parquet")
    (copy / MANIFEST).write_text(json.dumps(manifest))


def other_format(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_byte, "expected the file that was copied, found another"),
        (remove_file, "expected the files of backup.json, found none"),
        (add_file, "expected the files of backup.json, found one that is not listed"),
        (link_file, "expected the file that was copied, found another"),
        (cut_manifest, "SOURCE: expected a backup with backup.json in"),
        (list_outside, "expected the files of backup.json, found"),
        (other_format, "SOURCE: expected format 1 in"),
    ],
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    tiny: Path, tmp_path: Path, damage: Callable[[Path], None], expected: str
) -> None:
    copy = taken(tiny, tmp_path / "copy")
    damage(copy)
    assert expected in refused("restore", copy, "--home", tmp_path / "new")
    assert not [path for path in tmp_path.iterdir() if "new" in path.name]


def test_a_home_that_is_not_empty_is_refused_and_stays(tiny: Path, tmp_path: Path) -> None:
    copy, before = taken(tiny, tmp_path / "copy"), contents(tiny)
    assert "--home: expected nothing at" in refused("restore", copy, "--home", tiny)
    assert contents(tiny) == before
    (tmp_path / "empty").mkdir()
    assert sleevegraph("restore", copy, "--home", tmp_path / "empty").exit_code == 0
    assert contents(tmp_path / "empty")["data/lake/a/2022-02-09.parquet"] == b"rows"
    assert "--home: expected a folder outside the backup" in refused("restore", copy, "--home", copy / "home")
    assert not (copy / "home").exists()


def test_a_backup_that_breaks_off_leaves_no_folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        assert "No space left on device" in refused("backup", tmp_path / "copy", "--home", tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert f"DEST: expected nothing there, found {tiny}" in refused("backup", tiny, "--home", tiny)
    assert "DEST: expected a folder outside the home" in refused("backup", tiny / "data" / "copy", "--home", tiny)


def test_what_is_elsewhere_is_named(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEVEGRAPH_POSTGRES_URL", "postgresql://somebody:hidden@127.0.0.1:1/x")
    result = sleevegraph("backup", tmp_path / "copy", "--home", tiny)
    assert result.exit_code == 0, result.output
    assert "not in it: runs, events and schedules are in PostgreSQL" in result.stderr
    assert "hidden" not in result.output + (tmp_path / "copy" / MANIFEST).read_text()


def test_runs_in_sqlite_are_told_of_where_postgresql_is_set(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(made(tiny / "dagster_home" / "history" / "runs.db"))) as connection:
        connection.execute("CREATE TABLE runs (x)")
    copy = taken(tiny, tmp_path / "copy")
    monkeypatch.setenv("SLEEVEGRAPH_POSTGRES_URL", "postgresql://somebody:hidden@127.0.0.1:1/x")
    result = sleevegraph("restore", copy, "--home", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "its runs are in SQLite, and SLEEVEGRAPH_POSTGRES_URL is set: sleevegraph migrate" in result.stderr


def test_a_home_of_postgresql_is_restored_without_its_database_and_asks_for_it_then(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(made(tiny / "dagster_home" / "history" / "runs.db"))) as connection:
        connection.execute("CREATE TABLE runs (x)")  # of the time before a migrate
    record_postgres(Home(tiny))
    copy = taken(tiny, tmp_path / "copy")
    assert sleevegraph("restore", copy, "--home", tmp_path / "new").exit_code == 0
    assert contents(tmp_path / "new").keys() - contents(copy).keys() == {"dagster_home/alive/.restored"}
    said = refused("automate", "status", "--home", tmp_path / "new")
    assert f"delete {tmp_path / 'new' / 'data' / 'records.json'}" in said
    monkeypatch.setenv("SLEEVEGRAPH_POSTGRES_URL", "postgresql://somebody:hidden@127.0.0.1:1/x")
    result = sleevegraph("restore", copy, "--home", tmp_path / "newer")
    assert result.exit_code == 0
    assert "copy them by pg_dump" in result.stderr
    assert "sleevegraph migrate" not in result.stderr, "nothing is to be migrated"


def made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def test_runs_of_the_past_are_restored_as_they_were(home: TemporaryHome, tmp_path: Path) -> None:
    failed = made_run(home, dg.DagsterRunStatus.FAILURE)
    before = {r.dagster_run.run_id: r.dagster_run.status for r in home.instance.get_run_records()}
    home.close()
    sleevegraph("restore", taken(home.root, tmp_path / "copy"), "--home", tmp_path / "new")
    other = TemporaryHome(tmp_path / "new", small_definitions())
    found = {r.dagster_run.run_id: r.dagster_run.status for r in other.instance.get_run_records()}
    other.close()
    assert found == before
    assert found[failed] is dg.DagsterRunStatus.FAILURE
