import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.runs import SqliteRunStorage
from hypothesis import given
from hypothesis import strategies as st

from assets.gates import SIGN_TEST, streams_gates
from assets.keys import UNIVERSE, stage
from commands import gates as gates_command
from commands import prune as prune_command
from commands.prunable import why_unproven
from resources import run_history
from resources.lake import Lake
from resources.postgres import POSTGRES_VARIABLE
from resources.receipts import State
from sensors.unfinished import next_due
from sleevegraph.audit.layout import REPORT
from sleevegraph.calendar import grid_dates
from sleevegraph.errors import GateError
from sleevegraph.retention import EndedRun, needed_since, removable_runs, split
from tests.command_homes import refused, sleevegraph
from tests.homes import KEYS, LONG, SHORT, TemporaryHome, cause, small_manifest
from tests.made_runs import age, made_run
from tests.postgres import PostgresServer, needs_postgres

BULKY = ("candidates", "synthetic_returns", "solver_cells")
GRID = [str(day) for day in grid_dates(date(2022, 1, 10), date(2024, 1, 10))]
Prune = Callable[..., str]


@pytest.fixture
def prune(monkeypatch: pytest.MonkeyPatch) -> Prune:
    """The command on a home of the small manifest; what it said."""
    monkeypatch.setattr(prune_command, "manifest_in_use", small_manifest)

    def run(home: TemporaryHome, *options: str, keep: str = "90d") -> str:
        home.close()
        result = sleevegraph("prune", "--keep", keep, "--home", home.root, *options)
        assert result.exit_code == 0, result.output
        home.__dict__.pop("instance", None)
        return result.output

    return run


@given(
    stored=st.sets(st.sampled_from(GRID), min_size=1),
    held=st.sets(st.sampled_from(GRID), max_size=3),
    unproven=st.sets(st.sampled_from(GRID), max_size=5),
    cut=st.dates(date(2021, 12, 1), date(2024, 6, 1)),
    reach=st.integers(0, 40),
)
def test_what_a_later_rebalance_reads_stays(
    stored: set[str], held: set[str], unproven: set[str], cut: date, reach: int
) -> None:
    keys = sorted(stored)
    since = needed_since(cut, keys, map(date.fromisoformat, held), reach)
    chosen = split(keys, since, {key: key not in unproven for key in keys}, reach)
    gone = set(chosen.removable)
    assert not gone & unproven
    assert all(key < str(cut) for key in gone)
    assert not gone & set(keys[-3:])
    kept = {key for key in keys if key >= str(cut) or key in unproven}
    for reader in (*keys[-3:], *held, *kept, str(date.fromisoformat(keys[-1]) + timedelta(days=10))):
        window = {str(date.fromisoformat(reader) - timedelta(days=10 * steps)) for steps in range(reach + 1)}
        assert not gone & window, "a window that is read would have lost a rebalance"
    assert not gone or max(gone) < min(set(keys) - gone), "what stays would have a hole"
    old = [key for key in keys if key < str(since)]
    assert gone == {key for key in old if not unproven} or unproven, "something that nothing needs stays"


NOW = datetime(2024, 1, 10, tzinfo=UTC)


@given(
    ages=st.lists(st.integers(0, 500), min_size=1, max_size=8),
    told=st.dictionaries(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "2023-12", *GRID[::5]])),
        st.integers(0, 7),
        max_size=20,
    ),
    keep=st.integers(0, 400),
)
def test_a_run_goes_when_it_is_old_and_the_last_to_tell_of_nothing_that_is_shown(
    ages: list[int], told: dict[tuple[str, str], int], keep: int
) -> None:
    runs = [EndedRun(str(number), NOW - timedelta(days=days)) for number, days in enumerate(ages)]
    cut, kept = NOW - timedelta(days=keep), {GRID[0]}
    gone = removable_runs(runs, {key: str(run) for key, run in told.items()}, cut, kept)
    for number, days in enumerate(ages):
        shown = [p for (_, p), run in told.items() if run == number]
        needed = any(not p or p in kept or (p if len(p) == 10 else "2023-12-31") >= str(cut.date()) for p in shown)
        assert (str(number) in gone) == (days > keep and not needed)


def test_a_dry_run_says_what_would_go_and_removes_nothing(home: TemporaryHome, prune: Prune) -> None:
    before, runs = home.hashes(bars=True), len(home.instance.get_run_records())
    said = prune(home, keep="0d")
    assert "nothing was removed; --yes removes it" in said
    table = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in said.splitlines() if line.startswith("│")
    }
    assert table["partitions of candidates"] == "2"  # the oldest rebalance of two sleeves
    assert table["partitions of solver_cells"] == "0"  # 24 windows are read back
    assert home.hashes(bars=True) == before
    assert len(home.instance.get_run_records()) == runs


