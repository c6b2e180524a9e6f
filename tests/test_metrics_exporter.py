import json
import logging
import os
import socket
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.keys import stage
from resources.home import Home
from resources.metrics import HomeCollector, RunFigures, gauge
from resources.run_history import forget
from sleevegraph.manifest import Family, Manifest
from tests.command_homes import change, refused
from tests.exports import all_of, of, parsed, pointed_at, read, scrape
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, small_manifest
from tests.made_runs import made_run

BEFORE, NEWEST = KEYS[-2:]
DAY = 86_400


def seconds(day: str | date) -> float:
    return (date.fromisoformat(str(day)) - date(1970, 1, 1)).days * DAY


def receipts(home: TemporaryHome, key: str) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in (home.root / "data" / "receipts").rglob(f"{key}.json")]


def test_figures_over_http_are_those_of_the_home(home: TemporaryHome) -> None:
    found = parsed(scrape(home.store.folders))
    assert of(found, "up") == 1
    assert of(found, "newest_certified_rebalance_timestamp_seconds", meta=META) == seconds(NEWEST)
    assert of(found, "newest_stored_rebalance_timestamp_seconds") == seconds(NEWEST)
    age = of(found, "newest_certified_rebalance_age_seconds", meta=NESTED)
    assert abs(age - (time.time() - seconds(NEWEST))) < DAY
    due = of(found, "newest_due_rebalance_timestamp_seconds")
    assert (due - seconds("2020-01-01")) % (10 * DAY) == 0
    assert 0 <= time.time() - due <= 10 * DAY
    passed = Counter((r["asset"], r["check"]) for r in receipts(home, NEWEST) if r["passed"] and not r["findings"])
    for (asset, check), count in passed.items():
        portfolio, _, last = str(asset).rpartition("/")
        labels = {"portfolio": portfolio or "market", "asset": last, "check": str(check)}
        assert of(found, "gates", **labels, state="passed") == count, labels
    assert sum(all_of(found, "gates")) == len(receipts(home, NEWEST))
    bars = pl.read_parquet(max((home.root / "data/lake/daily_bars").glob("*.parquet")))
    last = bars.filter(pl.col("date") == bars["date"].max())
    assert of(found, "newest_bar_timestamp_seconds") == seconds(last["date"][0])
    assert of(found, "newest_bar_symbols") == last.height
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert of(found, "bars_behind_seconds") == (yesterday - last["date"][0]).days * DAY
    assert of(found, "alerts_waiting") == 0
    assert 0 < of(found, "disk_free_bytes") <= of(found, "disk_size_bytes")
    assert of(found, "run_duration_seconds_count", dagster_job="rebalance", status="SUCCESS") == 1
    (run,) = home.instance.get_run_records(dg.RunsFilter(job_name="rebalance"))
    assert run.end_time is not None
    assert run.start_time is not None
    took = of(found, "run_duration_seconds_sum", dagster_job="rebalance")
    assert took == pytest.approx(run.end_time - run.start_time)
    assert of(found, "last_run_duration_seconds", dagster_job="rebalance") == pytest.approx(took)


def test_cells_are_counted_by_engine_profile_and_status(home: TemporaryHome) -> None:
    home.plant(stage(SHORT, "solver_cells"), NEWEST, pl.lit("failed").alias("status"))
    found = read(home.store.folders)
    frames = [home.read(stage(sleeve, "solver_cells"), NEWEST) for sleeve in (LONG, SHORT)]
    for key, count in Counter(pl.concat(frames).select("engine", "profile", "status").iter_rows()).items():
        assert of(found, "solver_cells", **dict(zip(("engine", "profile", "status"), key, strict=True))) == count
    figures = home.receipt(stage(SHORT, "solver_cells"), "solver_failure_rate", NEWEST).figures
    assert of(found, "solver_window_cells", portfolio=SHORT) == figures["expected_cells"]
    assert of(found, "solver_window_failures", portfolio=SHORT) == 0


def test_a_failed_gate_takes_the_certificate_from_a_rebalance(home: TemporaryHome) -> None:
    path = home.store.receipts.path(stage(META, "flattened_weights"), "conservation", NEWEST)
    change(Path(path), passed=False, findings=["ERROR PLANTED: planted"])
    found = read(home.store.folders)
    labels = {"portfolio": META, "asset": "flattened_weights", "check": "conservation", "blocking": "yes"}
    assert of(found, "gates", **labels, state="failed") == 1
    assert of(found, "gates", **labels, state="passed") == 0
    assert of(found, "newest_certified_rebalance_timestamp_seconds", meta=META) == seconds(BEFORE)
    assert of(found, "newest_certified_rebalance_timestamp_seconds", meta=NESTED) == seconds(NEWEST)


def test_a_missing_bar_blocks_the_rebalance_and_the_figures_say_so(home: TemporaryHome) -> None:
    day = date.fromisoformat(NEWEST) - timedelta(days=3)
    month = home.store.lake.read(("daily_bars",), f"{day:%Y-%m}")
    home.store.lake.write(("daily_bars",), f"{day:%Y-%m}", month.filter(pl.col("date") != day))
    assert of(read(home.store.folders), "gates", asset="universe", state="stale") == 1
    assert home.run(
        NEWEST, assets=[("corroboration",), ("universe",)], checks=[(("universe",), "bars_complete")]
    ).success
    found = read(home.store.folders)
    assert of(found, "gates", asset="universe", state="failed") == 1
    assert of(found, "newest_certified_rebalance_timestamp_seconds", meta=META) == seconds(BEFORE)
    assert of(found, "newest_stored_rebalance_timestamp_seconds") == seconds(NEWEST)


