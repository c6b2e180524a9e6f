"""A home whose runs, events and schedules are in PostgreSQL comes to the same results, and says its password nowhere."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster import DagsterEventType as Type
from dagster._cli.instance import info_command, migrate_command
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.launcher import WorkerStatus
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.sql import run_alembic_downgrade
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import serialize_value
from dagster_postgres import utils
from dagster_postgres.event_log import event_log as stock
from dagster_postgres.utils import pg_alembic_config
from sqlalchemy import Engine, create_engine, func, select, text

from commands.home import create, open_instance
from resources.alive import alive, lock_file, report_dead
from resources.dagster_storage import HomeStorage
from resources.grid import GRID
from resources.home import Home
from resources.postgres import POSTGRES_VARIABLE, postgres_trouble, postgres_url
from resources.records import RECORD
from sleevegraph.errors import ConfigurationError
from tests.command_homes import refused, sleevegraph
from tests.event_writers import write_to_postgres
from tests.homes import (
    KEYS,
    TemporaryHome,
    checks_of,
    environment,
    made_home,
    remove_homes,
    small_definitions,
    small_market,
)
from tests.postgres import PASSWORD, QUOTED, PostgresServer, needs_postgres

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, which the environment names."""
    made = server.new_database()
    monkeypatch.setenv(POSTGRES_VARIABLE, made)
    return made


@pytest.fixture(scope="module")
def four_rebalances(server: PostgresServer) -> Iterator[tuple[TemporaryHome, str]]:
    """A home of the small manifest with every partition of KEYS, and the URL of its database."""
    url = server.new_database()
    with environment(**{POSTGRES_VARIABLE: url}):
        own = made_home(small_definitions())
        own.ingest(small_market())
        assert own.run(*KEYS).success
        yield own, url
    remove_homes([own])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def verdicts(home: TemporaryHome) -> dict[str, dict[str, bool]]:
    """Of every check, by partition, as Dagster has them."""
    (run,) = home.instance.get_runs(dg.RunsFilter(job_name="rebalance"))
    return {f"{path} {name}": home.evaluations(path, name, run.run_id) for path, name in checks_of(home.defs)}


def test_lake_receipts_and_verdicts_are_those_of_a_home_with_sqlite(
    home: TemporaryHome, four_rebalances: tuple[TemporaryHome, str]
) -> None:
    own, url = four_rebalances
    assert not (own.root / "dagster_home" / "history").exists()
    assert own.hashes(bars=True) == home.hashes(bars=True)
    assert files_of(own.store.folders.receipts) == files_of(home.store.folders.receipts)
    with environment(**{POSTGRES_VARIABLE: url}):
        found = verdicts(own)
    assert found == verdicts(home)
    assert sum(map(len, found.values())) > 50


def test_the_database_is_at_the_newest_revision_and_migrating_it_again_changes_nothing(
    four_rebalances: tuple[TemporaryHome, str],
) -> None:
    own, url = four_rebalances
    with environment(**{POSTGRES_VARIABLE: url, "DAGSTER_HOME": str(own.store.folders.dagster)}):
        for storage in (own.instance.run_storage, own.instance.event_log_storage, own.instance.schedule_storage):
            found, newest = storage.alembic_version()
            assert found == newest
        assert CliRunner().invoke(migrate_command).exit_code == 0
        assert own.instance.run_storage.alembic_version() == (newest, newest)
        assert postgres_trouble() == []


def test_a_planned_check_does_not_carry_the_grid(four_rebalances: tuple[TemporaryHome, str]) -> None:
    grid = len(serialize_value(GRID.subset_with_partition_keys(KEYS).to_serializable_subset()))
    longest = select(func.max(func.length(SqlEventLogStorageTable.c.event))).where(
        SqlEventLogStorageTable.c.dagster_event_type == Type.ASSET_CHECK_EVALUATION_PLANNED.value
    )
    beside = select(func.max(func.length(AssetCheckExecutionsTable.c.evaluation_event)))
    assert grid > 100_000
    with engine(four_rebalances[1]).connect() as connection:
        assert connection.execute(longest).scalar_one() < 2_000
        assert connection.execute(beside).scalar_one() < 20_000