def test_after_a_prune_every_bundle_verifies_and_the_next_rebalance_has_the_same_bits(
    home: TemporaryHome, prune: Prune
) -> None:
    undisturbed = home.hashes(bars=True)
    age(home, 400)
    prune(home, "--yes", keep="999999d")
    assert home.hashes(bars=True) == undisturbed
    prune(home, "--yes", keep="0d")
    removed = undisturbed.keys() - home.hashes(bars=True).keys()
    oldest = {f"{sleeve}/{asset}/{KEYS[0]}.parquet" for sleeve in (LONG, SHORT) for asset in BULKY[:2]}
    assert removed == oldest
    assert sleevegraph("verify", home.root).exit_code == 0
    forget_rebalance(home, KEYS[3])
    assert home.run(KEYS[3]).success
    again = home.hashes(bars=True)
    assert again == {name: digest for name, digest in undisturbed.items() if name not in removed}
    assert sleevegraph("verify", home.root).exit_code == 0


def test_a_pruned_rebalance_is_told_as_one_and_not_continued(
    home: TemporaryHome, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates_command, "manifest_in_use", small_manifest)
    due = next_due(small_manifest())
    assert due(home.store, KEYS[3], "before") == (None, "")
    prune(home, "--yes", keep="0d")
    assert due(home.store, KEYS[3], "after") == (None, ""), "a sensor would run what was pruned"
    table = sleevegraph("gates", "--on", KEYS[0], "--home", home.root)
    assert "2 PRUNED; blocking: none" in table.output
    before = home.hashes()
    again = home.run(KEYS[1])
    assert f"{KEYS[1]}: expected the partition of {KEYS[0]}, which it continues, found that it was pruned; " in cause(
        again
    )
    assert f"sleevegraph backfill --from {KEYS[0]}, the first rebalance" in cause(again)
    assert home.hashes() == before
    with pytest.raises(GateError, match=f"was pruned since; sleevegraph backfill --from {KEYS[0]}, its first"):
        home.store.receipts.refusal(streams_gates(small_manifest().sleeves[0]), KEYS[0])


def test_a_partition_that_is_lost_is_not_taken_for_a_pruned_one(home: TemporaryHome) -> None:
    home.store.lake.remove(stage(LONG, "synthetic_returns"), KEYS[1])
    state, why = home.store.receipts.state(stage(LONG, "synthetic_returns"), SIGN_TEST, KEYS[1])
    assert (state, "is not stored any more" in why) == (State.ABSENT, True)
    state, why = home.store.receipts.state(stage(LONG, "risk_weights"), SIGN_TEST, KEYS[1])
    assert (state, f"{LONG}/synthetic_returns changed" in why) == (State.STALE, True)
    assert next_due(small_manifest())(home.store, KEYS[3], "lost")[0] == KEYS[1], "a sensor would not repair it"


def forget_rebalance(home: TemporaryHome, key: str) -> None:
    """As if it had never been run."""
    for folder, suffix in ((home.store.folders.lake, "parquet"), (home.store.folders.receipts, "json")):
        for file in Path(folder).rglob(f"{key}.{suffix}"):
            file.unlink()
    for bundle in Path(home.store.folders.runs).glob(f"*-{key.replace('-', '')}"):
        shutil.rmtree(bundle)


def test_what_no_bundle_vouches_for_stays_and_is_told(home: TemporaryHome, prune: Prune) -> None:
    bundle = home.store.runs.path(LONG, date.fromisoformat(KEYS[0]))
    page = Path(bundle) / REPORT
    page.write_bytes(page.read_bytes() + b" ")
    shutil.rmtree(home.store.runs.path(SHORT, date.fromisoformat(KEYS[0])))
    before = home.hashes()
    said = prune(home, "--yes", keep="0d")
    assert home.hashes() == before
    assert "partitions of 2 rebalances of sleeves stay, since no bundle vouches for them: " in said
    assert f"{LONG}-{KEYS[0].replace('-', '')}: hashes: " in said
    assert why_unproven(home.store, small_manifest(), SHORT, date.fromisoformat(KEYS[0])).endswith("found none")


def test_old_runs_go_with_all_that_dagster_stored_of_them_and_the_newest_page_stays(
    home: TemporaryHome, prune: Prune
) -> None:
    old = made_run(home, dg.DagsterRunStatus.FAILURE, KEYS[0])
    backfill, ingest = (record.dagster_run.run_id for record in home.instance.get_run_records()[1:])
    age(home, 400)
    said = prune(home, "--yes", keep="90d")
    assert "2 old runs stay: they are the last to tell of a partition that pages show" in said
    assert rows_of(home, old) == 0
    assert not list((home.store.folders.dagster / "history" / "runs").glob(f"{old}*"))
    left = {record.dagster_run.run_id for record in home.instance.get_run_records()}
    assert old not in left
    assert ingest in left, "nothing else tells of the bars"
    assert backfill in left, "nothing else tells of the newest rebalances"
    assert home.metadata(stage(LONG, "risk_weights"), KEYS[3])["status"] == "CASH"
    assert home.metadata(UNIVERSE, KEYS[2])["status"] == "OK"


def test_of_a_run_that_goes_no_row_stays(home: TemporaryHome) -> None:
    (backfill, _) = [record.dagster_run.run_id for record in home.instance.get_run_records()]
    before = rows_of(home, backfill)
    taken = run_history.bytes_of(home.instance, home.store.folders, backfill)
    run_history.forget(home.instance, home.store.folders, backfill)
    assert before > 100
    assert taken > 100_000
    assert rows_of(home, backfill) == 0