def test_bars_that_stop_are_behind(home: TemporaryHome) -> None:
    before = read(home.store.folders)
    newest = home.store.lake.newest_bar()
    assert newest is not None
    month = home.store.lake.read(("daily_bars",), f"{newest:%Y-%m}")
    gone = month.filter(
        (pl.col("date") < newest)
        & ~((pl.col("date") == newest - timedelta(days=1)) & (pl.col("symbol") == month["symbol"][0]))
    )
    home.store.lake.write(("daily_bars",), f"{newest:%Y-%m}", gone)
    after = read(home.store.folders)
    assert of(after, "bars_behind_seconds") == of(before, "bars_behind_seconds") + DAY
    assert of(after, "newest_bar_symbols") == gone.filter(pl.col("date") == newest - timedelta(days=1)).height
    assert of(after, "newest_bar_symbols") == month.filter(pl.col("date") == newest - timedelta(days=1)).height - 1


def test_a_scrape_writes_nothing(home: TemporaryHome) -> None:
    home.close()
    first = scrape(home.store.folders)
    before = tree(home.root)
    assert of(parsed(scrape(home.store.folders)), "up") == 1
    assert tree(home.root) == before
    assert "sleevegraph_up 1.0" in first


def tree(root: Path) -> dict[str, tuple[int, int]]:
    found = {str(path): path.stat() for path in root.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def test_a_damaged_file_is_up_0_with_a_reason_and_costs_only_its_own_figures(
    home: TemporaryHome, caplog: pytest.LogCaptureFixture
) -> None:
    file = home.root / "data" / "lake" / LONG / "solver_cells" / f"{NEWEST}.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with caplog.at_level(logging.ERROR):
        found = read(home.store.folders)
    assert of(found, "up") == 0
    assert f"solver cells cannot be read: {LONG}/solver_cells {NEWEST}: expected a Parquet file" in caplog.text
    assert all_of(found, "solver_cells") == []
    assert of(found, "newest_bar_symbols") > 0
    file.write_bytes(whole)
    assert of(read(home.store.folders), "up") == 1


def test_a_home_that_is_not_there_is_up_0_and_is_not_made(tmp_path: Path) -> None:
    found = read(Home(tmp_path / "none"))
    assert of(found, "up") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_reading_is_kept_for_a_while() -> None:
    now, read_at = [100.0], []

    def part() -> list[object]:
        read_at.append(now[0])
        now[0] += 4.0
        return [gauge("x", "X.", [((), 1.0)])]

    collector = HomeCollector([("x", part)], clock=lambda: now[0])  # type: ignore[list-item]
    collector.collect()
    now[0] += 39.9
    collector.collect()
    now[0] += 0.2
    collector.collect()
    assert read_at == [100.0, pytest.approx(144.1)]


def test_four_hundred_sleeves_of_a_family_are_as_many_series_as_one_sleeve(home: TemporaryHome) -> None:
    small = small_manifest()
    one = small.sleeves[0]
    sleeves = tuple(one.model_copy(update={"name": f"member_{number}"}) for number in range(400))
    family = Family(name="grid", sleeves=tuple(sleeve.name for sleeve in sleeves))
    manifest = Manifest(market=small.market, sleeves=(one, *sleeves), metas=(), families=(family,))
    found = read(home.store.folders, manifest)
    of_one, of_all = all_of(found, "gates", portfolio=LONG), all_of(found, "gates", portfolio="grid")
    assert len(of_one) == len(of_all)
    assert sum(all_of(found, "gates", portfolio="grid", state="absent")) == 400 * sum(of_one)
    assert len(found) < 400


def test_durations_go_on_where_runs_are_pruned(home: TemporaryHome) -> None:
    with pointed_at(home.store.folders):
        figures = RunFigures(dg.DagsterInstance.get)
        before = counts(figures)
        with dg.DagsterInstance.get() as instance:
            for record in instance.get_run_records():
                forget(instance, home.store.folders, record.dagster_run.run_id)
        assert counts(figures) == before
        assert sum(before.values()) == 2
        assert counts(RunFigures(dg.DagsterInstance.get)) == {}


def counts(figures: RunFigures) -> dict[str, float]:
    return {
        sample.labels["dagster_job"]: sample.value
        for family in figures()
        for sample in family.samples
        if sample.name.endswith("duration_seconds_count")
    }


def test_runs_and_heartbeats_follow_dagster(home: TemporaryHome) -> None:
    made_run(home, dg.DagsterRunStatus.STARTED)
    made_run(home, dg.DagsterRunStatus.FAILURE)
    from dagster._daemon.types import DaemonHeartbeat  # noqa: PLC0415 - what the daemon itself stores

    home.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 50, "SENSOR", "id", []))
    found = read(home.store.folders)
    assert of(found, "runs_in_progress", dagster_job="rebalance", status="STARTED") == 1
    assert of(found, "recent_runs", dagster_job="rebalance", status="FAILURE") == 1
    assert 50 <= of(found, "daemon_heartbeat_age_seconds", daemon="SENSOR") < 50 + DAY


def test_a_port_that_is_taken_is_one_line(home: TemporaryHome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused("metrics", "--port", port, "--home", home.root)
    assert f"--port: expected to listen on 127.0.0.1 port {port}, found: {os.strerror(98)}" in message
