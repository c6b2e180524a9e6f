"""Our event log stores what Dagster's stock one stores, whatever order events come in and whoever writes beside it."""

import json
import multiprocessing
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType as Type
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._record import replace
from sqlalchemy.exc import OperationalError

from resources import event_log, pooled_sqlite
from resources.grid import GRID
from tests.event_writers import OwnedEventLog, write, write_and_die
from tests.homes import KEYS, SHORT, TemporaryHome

Entries = list[dg.EventLogEntry]
OTHER_RUN = "00000000-0000-0000-0000-000000000001"
TABLES = {"event_logs": "id", "asset_event_tags": "id", "asset_check_executions": "id", "asset_keys": "asset_key"}
"""Tables that a run writes, and the order to compare them in: which asset comes first in its table means nothing."""
PRIVATE = {"asset_keys": {"id", "create_timestamp"}, "asset_check_executions": {"create_timestamp"}}
"""Columns with the moment of writing."""


@pytest.fixture
def entries(home: TemporaryHome) -> Entries:
    """Events of one sleeve in a range run; planned checks with their partitions, which our event log does not keep."""
    (run,) = home.instance.get_runs(dg.RunsFilter(job_name="rebalance"))
    subset = dg.StaticPartitionsDefinition(list(KEYS)).subset_with_partition_keys(KEYS)
    found = home.instance.event_log_storage.get_logs_for_run(run.run_id)
    return [planned_for(subset, entry) for entry in found if (entry.step_key or SHORT).startswith(SHORT)]


@pytest.fixture
def folder(home: TemporaryHome) -> Path:
    """An empty one, in memory where the system has a place for it: the stock event log waits for the disk."""
    return home.root / "events"


def planned_for(subset: Any, entry: dg.EventLogEntry) -> dg.EventLogEntry:
    """An event, with a subset of partitions if it plans a check."""
    event = entry.dagster_event
    if event is None or event.event_type is not Type.ASSET_CHECK_EVALUATION_PLANNED:
        return entry
    planned = replace(event.event_specific_data, partitions_subset=subset)
    return entry._replace(dagster_event=event._replace(event_specific_data=planned))


def kind(entry: dg.EventLogEntry) -> Type | None:
    return entry.dagster_event.event_type if entry.dagster_event else None


def of_kind(entries: Entries, wanted: Type, count: int) -> Entries:
    return [entry for entry in entries if kind(entry) is wanted][:count]


def stored_by(storage: SqliteEventLogStorage, entries: Entries) -> None:
    for entry in entries:
        storage.store_event(entry)
    storage.dispose()