def rows_of(home: TemporaryHome, run: str) -> int:
    home.instance.event_log_storage.dispose()
    files = {"history/runs.db": ["runs", "run_tags"], "history/runs/index.db": ["event_logs", "asset_check_executions"]}
    count = 0
    for file, tables in files.items():
        with closing(sqlite3.connect(home.store.folders.dagster / file)) as connection:
            for table in tables:
                query = f"SELECT count(*) FROM {table} WHERE run_id = ?"  # noqa: S608 - names from above
                count += connection.execute(query, (run,)).fetchone()[0]
    return count


def test_a_run_in_progress_stays_and_one_of_old_rebalances_forbids_to_take_them_away(
    home: TemporaryHome, prune: Prune
) -> None:
    running = made_run(home, dg.DagsterRunStatus.STARTED, KEYS[0])
    age(home, 400)
    before = home.hashes()
    assert "1 runs in progress stay" in prune(home, keep="0d")
    result = sleevegraph("prune", "--keep", "0d", "--yes", "--home", home.root)
    assert result.exit_code == 1
    assert f"found {running} of {KEYS[0]} in progress" in result.stderr
    assert home.hashes() == before
    with_run = {record.dagster_run.run_id for record in home.instance.get_run_records()}
    assert running in with_run


def test_a_prune_that_was_killed_is_finished_by_the_next(
    home: TemporaryHome, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [made_run(home, dg.DagsterRunStatus.FAILURE) for _ in range(3)]
    age(home, 400)
    home.close()
    real, done = Lake.remove, []

    def dies(lake: Lake, asset: tuple[str, ...], partition: str) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(partition)
        real(lake, asset, partition)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "remove", dies)
        sleevegraph("prune", "--keep", "0d", "--yes", "--home", home.root)
    with monkeypatch.context() as patch:
        patch.setattr("resources.run_history.shutil.rmtree", dies)
        patch.setattr(SqliteRunStorage, "delete_run", dies)
        sleevegraph("prune", "--keep", "0d", "--yes", "--home", home.root)
    assert len(done) == 1
    said = prune(home, "--yes", keep="0d")
    assert "removed" in said
    assert not set(failed) & {record.dagster_run.run_id for record in home.instance.get_run_records()}
    assert not any(home.store.lake.has(stage(LONG, asset), KEYS[0]) for asset in BULKY[:2])
    assert sleevegraph("verify", home.root).exit_code == 0


@needs_postgres
def test_runs_in_postgresql_go_too(home: TemporaryHome, prune: Prune, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresServer() as server:
        monkeypatch.setenv(POSTGRES_VARIABLE, server.new_database())
        failed = made_run(home, dg.DagsterRunStatus.FAILURE, KEYS[0])
        running = made_run(home, dg.DagsterRunStatus.STARTED)
        assert len(home.instance.all_logs(failed)) > 0
        prune(home, "--yes", keep="0d")
        assert [record.dagster_run.run_id for record in home.instance.get_run_records()] == [running]
        assert home.instance.all_logs(failed) == []
        assert not home.store.lake.has(stage(LONG, "candidates"), KEYS[0])
        home.close()


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(home: TemporaryHome, prune: Prune) -> None:
    folder = Path(home.store.folders.lake) / LONG
    dead, mine = folder / ".x.parquet.4194305.tmp", folder / f".y.parquet.{os.getpid()}.tmp"
    bundle = Path(home.store.folders.runs) / f".{LONG}-20220209.4194305.tmp"
    bundle.mkdir()
    (bundle / "audit.jsonl").write_text("{}")
    young = folder / ".z.parquet.4194305.tmp"
    for file in (dead, mine, young):
        file.write_bytes(b"half")
    for path in (dead, mine, bundle):
        os.utime(path, (time.time() - 3600,) * 2)
    prune(home, "--yes")
    assert [path.exists() for path in (dead, mine, bundle, young)] == [False, True, False, True]


def test_shared_files_become_smaller(home: TemporaryHome, prune: Prune) -> None:
    index = home.store.folders.dagster / "history" / "runs" / "index.db"
    run = home.instance.get_run_records()[0].dagster_run.run_id
    run_history.forget(home.instance, home.store.folders, run)
    home.instance.event_log_storage.dispose()
    before = index.stat().st_size
    assert "Dagster's shared files: " in prune(home, "--yes")
    assert index.stat().st_size < before / 2


@pytest.mark.parametrize("text", ["90", "-1d", "d", "1.5d", "90 days", "1y"])
def test_a_keep_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    assert f"expected days as 90d, found {text!r}" in refused("prune", "--keep", text, "--home", tmp_path)


def test_a_folder_that_is_no_home_is_one_line_and_stays_empty(tmp_path: Path) -> None:
    assert "--home: expected a home, found none at" in refused("prune", "--keep", "90d", "--home", tmp_path)
    assert list(tmp_path.iterdir()) == []
