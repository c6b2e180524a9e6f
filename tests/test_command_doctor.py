import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from commands import doctor
from resources.grid import GRID
from resources.home import Home
from resources.records import record_postgres
from sleevegraph.simulated_market import simulated_bars
from tests.command_homes import BLOCKED, CERTIFIED, KEYS, finished_home, own_copy, simulated, sleevegraph, store_of


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "engine_names", lambda: ("native",))


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return own_copy(tmp_path_factory, tmp_path / "home")


def values(result: Result) -> dict[str, str]:
    return {what: text.strip() for what, _, text in (line.partition(":") for line in result.stdout.splitlines())}


def problems(result: Result) -> list[str]:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    return [line for line in result.stdout.splitlines() if line.startswith("problem:")]


def test_an_empty_home_is_healthy_and_says_what_to_run(tmp_path: Path) -> None:
    result = sleevegraph("doctor", "--home", tmp_path / "new")
    found = values(result)
    assert result.exit_code == 0, result.output
    assert found["newest bar"].startswith(f"no bars yet; run sleevegraph backfill --home {tmp_path / 'new'}")
    assert "does not exist yet" in found["home"]
    assert found["engine native"].startswith("works")
    assert {"engine skfolio", "engine riskfolio", "python", "polars", "riskfolio-lib", "free disk"} <= set(found)
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("_quick")
def test_a_finished_home_tells_its_bars_grid_and_verdicts(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = finished_home(tmp_path_factory)[0]
    result = sleevegraph("doctor", "--home", home)
    found = values(result)
    assert result.exit_code == 0, result.output
    days = (datetime.now(UTC).date() - datetime(2022, 3, 16, tzinfo=UTC).date()).days
    assert found["newest bar"] in {f"2022-03-16, {days - 1} days old", f"2022-03-16, {days} days old"}
    assert f"the last that has passed is {GRID.get_last_partition_key()}" in found["grid"]
    assert found["meta_fractal"] == f"4 rebalances from {KEYS[0]} to {KEYS[-1]}, none missing in between"
    receipts = [store_of(home).receipts.root.rglob(f"{key}.json") for key in (CERTIFIED, BLOCKED)]
    assert all(list(files) for files in receipts)
    assert " 0 failed" not in found["receipts"]
    assert found["receipts"].endswith(" 0 unreadable")
    assert found["source"].startswith("files, ")
    assert "SIMULATED" not in found


@pytest.mark.usefixtures("_quick")
def test_a_hole_in_the_stored_rebalances_is_told(broken: Path) -> None:
    store_of(broken).lake.path(("meta_fractal", "flattened_weights"), KEYS[1]).unlink()
    found = values(sleevegraph("doctor", "--home", broken))
    assert found["meta_fractal"] == f"3 rebalances from {KEYS[0]} to {KEYS[-1]}, missing in between 1, first {KEYS[1]}"


@pytest.mark.usefixtures("_quick")
def test_a_simulated_market_is_said_loudly(broken: Path) -> None:
    simulated(broken)
    assert values(sleevegraph("doctor", "--home", broken))["SIMULATED"] == "simulated market, not real prices"


@pytest.mark.usefixtures("_quick")
def test_a_source_that_has_gone_is_told_but_nothing_is_broken(broken: Path) -> None:
    (broken / "data" / "source.json").write_text('{"name": "files", "path": "/nowhere/bars.parquet"}')
    result = sleevegraph("doctor", "--home", broken)
    assert result.exit_code == 0
    assert "not there any more" in values(result)["source"]


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("partition", [("daily_bars/2022-03"), (f"meta_fractal/flattened_weights/{CERTIFIED}")])
def test_a_lake_that_cannot_be_read_is_a_problem(broken: Path, partition: str) -> None:
    (broken / "data" / "lake" / f"{partition}.parquet").write_bytes(b"junk")
    name = " ".join(partition.rsplit("/", 1))
    assert any(f"{name}: expected a Parquet file" in line for line in problems(sleevegraph("doctor", "--home", broken)))


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("behind", "found"), [(1, 0), (3, 1)])
def test_bars_of_an_exchange_that_end_more_than_two_days_ago_are_a_problem(
    tmp_path: Path, behind: int, found: int
) -> None:
    lake = store_of(tmp_path).lake
    lake.store_bars(simulated_bars(datetime.now(UTC).date() - timedelta(days=behind), symbols=20))
    (tmp_path / "data" / "source.json").write_text('{"name": "binance"}')
    result = sleevegraph("doctor", "--home", tmp_path)
    assert result.exit_code == found, result.output
    advice = f"; run sleevegraph ingest --home {tmp_path}"
    assert result.stdout.count(f"at most 2 days behind today, found {lake.newest_bar()}{advice}\n") == found


