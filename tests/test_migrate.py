"""A home that began with SQLite answers the same from PostgreSQL, and goes on there."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import Result
from dagster import DagsterEventType as Type
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata, SqlEventLogStorageTable
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import serialize_value
from sqlalchemy import create_engine, text

from resources.history_numbers import Numbers
from resources.postgres import POSTGRES_VARIABLE, postgres_url
from sleevegraph.errors import ConfigurationError
from tests.command_homes import refused, sleevegraph
from tests.homes import TemporaryHome, check_key, checks_of, environment
from tests.postgres import PASSWORD, QUOTED, PostgresServer, needs_postgres
from tests.ticks import tick

pytestmark = needs_postgres
SENSOR, BEGUN, OTHER = "check_failure_alerts", "run_failure_alerts", "bars_sensor"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty database."""
    return server.new_database()


def migrated(home: TemporaryHome, url: str) -> Result:
    """Let the command copy the home, which must succeed."""
    home.close()
    with environment(**{POSTGRES_VARIABLE: url}):
        result = sleevegraph("migrate", "--home", home.root)
    assert result.exit_code == 0, result.output
    return result


def opened(home: TemporaryHome, url: str = "") -> dg.DagsterInstance:
    """Dagster's records of a home, from one storage or the other."""
    with environment(DAGSTER_HOME=str(home.store.folders.dagster), **({POSTGRES_VARIABLE: url} if url else {})):
        return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home.store.folders.dagster)))


def state(name: str, cursor: str | None) -> InstigatorState:
    origin = LoadableTargetOrigin(executable_path="python", module_name="definitions")
    place = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(origin), "__repository__")
    return InstigatorState(
        RemoteInstigatorOrigin(place, name),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
        SensorInstigatorData(cursor=cursor, min_interval=30),
    )


