from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import freeze_time

from sensors.rebalance import MAX_ATTEMPTS
from sleevegraph.simulated_market import simulated_bars
from tests.homes import KEYS, META, NESTED, SHORT, TemporaryHome, environment

DUE, AFTER = "2022-03-21", "2022-03-31"
"""The two rebalances after those that the home has."""


def market_until(day: str) -> pl.DataFrame:
    """The small market, longer: a later end adds days and changes none."""
    return simulated_bars(date.fromisoformat(day), symbols=24)


def tick(home: TemporaryHome, today: str) -> tuple[list[tuple[str | None, str | None]], str]:
    """What the sensor asks for at noon, as run and partition keys, and what it says when it asks for nothing."""
    sensor = home.defs.resolve_sensor_def("rebalance_sensor")
    with freeze_time(datetime.fromisoformat(f"{today}T12:00:00+00:00")):
        context = dg.build_sensor_context(
            instance=home.instance, definitions=home.defs, resources={"store": home.store}
        )
        evaluated = sensor.evaluate_tick(context)
    assert evaluated.run_requests is not None
    return [(r.run_key, r.partition_key) for r in evaluated.run_requests], evaluated.skip_message or ""


def ended_run(home: TemporaryHome, key: str, status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE) -> None:
    home.instance.add_run(dg.DagsterRun(job_name="rebalance", status=status, tags={"dagster/partition": key}))


def test_without_bars_it_waits_and_says_so(new_home: Callable[[], TemporaryHome]) -> None:
    assert tick(new_home(), "2022-03-23") == ([], f"{DUE} waits: the newest bar is absent, expected 2022-03-20")


def test_with_stale_bars_it_waits_for_the_day_before(home: TemporaryHome) -> None:
    assert tick(home, "2022-03-23") == ([], f"{DUE} waits: the newest bar is 2022-03-16, expected 2022-03-20")


def test_a_due_date_with_complete_bars_is_requested_once(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    asked, said = tick(home, "2022-03-23")
    assert asked == [(f"rebalance:{DUE}:1", DUE)]
    assert said == ""
    assert tick(home, "2022-03-24")[0] == asked, "the same key again, which the daemon drops"


def test_a_rebalance_that_is_done_is_not_asked_for(home: TemporaryHome) -> None:
    asked, said = tick(home, "2022-03-13")
    assert asked == []
    assert said == f"{KEYS[-1]} is done; the next rebalance is {DUE}"


@pytest.mark.parametrize("meta", [META, NESTED])
@pytest.mark.parametrize("check", ["conservation", "concentration"])
def test_a_rebalance_is_done_when_the_book_of_every_meta_was_judged(home: TemporaryHome, meta: str, check: str) -> None:
    home.store.receipts.path((meta, "flattened_weights"), check, KEYS[-1]).unlink()
    assert tick(home, "2022-03-13")[0] == [(f"rebalance:{KEYS[-1]}:1", KEYS[-1])]


def test_a_date_is_due_when_its_own_day_is_over(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-21"))
    assert tick(home, "2022-03-21")[0] == []
    assert tick(home, "2022-03-22")[0] == [(f"rebalance:{DUE}:1", DUE)]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (pl.col("date") == date(2022, 3, 19), "SESSION_MISSING"),
        ((pl.col("date") == date(2022, 3, 20)) & (pl.col("symbol") > "BINANCE:SIM007"), "STALE: fresh_share"),
    ],
)
def test_incomplete_bars_wait_and_say_what_is_missing(home: TemporaryHome, lost: pl.Expr, said: str) -> None:
    home.ingest(market_until("2022-03-20").filter(~lost))
    asked, skipped = tick(home, "2022-03-23")
    assert asked == []
    assert skipped.startswith(f"{DUE} waits: {said}")


def test_a_missed_rebalance_comes_before_the_newest(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-04-01"))
    assert tick(home, "2022-04-02")[0] == [(f"rebalance:{DUE}:1", DUE)]


def test_bars_that_stay_incomplete_wait_for_a_person_and_then_hold_up_no_later_one(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-04-01").filter(pl.col("date") != date(2022, 3, 19)))
    for today in ("2022-03-23", "2022-04-02"):
        assert "SESSION_MISSING" in tick(home, today)[1]
    assert home.run_one(DUE).success
    for book in ((META, "flattened_weights"), (NESTED, "flattened_weights")):
        assert "SESSION_MISSING" in home.metadata(book, DUE)["held"][0]
    assert tick(home, "2022-04-02")[0] == [(f"rebalance:{AFTER}:1", AFTER)]


def test_a_run_in_progress_is_not_doubled(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    ended_run(home, DUE, dg.DagsterRunStatus.STARTED)
    asked, said = tick(home, "2022-03-23")
    assert asked == []
    assert said == f"{DUE} waits: a run of it is in progress"


def test_a_home_that_never_ran_begins_with_the_newest(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    home.ingest(market_until("2022-04-01"))
    assert tick(home, "2022-04-02")[0] == [(f"rebalance:{AFTER}:1", AFTER)]


def test_each_failed_or_cancelled_run_gets_a_new_key_until_a_person_is_needed(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-03-20"))
    ended_run(home, KEYS[-1])  # another rebalance's failure does not count
    ended_run(home, DUE, dg.DagsterRunStatus.SUCCESS)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert tick(home, "2022-03-23")[0] == [(f"rebalance:{DUE}:{attempt}", DUE)]
        ended_run(home, DUE, dg.DagsterRunStatus.CANCELED if attempt == 2 else dg.DagsterRunStatus.FAILURE)
    asked, said = tick(home, "2022-03-23")
    assert asked == []
    assert said.startswith(f"{DUE} failed 3 times")


def test_the_requested_run_does_the_rebalance_and_a_failed_one_is_tried_again(home: TemporaryHome) -> None:
    home.ingest(market_until("2022-04-01"))
    record = home.store.lake.path((SHORT, "track_record"), KEYS[-1])
    hidden = record.rename(record.with_name(".away"))
    assert not home.run_one(DUE).success
    assert tick(home, "2022-04-02")[0] == [(f"rebalance:{DUE}:2", DUE)]
    hidden.rename(record)
    assert home.run_one(DUE).success
    for meta in (META, NESTED):
        assert home.standing((meta, "flattened_weights"), DUE) == "OK"
    assert tick(home, "2022-04-02")[0] == [(f"rebalance:{AFTER}:1", AFTER)]


def test_the_sensor_and_the_schedule_are_off_until_somebody_wants_them(home: TemporaryHome) -> None:
    assert home.defs.resolve_sensor_def("rebalance_sensor").default_status is dg.DefaultSensorStatus.STOPPED
    assert home.defs.resolve_schedule_def("rebalance_schedule").default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_schedule_asks_only_on_the_day_after_a_rebalance_date(home: TemporaryHome) -> None:
    schedule = home.defs.resolve_schedule_def("rebalance_schedule")
    asked = {}
    for days in range(21):
        now = datetime(2022, 3, 12, 1, tzinfo=UTC) + timedelta(days=days)
        with freeze_time(now), environment(DAGSTER_HOME=str(home.store.folders.dagster)):
            context = dg.build_schedule_context(
                instance=home.instance, scheduled_execution_time=now, repository_def=home.defs.get_repository_def()
            )
            for request in schedule.evaluate_tick(context).run_requests or []:
                asked.setdefault(str(now.date()), []).append(request.partition_key)
    assert asked == {"2022-03-12": [KEYS[-1]], "2022-03-22": [DUE], "2022-04-01": [AFTER]}