@pytest.mark.usefixtures("_quick")
def test_a_home_of_an_exchange_without_daily_bars_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "source.json").write_text('{"name": "binance"}')
    result = sleevegraph("doctor", "--home", tmp_path)
    assert result.exit_code == 0, result.output
    assert values(result)["newest bar"] == f"no daily bars yet; run sleevegraph ingest --home {tmp_path}"


@pytest.mark.usefixtures("_quick")
def test_an_unreadable_record_of_the_source_is_a_problem(broken: Path) -> None:
    (broken / "data" / "source.json").write_text("[]")
    assert any("source.json: expected JSON" in line for line in problems(sleevegraph("doctor", "--home", broken)))


@pytest.mark.usefixtures("_quick")
def test_an_unreadable_receipt_is_counted(broken: Path) -> None:
    path = store_of(broken).receipts.path(("universe",), "bars_complete", CERTIFIED)
    path.write_text("{")
    assert values(sleevegraph("doctor", "--home", broken))["receipts"].endswith(" 1 unreadable")


@pytest.mark.usefixtures("_quick")
def test_a_home_that_cannot_be_written_to_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert any("can be written to" in line for line in problems(sleevegraph("doctor", "--home", tmp_path / "file")))


def test_an_engine_that_a_sleeve_names_and_that_is_missing_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skfolio", None)
    result = sleevegraph("doctor", "--home", tmp_path)
    (line,) = problems(result)
    assert line.startswith(
        "problem:           engine skfolio does not work: No module named 'skfolio'; install skfolio"
    )
    assert values(result)["engine native"].startswith("works")


def test_an_optional_engine_that_is_missing_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypfopt", None)
    result = sleevegraph("doctor", "--home", tmp_path)
    assert result.exit_code == 0
    assert "not in use; engine pypfopt does not work: No module named 'pypfopt'" in result.stdout


@pytest.mark.usefixtures("_quick")
def test_a_package_that_is_missing_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    assert any("no-such-package" in line for line in problems(sleevegraph("doctor", "--home", tmp_path)))


def test_settings_alone_are_tried_where_a_service_is_about_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sleevegraph("doctor", "--settings", "--home", tmp_path).stdout.split() == [
        "settings:",
        "all",
        "that",
        "are",
        "set",
        "work",
    ]
    monkeypatch.setenv("SLEEVEGRAPH_ALERTS", "json://127.0.0.1:9/hook")
    monkeypatch.setenv("SLEEVEGRAPH_POSTGRES_URL", "postgresql://user@127.0.0.1:1/home")
    said = sleevegraph("doctor", "--settings", "--home", tmp_path)
    assert said.exit_code == 1
    found = problems(said)
    assert [line.split()[1] for line in found] == ["SLEEVEGRAPH_POSTGRES_URL:", "SLEEVEGRAPH_ALERTS:"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("SLEEVEGRAPH_POSTGRES_URL")
    monkeypatch.delenv("SLEEVEGRAPH_ALERTS")
    record_postgres(Home(tmp_path))
    (unset,) = problems(sleevegraph("doctor", "--settings", "--home", tmp_path))
    assert "SLEEVEGRAPH_POSTGRES_URL: expected the database in which" in unset