def test_the_password_is_neither_stored_nor_shown_nor_sent(four_rebalances: tuple[TemporaryHome, str]) -> None:
    own, url = four_rebalances
    with environment(**{POSTGRES_VARIABLE: url, "DAGSTER_HOME": str(own.store.folders.dagster)}):
        said = {
            "reference, as every run gets it": serialize_value(own.instance.get_ref()),
            "the page's and the command's description": own.instance.info_str(),
            "dagster instance info": CliRunner().invoke(info_command).output,
            "errors": repr(own.instance.event_log_storage.__dict__["_engine"]),
        }
    said |= {name: content.decode("latin-1") for name, content in files_of(own.root).items()}
    with engine(url).connect() as connection:
        for table in ("runs", "run_tags", "kvs", "event_logs", "instance_info", "daemon_heartbeats"):
            said[table] = str(connection.execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608 - see above
    assert "dagster_home" in said["dagster instance info"]
    assert KEYS[0] in said["event_logs"]
    assert secrets_in(said) == []
    assert secrets_in({"control": f"{POSTGRES_VARIABLE}={url}"}) == ["control"]


def secrets_in(said: dict[str, str]) -> list[str]:
    return [name for name, content in said.items() if PASSWORD in content or QUOTED in content]


def test_runs_that_wait_and_what_a_sensor_remembers_are_there_for_the_next_process(url: str, tmp_path: Path) -> None:
    assert url
    state, place = a_sensor(), repository()
    with opened(tmp_path) as instance:
        instance.add_instigator_state(state)
        run = instance.create_run_for_job(
            two_steps,
            status=dg.DagsterRunStatus.QUEUED,
            tags={"sleevegraph/lane": "grid"},
            remote_job_origin=RemoteJobOrigin(place, "two_steps"),
        )
    with opened(tmp_path) as instance:
        assert instance.all_instigator_state() == [state]
        (waiting,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        assert (waiting.run_id, waiting.tags["sleevegraph/lane"]) == (run.run_id, "grid")


def repository() -> RemoteRepositoryOrigin:
    origin = LoadableTargetOrigin(executable_path="python", module_name="definitions")
    return RemoteRepositoryOrigin(InProcessCodeLocationOrigin(origin), "__repository__")


def a_sensor() -> InstigatorState:
    """Switched on, and with a memory."""
    return InstigatorState(
        RemoteInstigatorOrigin(repository(), "rebalance_sensor"),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
        SensorInstigatorData(cursor="2022-02-09"),
    )


def test_two_processes_that_write_at_once_lose_nothing(home: TemporaryHome, url: str, tmp_path: Path) -> None:
    with environment(**{POSTGRES_VARIABLE: ""}):
        (run,) = home.instance.get_runs(dg.RunsFilter(job_name="rebalance"))
        found = home.instance.event_log_storage.get_logs_for_run(run.run_id)
    entries = [entry for entry in found if "ASSET" in str(entry.dagster_event_type)][:150]
    runs = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(2)]
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=write_to_postgres, args=(url, entries, name)) for name in runs]
    for writer in writers:  # on an empty database: both want to make the tables
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with opened(tmp_path) as instance:
        for name in runs:
            stored = instance.event_log_storage.get_logs_for_run(name)
            assert [entry._replace(run_id=run.run_id) for entry in stored] == entries