def contents(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table of every file, by name of both."""
    found = {}
    for file in sorted(folder.glob("*.db")):
        with sqlite3.connect(file) as connection:
            connection.row_factory = sqlite3.Row
            for table, order in TABLES.items():
                rows = connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()  # noqa: S608 - see TABLES
                found[f"{file.stem} {table}"] = [_comparable(table, dict(row)) for row in rows]
    return found


def _comparable(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row without the moment of writing, and without the partitions that a planned check was planned for."""
    for column in ("event", "evaluation_event"):
        if column in row:
            row[column] = event = json.loads(row[column])
            data = event["dagster_event"] and event["dagster_event"]["event_specific_data"]
            if data and data["__class__"] == "AssetCheckEvaluationPlanned":
                data.pop("partitions_subset", None)
    return {name: value for name, value in row.items() if name not in PRIVATE.get(table, set())}


def texts(folder: Path, run_id: str) -> list[str]:
    """Events of a run as another process finds them."""
    file = folder / f"{run_id}.db"
    if not file.exists():
        return []
    with sqlite3.connect(file) as connection:
        return [text for (text,) in connection.execute("SELECT event FROM event_logs ORDER BY id")]


def of_another_run(entries: Entries) -> Entries:
    return [entry._replace(run_id=OTHER_RUN) for entry in entries]


def interleaved(one: Entries, other: Entries, seed: int) -> Entries:
    """Both in their own order, taken in turns of any length."""
    draw = random.Random(seed)  # noqa: S311 - only has to be arbitrary
    turns, left, merged = [], [list(one), list(other)], []
    while any(left):
        turns.append(draw.randrange(1, 40))
        side = left[len(turns) % 2]
        merged += side[: turns[-1]]
        del side[: turns[-1]]
    return merged


def without_plans(entries: Entries) -> Entries:
    """As a run whose checks nobody planned: every verdict needs a row of its own."""
    return [entry for entry in entries if kind(entry) is not Type.ASSET_CHECK_EVALUATION_PLANNED]


def shuffled(entries: Entries) -> Entries:
    """What a run says of its assets, in an order that no run has and at one go: what comes last must win."""
    said = [entry for entry in without_plans(entries) if "ASSET" in str(kind(entry))]
    random.Random(20220209).shuffle(said)  # noqa: S311 - only has to be arbitrary
    return [entry for entry in entries if entry not in said] + said


@pytest.mark.parametrize(
    "order",
    [
        list,
        without_plans,
        shuffled,
        lambda entries: interleaved(entries, of_another_run(entries), 1),
        lambda entries: entries + without_plans(entries),
    ],
    ids=["a run", "checks that nobody planned", "any order", "two runs at once", "every event twice"],
)
def test_what_is_stored_is_what_the_stock_event_log_stores(
    entries: Entries, folder: Path, order: Callable[[Entries], Entries]
) -> None:
    given = order(entries)
    assert {Type.ASSET_MATERIALIZATION, Type.ASSET_CHECK_EVALUATION, Type.STEP_SUCCESS} <= set(map(kind, given))
    stored_by(SqliteEventLogStorage(str(folder / "stock")), given)
    stored_by(OwnedEventLog(str(folder / "ours")), given)
    stock, ours = contents(folder / "stock"), contents(folder / "ours")
    assert stock.keys() == ours.keys()
    for name, rows in stock.items():
        assert ours[name] == rows, name


def test_events_without_a_run_are_stored_at_once_as_the_stock_event_log_stores_them(
    entries: Entries, folder: Path
) -> None:
    kinds = (Type.ASSET_MATERIALIZATION, Type.ASSET_CHECK_EVALUATION)
    given = [entry._replace(run_id="") for wanted in kinds for entry in of_kind(entries, wanted, 3)]
    stored_by(SqliteEventLogStorage(str(folder / "stock")), given)
    storage = OwnedEventLog(str(folder / "ours"))
    for entry in given:
        storage.store_event(entry)
    assert contents(folder / "ours") == contents(folder / "stock")


def test_a_planned_check_does_not_carry_the_grid(entries: Entries, folder: Path) -> None:
    subset = GRID.subset_with_partition_keys(KEYS).to_serializable_subset()
    planned = [planned_for(subset, entry) for entry in of_kind(entries, Type.ASSET_CHECK_EVALUATION_PLANNED, 1)]
    lengths = {}
    for name, storage in (("stock", SqliteEventLogStorage), ("ours", OwnedEventLog)):
        stored_by(storage(str(folder / name)), planned)
        lengths[name] = max(map(len, texts(folder / name, planned[0].run_id)))
    assert lengths["stock"] > 100_000
    assert lengths["ours"] < 2_000


def test_who_reads_in_the_same_process_finds_every_event(entries: Entries, folder: Path) -> None:
    storage = OwnedEventLog(str(folder))
    given = of_kind(entries, Type.ASSET_MATERIALIZATION, 3)
    for count, entry in enumerate(given, start=1):
        storage.store_event(entry)
        assert storage.get_logs_for_run(entry.run_id) == given[:count]


def test_the_events_of_a_step_are_there_once_it_ends(entries: Entries, folder: Path) -> None:
    storage = OwnedEventLog(str(folder))
    made, (end,) = of_kind(entries, Type.ASSET_MATERIALIZATION, 4), of_kind(entries, Type.STEP_SUCCESS, 1)
    for entry in made:
        storage.store_event(entry)
    assert texts(folder, end.run_id) == []
    storage.store_event(end)
    assert OwnedEventLog(str(folder)).get_logs_for_run(end.run_id) == [*made, end]


@pytest.mark.parametrize(
    ("limit", "value", "seen"), [("LARGEST_BATCH", 3, [0, 0, 3, 3]), ("LONGEST_WAIT_SECONDS", -1.0, [1, 2, 3, 4])]
)
def test_no_more_events_wait_and_none_longer_than_they_may(
    entries: Entries, folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, seen: list[int]
) -> None:
    monkeypatch.setattr(event_log, limit, value)
    monkeypatch.setattr(event_log.time, "monotonic", lambda: 0.0)
    storage = OwnedEventLog(str(folder))
    found = []
    for entry in of_kind(entries, Type.ASSET_CHECK_EVALUATION, 4):
        storage.store_event(entry)
        found.append(len(texts(folder, entry.run_id)))
    assert found == seen


def test_events_that_could_not_be_written_are_written_once_when_they_can_be(
    entries: Entries, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled_sqlite, "BUSY_SECONDS", 0)
    storage = OwnedEventLog(str(folder))
    made = of_kind(entries, Type.ASSET_MATERIALIZATION, 4)
    for entry in made:
        storage.store_event(entry)
    blocker = sqlite3.connect(folder / "index.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="database is locked"):
        storage.get_logs_for_run(made[0].run_id)
    assert texts(folder, made[0].run_id) == []
    blocker.execute("ROLLBACK")
    blocker.close()
    assert storage.get_logs_for_run(made[0].run_id) == made
    assert len(contents(folder)["index event_logs"]) == len(made)


def test_processes_that_write_at_once_lose_nothing(entries: Entries, folder: Path) -> None:
    OwnedEventLog(str(folder)).dispose()
    runs = [f"{OTHER_RUN[:-1]}{number}" for number in range(2)]
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=write, args=(str(folder), entries, run_id)) for run_id in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    storage = SqliteEventLogStorage(str(folder))
    expected = [entry._replace(run_id="") for entry in storage.get_logs_for_run(runs[0])]
    assert len(expected) == len(entries)
    for run_id in runs[1:]:
        assert [entry._replace(run_id="") for entry in storage.get_logs_for_run(run_id)] == expected
    verdicts = Counter(row["run_id"] for row in contents(folder)["index asset_check_executions"])
    assert set(verdicts.values()) == {len(of_kind(entries, Type.ASSET_CHECK_EVALUATION, len(entries)))}
    assert set(verdicts) == set(runs)


def test_a_process_that_is_killed_takes_along_only_what_a_step_said_last(entries: Entries, folder: Path) -> None:
    said = _upto_the_middle_of_a_step(entries)
    context = multiprocessing.get_context("forkserver")
    writer = context.Process(target=write_and_die, args=(str(folder), said))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    before = said[: len(said) - len(list(next(groupby(reversed(said), kind))[1]))]
    storage = OwnedEventLog(str(folder))
    assert len(storage.get_logs_for_run(said[0].run_id)) == len(before)
    again = of_another_run(entries)
    for entry in again:
        storage.store_event(entry)
    assert len(storage.get_logs_for_run(OTHER_RUN)) == len(again)


def _upto_the_middle_of_a_step(entries: Sequence[dg.EventLogEntry]) -> Entries:
    """Up to the second of the verdicts that the third check gave."""
    groups = [(what, list(group)) for what, group in groupby(entries, kind)]
    verdicts = [at for at, (what, _) in enumerate(groups) if what is Type.ASSET_CHECK_EVALUATION]
    return [entry for _, group in groups[: verdicts[2]] for entry in group] + groups[verdicts[2]][1][:2]
