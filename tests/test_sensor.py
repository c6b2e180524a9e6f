from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import freeze_time

from assets.certification_board import BOARD
from assets.keys import UNIVERSE
from sensors.rebalance import DELAYS
from sensors.stored_runs import state_of_runs
from sleevegraph.simulated_market import simulated_bars
from tests.homes import KEYS, META, NESTED, SHORT, TemporaryHome, environment
from tests.ticks import moment, on_record, tick

DUE, AFTER = "2022-03-21", "2022-03-31"
"""The two rebalances after those that the home has."""
NAME = "rebalance_sensor"
FAILURE = dg.DagsterRunStatus.FAILURE


def market_until(day: str) -> pl.DataFrame:
    """The small market, longer: a later end adds days and changes none."""
    return simulated_bars(date.fromisoformat(day), symbols=24)


def asked(home: TemporaryHome, at: str) -> list[tuple[str | None, str | None]]:
    """Run and partition keys that the sensor asks for."""
    return [(request.run_key, request.partition_key) for request in tick(home, NAME, at)[0]]


def said(home: TemporaryHome, at: str) -> str:
    """What it says when it asks for nothing."""
    requests, text, _ = tick(home, NAME, at)
    assert not requests
    return text


def facts(home: TemporaryHome) -> list[tuple[str, str, int]]:
    """Kind, partition and count of every fact for alerts."""
    with home.store.alerts.writing() as connection:
        rows = connection.execute("SELECT kind, partition, count FROM facts ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def failed(home: TemporaryHome, ended: str, key: str = DUE, status: dg.DagsterRunStatus = FAILURE) -> str:
    return on_record(home, status, ended, partition=key)


def test_without_bars_it_waits_and_says_so(new_home: Callable[[], TemporaryHome]) -> None:
    assert said(new_home(), "2022-03-23") == f"{DUE} waits: the newest bar is absent, expected 2022-03-20"


def test_late_bars_are_waited_for_without_an_end_and_alerted_once(home: TemporaryHome) -> None:
    waits = f"{DUE} waits: the newest bar is 2022-03-16, expected 2022-03-20"
    assert said(home, "2022-03-23T23:59") == waits
    assert not home.store.alerts.file.exists()
    cursor = None
    for day in ("2022-03-24T00:00", "2022-03-29"):
        requests, text, cursor = tick(home, NAME, day, cursor)
        assert (requests, text) == ([], waits)
    assert facts(home) == [("bars_late", DUE, 1)]
    with freeze_time(moment("2022-03-29")):
        home.ingest(market_until("2022-03-28").filter(pl.col("date") != date(2022, 3, 19)))
    requests, *_ = tick(home, NAME, "2022-04-02", cursor)
    assert [request.partition_key for request in requests] == [DUE]
    assert facts(home) == [("bars_late", DUE, 1)] * 2, "that they came and stayed incomplete is another fact"


def test_a_due_date_with_complete_bars_is_requested_once_before_a_backfill_and_without_dagsters_retries(
    home: TemporaryHome,
) -> None:
    home.ingest(market_until("2022-03-20"))
    (request,), *_ = tick(home, NAME, "2022-03-23")
    assert (request.run_key, request.partition_key) == (f"rebalance:{DUE}:1", DUE)
    assert request.tags["dagster/max_retries"] == "0"
    assert int(request.tags["dagster/priority"]) > 0
    assert asked(home, "2022-03-24") == [(request.run_key, DUE)], "the same key again, which the daemon drops"


def test_a_rebalance_that_is_done_is_not_asked_for(home: TemporaryHome) -> None:
    assert said(home, "2022-03-13") == f"{KEYS[-1]} is done; the next rebalance is {DUE}"


def test_a_date_is_due_when_its_own_day_is_over(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-21"))
    assert asked(home, "2022-03-21") == []
    assert asked(home, "2022-03-22") == [(f"rebalance:{DUE}:1", DUE)]


@pytest.mark.parametrize(
    ("path", "check", "key"),
    [
        ((META, "flattened_weights"), "conservation", KEYS[1]),
        ((NESTED, "flattened_weights"), "concentration", KEYS[-1]),
        ((SHORT, "risk_weights"), "weight_sanity", KEYS[1]),
        ((NESTED, "audit_bundle"), "audit_verified", KEYS[-1]),
        ((META, "trade_list"), "trade_list_reconciles", KEYS[-1]),
    ],
)
def test_a_verdict_that_is_gone_sends_it_back_to_that_date(
    home: TemporaryHome, path: tuple[str, ...], check: str, key: str
) -> None:
    home.store.receipts.path(path, check, key).unlink()
    assert asked(home, "2022-03-13") == [(f"rebalance:{key}:1", key)]


def test_a_verdict_on_another_partition_than_the_stored_one_sends_it_back(home: TemporaryHome) -> None:
    home.plant((SHORT, "risk_weights"), KEYS[2], pl.col("weight") * 1.0000001)
    assert asked(home, "2022-03-13") == [(f"rebalance:{KEYS[2]}:1", KEYS[2])]


def test_a_check_that_no_earlier_rebalance_was_asked_is_no_gap(home: TemporaryHome) -> None:
    for key in KEYS[:2]:
        home.store.receipts.path((SHORT, "risk_weights"), "weight_sanity", key).unlink()
    assert asked(home, "2022-03-13") == []


def test_a_run_killed_before_its_board_is_not_done_and_a_hole_comes_before_what_follows(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-21"))
    third = Path(str(home.store.lake.path(BOARD, KEYS[2])))
    away = third.rename(third.with_name(".away"))
    assert asked(home, "2022-03-23") == [(f"rebalance:{KEYS[2]}:1", KEYS[2])]
    home.store.lake.remove(BOARD, KEYS[3])
    home.store.lake.remove(BOARD, KEYS[0])
    away.rename(third)
    on_record(home, dg.DagsterRunStatus.SUCCESS, "2022-03-23")
    assert asked(home, "2022-03-13") == [(f"rebalance:{KEYS[3]}:1", KEYS[3])], "what lies before the first is nobody's"


def test_a_backfill_of_long_ago_launches_nothing_between_it_and_what_is_in_force(home: TemporaryHome) -> None:
    for asset in (BOARD, UNIVERSE):
        content = Path(str(home.store.lake.path(asset, KEYS[0]))).read_bytes()
        Path(str(home.store.lake.path(asset, "2021-12-31"))).write_bytes(content)
    assert said(home, "2022-03-13").startswith(f"{KEYS[-1]} is done")


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (pl.col("date") == date(2022, 3, 19), "SESSION_MISSING"),
        ((pl.col("date") == date(2022, 3, 20)) & (pl.col("symbol") > "BINANCE:SIM007"), "STALE: fresh_share"),
    ],
)
def test_incomplete_bars_wait_and_say_what_is_missing_and_until_when(
    home: TemporaryHome, lost: pl.Expr, why: str
) -> None:
    home.ingest(market_until("2022-03-20").filter(~lost))
    skipped = said(home, "2022-03-23")
    assert skipped.startswith(f"{DUE} waits: {why}")
    assert "2022-03-24 at 00:00 UTC" in skipped


def test_incomplete_bars_that_are_being_fetched_are_waited_for_beyond_the_deadline(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20").filter(pl.col("date") != date(2022, 3, 19)))
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-25", job="ingest")
    assert said(home, "2022-03-25").endswith("an ingest is in progress")


def test_the_deadline_counts_from_the_ingest_that_brought_the_bars(home: TemporaryHome) -> None:
    with freeze_time(moment("2022-04-15")):
        home.ingest(market_until("2022-04-14").filter(pl.col("date") != date(2022, 3, 19)))
    assert "2022-04-17 at 12:00 UTC" in said(home, "2022-04-16")
    assert asked(home, "2022-04-18") == [(f"rebalance:{DUE}:1", DUE)]


def test_bars_that_stay_incomplete_are_judged_after_the_deadline_with_one_alert_and_hold_up_no_later_date(
    home: TemporaryHome,
) -> None:
    home.ingest(market_until("2022-04-01").filter(pl.col("date") != date(2022, 3, 19)))
    home.store.alerts.folder.mkdir(parents=True)
    home.store.alerts.file.write_bytes(b"no outbox" * 100)
    assert tick(home, NAME, "2022-04-02")[0][0].partition_key == DUE, "a damaged outbox stops no rebalance"
    home.store.alerts.file.unlink()
    requests, _, cursor = tick(home, NAME, "2022-04-02")
    assert [request.partition_key for request in requests] == [DUE]
    assert tick(home, NAME, "2022-04-02", cursor)[0] == requests
    assert facts(home) == [("bars_late", DUE, 1)]
    assert home.run_one(DUE).success
    for book in ((META, "flattened_weights"), (NESTED, "flattened_weights")):
        assert "SESSION_MISSING" in home.metadata(book, DUE)["held"][0]
    assert asked(home, "2022-04-02") == [(f"rebalance:{AFTER}:1", AFTER)]


def test_what_the_search_remembers_holds_until_any_run_begins_or_ends(home: TemporaryHome) -> None:
    early = on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-23", partition=DUE)
    on_record(home, dg.DagsterRunStatus.SUCCESS, "2022-03-23", job="ingest")
    before = state_of_runs(home.instance)
    assert state_of_runs(home.instance) == before
    (run,) = home.instance.get_runs(dg.RunsFilter([early]))
    home.instance.report_run_failed(run)
    assert state_of_runs(home.instance) != before, "though the run made last is the same"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_run_in_progress_is_not_doubled(home: TemporaryHome, status: dg.DagsterRunStatus) -> None:
    home.ingest(market_until("2022-03-20"))
    home.instance.add_run(dg.DagsterRun(job_name="rebalance", status=status, tags={"dagster/partition": DUE}))
    assert said(home, "2022-03-23") == f"{DUE} is in progress; one rebalance goes at a time"


def test_any_run_of_the_grid_is_waited_for_and_an_ingest_is_not(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-23", job="ingest")
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-23", job="history")
    assert asked(home, "2022-03-23") == [(f"rebalance:{DUE}:1", DUE)]
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-23", asset_partition_range_start=KEYS[0])
    assert said(home, "2022-03-23").startswith(f"the range from {KEYS[0]} is in progress")


def test_a_home_that_never_ran_begins_with_the_newest(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    home.ingest(market_until("2022-04-01"))
    assert asked(home, "2022-04-02") == [(f"rebalance:{AFTER}:1", AFTER)]


def test_a_failed_rebalance_is_tried_again_three_times_with_back_off_and_then_one_alert(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    failed(home, "2022-03-22", KEYS[-1])  # another rebalance's failure does not count
    at = moment("2022-03-23")
    for attempt, delay in enumerate(DELAYS, 2):
        status = dg.DagsterRunStatus.CANCELED if attempt == 3 else FAILURE
        failed(home, f"{at:%Y-%m-%dT%H:%M}", status=status)
        early = at + delay - timedelta(seconds=1)
        assert f"tried {attempt - 1} times in vain" in said(home, f"{early:%Y-%m-%dT%H:%M:%S}")
        at += delay
        assert asked(home, f"{at:%Y-%m-%dT%H:%M}") == [(f"rebalance:{DUE}:{attempt}", DUE)]
    last = failed(home, f"{at:%Y-%m-%dT%H:%M}")
    requests, text, cursor = tick(home, NAME, "2022-03-24")
    assert not requests
    assert text.startswith(f"{DUE} failed 4 times; look at run {last}")
    assert f"sleevegraph backfill --from {DUE} --to {DUE}" in text
    assert tick(home, NAME, "2022-04-02", cursor)[1] == text, "later dates wait for it"
    assert facts(home) == [("rebalance_gave_up", DUE, 1)]


def test_a_failure_of_the_future_before_the_clock_was_set_back_is_tried_at_once(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    failed(home, "2023-01-01")
    assert asked(home, "2022-03-23") == [(f"rebalance:{DUE}:2", DUE)]
    failed(home, "2022-03-23T12:01")
    assert "tried 2 times in vain" in said(home, "2022-03-23T12:02")


def test_a_failure_that_somebody_deletes_stops_no_date(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    deleted, _ = (
        on_record(home, dg.DagsterRunStatus.FAILURE, at, partition=DUE, run_key=f"rebalance:{DUE}:{number}")
        for number, at in enumerate(("2022-03-23T10:00", "2022-03-23T10:30"), 1)
    )
    home.instance.delete_run(deleted)
    assert asked(home, "2022-03-23") == [(f"rebalance:{DUE}:3", DUE)], "no run on record has this key"


def test_a_run_that_went_well_and_left_its_date_undone_is_not_repeated_for_ever(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    for minute in (0, 10, 20, 40):
        failed(home, f"2022-03-23T12:{minute:02}", status=dg.DagsterRunStatus.SUCCESS)
    assert said(home, "2022-03-23T13:30").startswith(f"{DUE} failed 4 times")


def test_a_clock_set_forward_by_months_asks_for_one_date_after_the_other_and_set_back_for_none(
    home: TemporaryHome,
) -> None:
    home.ingest(market_until("2022-06-30"))
    assert asked(home, "2022-07-01") == [(f"rebalance:{DUE}:1", DUE)], "the missed ones come before the newest"
    failed(home, "2022-07-01T12:00")
    assert asked(home, "2022-07-01T12:02") == [(f"rebalance:{DUE}:2", DUE)]
    assert home.run_one(DUE).success
    for meta in (META, NESTED):
        assert home.standing((meta, "flattened_weights"), DUE) == "OK"
    assert asked(home, "2022-07-01T12:03") == [(f"rebalance:{AFTER}:1", AFTER)]
    assert said(home, "2022-03-13") == f"{KEYS[-1]} is done; the next rebalance is {DUE}"
    assert said(home, "2021-01-01").startswith("2020-12-26 is done")


def test_every_sensor_and_the_schedule_are_off_until_somebody_wants_them(home: TemporaryHome) -> None:
    sensors = list(home.defs.sensors or [])
    assert {"bars_sensor", NAME, "revision_sensor"} <= {sensor.name for sensor in sensors}
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.STOPPED}
    assert home.defs.resolve_schedule_def("rebalance_schedule").default_status is dg.DefaultScheduleStatus.STOPPED


def scheduled(home: TemporaryHome, at: datetime) -> list[str | None]:
    """What the schedule asks for at a tick."""
    schedule = home.defs.resolve_schedule_def("rebalance_schedule")
    with freeze_time(at), environment(DAGSTER_HOME=str(home.store.folders.dagster)):
        built = dg.build_schedule_context(
            instance=home.instance,
            scheduled_execution_time=at,
            repository_def=home.defs.get_repository_def(),
            resources={"store": home.store},
        )
        with built as context:
            return [request.partition_key for request in schedule.evaluate_tick(context).run_requests or []]


def test_the_schedule_asks_from_the_day_after_a_rebalance_date_until_it_is_done(home: TemporaryHome) -> None:
    expected = {"03-12": [], "03-21": [], "03-22": [DUE], "03-31": [DUE], "04-01": [DUE, AFTER]}
    assert {day: scheduled(home, moment(f"2022-{day}T01:00")) for day in expected} == expected


def test_the_schedule_asks_for_every_date_that_a_clock_set_forward_left_out_and_for_none_twice(
    home: TemporaryHome,
) -> None:
    at = datetime(2022, 4, 12, 1, tzinfo=UTC)
    assert scheduled(home, at) == [DUE, AFTER, "2022-04-10"]
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-04-12", partition=DUE)
    assert scheduled(home, at) == [AFTER, "2022-04-10"]
    assert scheduled(home, datetime(2022, 3, 1, 1, tzinfo=UTC)) == []


def test_a_new_home_is_scheduled_from_the_newest_date(new_home: Callable[[], TemporaryHome]) -> None:
    assert scheduled(new_home(), datetime(2022, 4, 12, 1, tzinfo=UTC)) == ["2022-04-10"]