def with_sensors(home: TemporaryHome) -> None:
    """One that has read half of the verdicts, one that began with none, one that keeps words, and a tick of each."""
    instance = home.instance
    verdicts = instance.event_log_storage.get_logs_for_all_runs_by_log_id(-1, Type.ASSET_CHECK_EVALUATION)
    half = sorted(verdicts)[len(verdicts) // 2]
    read = json.dumps({Type.ASSET_CHECK_EVALUATION.value: (half, verdicts[half].timestamp)})
    _, _, begun = tick(home, BEGUN, "2022-03-12")  # by a real tick: what the sensors write is theirs to change
    for name, cursor in ((SENSOR, read), (BEGUN, begun), (OTHER, "2022-02-09|waits")):
        one = state(name, cursor)
        instance.add_instigator_state(one)
        instance.create_tick(
            TickData(
                one.instigator_origin_id,
                name,
                InstigatorType.SENSOR,
                TickStatus.SKIPPED,
                1645000000.0,
                skip_reason="late",
                selector_id=one.selector_id,
            )
        )


def answers(instance: dg.DagsterInstance, home: TemporaryHome) -> dict[str, Any]:
    """What the instance says, with the event itself wherever it names one by number."""
    log = instance.event_log_storage
    keys = [check_key(path, name) for path, name in checks_of(home.defs)]
    assets = sorted(instance.all_asset_keys())
    runs = instance.get_run_records()
    return {
        "runs": [(record.dagster_run, record.storage_id, record.start_time, record.end_time) for record in runs],
        "tags": [instance.get_run_tags([key]) for key in instance.get_run_tag_keys()],
        "snapshots": [instance.get_historical_job(record.dagster_run.job_snapshot_id).job_snapshot for record in runs],
        "events": {record.dagster_run.run_id: events(instance, record.dagster_run.run_id) for record in runs},
        "materialised": {key: materialised(instance, key) for key in assets},
        "newest": {key: newest(instance, key) for key in assets},
        "read": {key: pointers(instance, key) for key in assets},
        "tags of events": sorted(str(tags) for key in assets for tags in log.get_event_tags_for_asset(key)),
        "partitions": {key: instance.get_materialized_partitions(key) for key in assets},
        "verdicts": {key: verdicts(instance, key) for key in keys},
        "statuses": {key: statuses(instance, key) for key in keys},
        "ticks": [tick._replace(tick_id=0) for name in (SENSOR, OTHER) for tick in ticks(instance, name)],
        "words": next(one.instigator_data for one in instance.all_instigator_state() if one.name == OTHER),
        "unread": unread(instance),
    }


def events(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """In the order of a run, read in small pages; without the numbers of other events, which `read` and `verdicts` follow."""
    found, cursor, more = [], None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor=cursor, limit=97)
        found += [plain(record.event_log_entry) for record in page.records]
        cursor, more = page.cursor, page.has_more
    return found


def plain(entry: dg.EventLogEntry) -> str:
    """An event as text without the numbers of others."""
    event = json.loads(serialize_value(entry))
    data = (event["dagster_event"] or {}).get("event_specific_data") or {}
    if data.get("target_materialization_data"):
        data["target_materialization_data"].pop("storage_id")
    tags = data.get("materialization", {}).get("tags", {})
    for name in [name for name in tags if "input_event_pointer" in name]:
        tags[name] = "-"
    return json.dumps(event, sort_keys=True)


def at(instance: dg.DagsterInstance, number: int) -> str:
    """The event of a number."""
    (found,) = instance.event_log_storage.get_logs_for_all_runs_by_log_id(number - 1, limit=1).items()
    assert found[0] == number
    return plain(found[1])


def materialised(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[str]:
    """Newest first."""
    return [plain(record.event_log_entry) for record in instance.fetch_materializations(key, limit=100).records]


def newest(instance: dg.DagsterInstance, key: dg.AssetKey) -> Any:
    (record,) = instance.get_asset_records([key])
    entry = record.asset_entry
    last = entry.last_materialization_record
    return entry.last_run_id, last and (at(instance, last.storage_id), plain(last.event_log_entry))


def pointers(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[str]:
    """The events that materialisations say they read."""
    records = instance.fetch_materializations(key, limit=100).records
    found = [record.asset_materialization.tags or {} for record in records if record.asset_materialization]
    read = [to for tags in found for name, to in tags.items() if "input_event_pointer" in name]
    return [to if to == "NULL" else at(instance, int(to)) for to in read]


def verdicts(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> list[Any]:
    """Of a check, the newest first, with what was judged."""
    found = []
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=100):
        assert record.event is not None
        judged = record.event.get_dagster_event().asset_check_evaluation_data.target_materialization_data
        found.append(
            (
                record.run_id,
                record.partition,
                record.status,
                plain(record.event),
                judged and at(instance, judged.storage_id),
            )
        )
    return found


def statuses(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Any:
    """By partition, as the page has them."""
    infos = instance.event_log_storage.get_asset_check_partition_info([key])
    return {
        info.partition_key: (
            info.latest_execution_status,
            info.latest_planned_run_id,
            at(instance, info.latest_check_event_storage_id),
        )
        for info in infos
    }


def ticks(instance: dg.DagsterInstance, name: str) -> Any:
    one = state(name, None)
    return instance.get_ticks(one.instigator_origin_id, one.selector_id)


def unread(instance: dg.DagsterInstance) -> list[str]:
    """What the sensor has yet to read."""
    data = next(one.instigator_data for one in instance.all_instigator_state() if one.name == SENSOR)
    assert isinstance(data, SensorInstigatorData)
    after, at = json.loads(str(data.cursor))[Type.ASSET_CHECK_EVALUATION.value]
    (last,) = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after - 1, Type.ASSET_CHECK_EVALUATION, 1
    ).items()
    assert (last[0], last[1].timestamp) == (after, at)
    found = instance.event_log_storage.get_logs_for_all_runs_by_log_id(after, Type.ASSET_CHECK_EVALUATION)
    return [plain(entry) for entry in found.values()]


def test_what_dagster_answers_is_the_same_before_and_after(home: TemporaryHome, url: str) -> None:
    with_sensors(home)
    before = answers(home.instance, home)
    said = migrated(home, url)
    after = answers(opened(home, url), home)
    for question, answer in before.items():
        assert answer, question
        assert after[question] == answer, question
    assert "event_logs" in said.stdout
    assert not any(secret in said.output for secret in (PASSWORD, QUOTED))
    with opened(home, url) as instance:
        newest = instance.event_log_storage.get_maximum_record_id()
        assert newest is not None
        instance.report_runless_asset_event(dg.AssetMaterialization("later"))
        (later,) = instance.fetch_materializations(dg.AssetKey("later"), limit=1).records
        assert later.storage_id == newest + 1
        run = instance.create_run_for_job(nothing)
        assert instance.get_run_records(limit=1)[0].dagster_run == run


@dg.job
def nothing() -> None:
    pass


def rows(url: str) -> dict[str, int]:
    """Of the tables that a copy fills."""
    with environment(**{POSTGRES_VARIABLE: url}):
        engine = create_engine(postgres_url())
    with engine.connect() as connection:
        tables = ("runs", "snapshots", "event_logs", "asset_keys", "asset_check_executions", "jobs")
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}  # noqa: S608 - see above


def test_a_database_with_a_history_of_its_own_is_refused(home: TemporaryHome, url: str) -> None:
    with opened(home, url) as instance:
        instance.create_run_for_job(nothing)
    before = rows(url)
    with environment(**{POSTGRES_VARIABLE: url}):
        said = refused("migrate", "--home", home.root)
    assert "expected empty tables, found rows in snapshots, runs" in said
    assert rows(url) == before


def test_a_run_in_progress_is_waited_for(home: TemporaryHome, url: str) -> None:
    run = home.instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    home.close()
    with environment(**{POSTGRES_VARIABLE: url}):
        said = refused("migrate", "--home", home.root)
    assert f"expected no run in progress, found 1, first {run.run_id} (STARTED); wait for its end" in said
    assert set(rows(url).values()) == {0}


def test_from_a_copy_on_the_home_wants_the_database_and_before_it_has_its_files(home: TemporaryHome, url: str) -> None:
    run = home.instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    home.close()
    with environment(**{POSTGRES_VARIABLE: url}):
        refused("migrate", "--home", home.root)
    with opened(home) as instance:
        count = instance.get_runs_count()
        instance.report_run_failed(run)
    migrated(home, url)
    with pytest.raises(
        ConfigurationError, match=f"{POSTGRES_VARIABLE}: expected the database in which .* unset; set it"
    ):
        opened(home)
    with opened(home, url) as instance:
        assert instance.get_runs_count() == count > 1


def test_a_copy_that_fails_on_its_way_leaves_the_database_empty(home: TemporaryHome, url: str) -> None:
    home.instance.add_instigator_state(state(OTHER, None))
    home.close()
    with closing(sqlite3.connect(home.store.folders.dagster / "schedules" / "schedules.db")) as connection:
        connection.execute("UPDATE jobs SET job_body = 'damaged'")
        connection.commit()
    with environment(**{POSTGRES_VARIABLE: url}):
        said = refused("migrate", "--home", home.root)
    assert "jobs: expected the state of a sensor or a schedule, found 'damaged'" in said
    assert set(rows(url).values()) == {0}


def test_a_history_of_another_dagster_is_refused(home: TemporaryHome, url: str) -> None:
    home.close()
    index = home.store.folders.dagster / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'long_ago'")
        connection.commit()
    with environment(**{POSTGRES_VARIABLE: url}):
        said = refused("migrate", "--home", home.root)
    assert "index.db: expected revision " in said
    assert "found long_ago; run dagster instance migrate with the variable unset" in said


def test_without_a_database_or_a_history_there_is_nothing_to_copy(tmp_path: Path, url: str) -> None:
    assert "--home: expected a home, found none at " in refused("migrate", "--home", tmp_path)
    (tmp_path / "dagster_home").mkdir()
    assert "expected an empty database to copy to, found it unset" in refused("migrate", "--home", tmp_path)
    with environment(**{POSTGRES_VARIABLE: url}):
        assert "expected dagster.yaml, found none" in refused("migrate", "--home", tmp_path)
        settings = "storage:\n  custom:\n    module: resources.dagster_storage\n    class: HomeStorage\n"
        (tmp_path / "dagster_home" / "dagster.yaml").write_text(settings)
        assert "runs.db: expected the SQLite history of a home, found no file" in refused("migrate", "--home", tmp_path)


def test_events_of_two_runs_keep_the_order_of_each_and_that_of_the_index() -> None:
    with create_engine("sqlite://").connect() as index:
        SqlEventLogStorageMetadata.create_all(index)
        stored = [(3, "b", "b2"), (5, "a", "a1"), (8, "b", "b4"), (9, "a", "a3"), (11, "a", "a3"), (12, "gone", "x")]
        index.execute(SqlEventLogStorageTable.insert(), [row(*one) for one in stored])
        shards = {
            "a.db": [
                row(1, "a", "a0"),
                row(2, "a", "a1"),
                row(4, "a", "a2"),
                row(5, "a", "a3"),
                row(6, "a", "a3"),
                row(7, "a", "a4"),
            ],
            "b.db": [row(1, "b", "b1"), row(2, "b", "b2"), row(3, "b", "b3"), row(4, "b", "b4")],
            "c.db": [row(1, "c", "c1"), row(2, "c", "c2")],
        }
        numbers = Numbers.of(index, [(name, partial(iter, rows)) for name, rows in shards.items()])
    texts = {numbers.index[number]: text for number, _, text in stored}
    texts |= {
        number: next(row["event"] for row in shards[name] if row["id"] == id_)
        for (name, id_), number in numbers.between.items()
    }
    order = [texts[number] for number in range(1, 14)]
    assert len(texts) == 13
    for name, rows in shards.items():
        assert [text for text in order if text[0] == name[0]] == [row["event"] for row in rows]
    assert [text for text in order if text in {said for *_, said in stored}] == [text for *_, text in stored]


def row(number: int, run_id: str, event: str) -> dict[str, Any]:
    return {"id": number, "run_id": run_id, "event": event, "timestamp": datetime.now(UTC)}


def test_a_number_of_an_event_that_is_gone_becomes_that_of_none() -> None:
    numbers = Numbers({7: 70}, {})
    target = '"AssetCheckEvaluationTargetMaterializationData", "run_id": "r", "storage_id": %d, "timestamp": 1.0'
    tags = '"dagster/input_event_pointer/x": "%d", "note": "\\"storage_id\\": 7"'
    for old, new in ((7, 70), (8, 0)):
        changed = numbers.renumbered("event_logs", {"id": old, "event": target % old + tags % old})
        assert changed == {"id": new, "event": target % new + tags % new}