def test_a_server_that_restarts_between_two_steps_does_not_fail_the_run(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    assert url
    with opened(tmp_path) as instance:
        result = two_steps.execute_in_process(instance=instance, resources={"between": server.restart})
        assert result.success
        kinds = [entry.dagster_event_type for entry in instance.all_logs(result.run_id)]
        assert kinds.count(Type.STEP_SUCCESS) == 2


def test_a_server_that_stays_away_fails_the_run_by_name_and_the_next_run_succeeds(
    server: PostgresServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert url
    monkeypatch.setattr(utils, "calculate_delay", lambda **_: 0.0)  # ten seconds for each of several events
    with opened(tmp_path) as instance:
        with pytest.raises(
            ConfigurationError, match=f"{POSTGRES_VARIABLE}: expected the database .* to answer"
        ) as caught:
            two_steps.execute_in_process(instance=instance, resources={"between": server.stop})
        assert "\n" not in str(caught.value)
        server.start()
        assert two_steps.execute_in_process(instance=instance, resources={"between": lambda: None}).success


@dg.op(required_resource_keys={"between"})
def first(context: dg.OpExecutionContext) -> int:
    context.resources.between()
    return 1


@dg.op
def second(number: int) -> int:
    return number + 1


@dg.job(executor_def=dg.in_process_executor)
def two_steps() -> None:
    second(first())


def test_a_database_is_of_one_home_wherever_that_is_moved(url: str, tmp_path: Path) -> None:
    def opened(home: Home) -> None:
        with environment(DAGSTER_HOME=str(home.dagster)):
            open_instance(home).dispose()

    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    for home in (first, second):
        create(home)
    opened(first)
    with pytest.raises(
        ConfigurationError, match=r"found that of the home made as .*first on .*make a database for each"
    ):
        opened(second)
    moved = Home(first.root.rename(tmp_path / "moved"))
    opened(moved)
    with engine(url).begin() as connection:
        connection.execute(text("DROP TABLE sleevegraph_home"))
    opened(second)
    with pytest.raises(ConfigurationError, match="second on"):
        opened(moved)


def test_a_user_who_cannot_make_our_table_beside_dagsters_is_told_so(url: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    create(home)
    with environment(DAGSTER_HOME=str(home.dagster)):
        open_instance(home).dispose()
        with engine(url).begin() as connection:
            connection.execute(text("DROP TABLE sleevegraph_home"))
            connection.execute(text("CREATE ROLE writer LOGIN PASSWORD 'of-a-writer'"))
            connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO writer"))
        with environment(**{POSTGRES_VARIABLE: url.replace(f"postgres:{QUOTED}", "writer:of-a-writer")}):
            with pytest.raises(
                ConfigurationError, match="no right to create tables there; let the user own the database"
            ):
                open_instance(home)
            with engine(url).begin() as connection:
                connection.execute(text("GRANT CREATE ON SCHEMA public TO writer"))
            assert postgres_trouble() == []


def test_without_the_variable_a_home_of_postgresql_is_refused_until_its_record_is_deleted(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "home"
    opened(root).dispose()
    assert secrets_in({"record": (root / RECORD).read_text(), "as a control": url}) == ["as a control"]
    monkeypatch.delenv(POSTGRES_VARIABLE)
    for command in (("automate", "off"), ("automate", "status"), ("prune", "--keep", "0d", "--yes")):
        said = refused(*command, "--home", root)
        assert f"{POSTGRES_VARIABLE}: expected the database in which {root} has its runs" in said
        assert f"found it unset; set it, or, to go on with SQLite for good, delete {root / RECORD}" in said
    assert list((root / "dagster_home").rglob("*.db")) == []
    moved = root.rename(tmp_path / "moved")
    with pytest.raises(ConfigurationError, match="moved has its runs"):
        opened(moved)
    (moved / RECORD).unlink()
    with opened(moved) as instance:
        assert instance.get_runs_count() == 0


def test_what_reads_no_records_needs_no_database(four_rebalances: tuple[TemporaryHome, str]) -> None:
    own, _ = four_rebalances
    with environment(**{POSTGRES_VARIABLE: ""}):
        assert "found it unset" in refused("automate", "status", "--home", own.root)
        assert sleevegraph("verify", own.root).exit_code == 0


@pytest.mark.parametrize("begun_by", ["a run", "a sensor"])
def test_a_home_that_began_with_sqlite_may_go_on_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun_by: str
) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE)
    with opened(tmp_path) as instance:
        if begun_by == "a run":
            instance.create_run_for_job(two_steps)
        else:
            instance.add_instigator_state(a_sensor())
    with environment(**{POSTGRES_VARIABLE: url}), opened(tmp_path) as instance:
        assert instance.get_runs_count() == 0
    assert not (tmp_path / RECORD).exists()
    with opened(tmp_path) as instance:
        assert instance.get_runs_count() + len(instance.all_instigator_state()) == 1


def test_sqlite_files_without_a_history_are_nothing_to_go_on_with(url: str, tmp_path: Path) -> None:
    assert url
    with environment(**{POSTGRES_VARIABLE: ""}):
        opened(tmp_path).dispose()
    assert (tmp_path / "dagster_home" / "history" / "runs.db").exists()
    opened(tmp_path).dispose()
    assert (tmp_path / RECORD).exists()


def test_a_run_that_was_going_on_when_the_database_was_dumped_is_dead_in_the_restored_home(
    url: str, tmp_path: Path
) -> None:
    assert url  # the same database, as pg_restore makes it again
    home, again = tmp_path / "home", tmp_path / "again"
    with opened(home) as instance:
        cut_off = begun(instance)
        assert alive(instance, cut_off.run_id) is True
    for command in (("backup", tmp_path / "copy", "--home", home), ("restore", tmp_path / "copy", "--home", again)):
        assert sleevegraph(*command).exit_code == 0
    with opened(again) as instance:
        own, foreign = begun(instance), begun(instance)
        lock_file(instance, foreign.run_id).unlink()
        assert [alive(instance, run.run_id) for run in (cut_off, own, foreign)] == [False, True, None]
        health = [instance.run_launcher.check_run_worker_health(run).status for run in (cut_off, own, foreign)]
        assert health == [WorkerStatus.FAILED, WorkerStatus.RUNNING, WorkerStatus.RUNNING]
        assert report_dead(instance) == [cut_off.run_id]
        assert alive(instance, cut_off.run_id) is None, "it has ended"
        found = {run.run_id: run.status for run in instance.get_runs()}
        assert found == {
            cut_off.run_id: dg.DagsterRunStatus.FAILURE,
            own.run_id: dg.DagsterRunStatus.STARTED,
            foreign.run_id: dg.DagsterRunStatus.STARTED,
        }


def begun(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that started now, whose process is this one."""
    run = instance.create_run_for_job(two_steps)
    instance.report_dagster_event(dg.DagsterEvent(Type.RUN_START.value, run.job_name), run.run_id)
    return run


def test_tables_of_an_older_dagster_are_refused_until_they_are_migrated(url: str, tmp_path: Path) -> None:
    opened(tmp_path).dispose()
    with engine(url).connect() as connection:
        run_alembic_downgrade(pg_alembic_config(stock.__file__), connection, "-2")
        connection.commit()
    with pytest.raises(ConfigurationError, match=r"tables of an older Dagster .*; run dagster instance migrate"):
        opened(tmp_path)
    with environment(DAGSTER_HOME=str(tmp_path / "dagster_home")):
        assert CliRunner().invoke(migrate_command).exit_code == 0
    opened(tmp_path).dispose()


def test_tables_of_a_newer_dagster_are_refused(url: str, tmp_path: Path) -> None:
    opened(tmp_path).dispose()
    with engine(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'not_yet'"))
    with pytest.raises(ConfigurationError, match=r"tables of another Dagster \(revision not_yet"):
        opened(tmp_path)


def test_without_the_variable_a_home_has_its_files_where_dagster_has_them(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        assert instance.get_ref().storage_data.class_name == HomeStorage.__name__
    folder = tmp_path / "dagster_home"
    (tmp_path / "stock").mkdir()
    stock_home = dg.DagsterInstance.local_temp(str(tmp_path / "stock"))
    stock_home.dispose()
    wanted = {str(path.relative_to(tmp_path / "stock")) for path in (tmp_path / "stock").rglob("*.db")}
    assert wanted == {str(path.relative_to(folder)) for path in folder.rglob("*.db")}
    assert {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"} <= wanted


OLD_SETTINGS = "event_log_storage:\n  module: resources.event_log\n  class: PooledSqliteEventLog\n"


def test_a_home_from_before_goes_on_with_sqlite_and_refuses_the_variable_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster_home").mkdir()
    (tmp_path / "dagster_home" / "dagster.yaml").write_text(OLD_SETTINGS)
    with opened(tmp_path) as instance:
        assert two_steps.execute_in_process(instance=instance, resources={"between": lambda: None}).success
    with opened(tmp_path) as instance:
        assert instance.get_runs_count() == 1
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://u:p@127.0.0.1/x")
    with pytest.raises(ConfigurationError, match=f"{POSTGRES_VARIABLE}: expected `storage` in dagster.yaml"):
        dg.DagsterInstance.get()


def opened(root: Path) -> dg.DagsterInstance:
    """Dagster's instance of a home, as the commands open it."""
    home = Home(root)
    create(home)
    with environment(DAGSTER_HOME=str(home.dagster)):
        return open_instance(home)


def engine(url: str) -> Engine:
    with environment(**{POSTGRES_VARIABLE: url}):
        return create_engine(postgres_url())
