from collections.abc import Callable
from datetime import date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import freeze_time

from sensors.bars import DELAYS, expected_at
from sleevegraph.simulated_market import simulated_bars
from tests.homes import TemporaryHome
from tests.ticks import moment, on_record, tick

NAME = "bars_sensor"


def market_until(day: str) -> pl.DataFrame:
    """24 symbols, of the last weeks only: nobody decides anything here."""
    last = date.fromisoformat(day)
    return simulated_bars(last, symbols=24, start=date(2022, 3, 1))


@pytest.fixture
def bars_home(new_home: Callable[[], TemporaryHome]) -> TemporaryHome:
    """A home with bars up to 2022-03-20."""
    home = new_home()
    with freeze_time(moment("2022-03-21T00:16")):
        home.ingest(market_until("2022-03-20"))
    return home


def asked(home: TemporaryHome, at: str) -> list[str | None]:
    return [request.run_key for request in tick(home, NAME, at)[0]]


def said(home: TemporaryHome, at: str) -> str:
    requests, text, _ = tick(home, NAME, at)
    assert not requests
    return text


def fruitless(home: TemporaryHome, at: datetime) -> None:
    """A run of the sensor that went well and brought nothing."""
    on_record(home, dg.DagsterRunStatus.SUCCESS, f"{at:%Y-%m-%dT%H:%M}", job="ingest", sensor_name=NAME)


def test_a_home_that_nobody_gave_a_source_is_left_empty(new_home: Callable[[], TemporaryHome]) -> None:
    assert said(new_home(), "2022-03-21").startswith("this home has no market source yet")


def test_bars_that_are_there_and_complete_are_not_fetched_again(bars_home: TemporaryHome) -> None:
    assert said(bars_home, "2022-03-21") == (
        "bars up to 2022-03-20 are there and complete; the next are expected at 2022-03-22 00:15 UTC"
    )


@pytest.mark.parametrize(("now", "expected"), [("2022-03-22T00:14", "2022-03-20"), ("2022-03-22T00:15", "2022-03-21")])
def test_yesterdays_bars_are_expected_from_a_quarter_past_midnight(now: str, expected: str) -> None:
    assert str(expected_at(moment(now))) == expected


def test_missing_bars_are_asked_for_once_and_the_request_leaves_retries_to_the_sensor(bars_home: TemporaryHome) -> None:
    assert asked(bars_home, "2022-03-22T00:14") == []
    (request,), *_ = tick(bars_home, NAME, "2022-03-22T00:15")
    assert request.run_key == "ingest:2022-03-21:1"
    assert request.tags["dagster/max_retries"] == "0"
    assert asked(bars_home, "2022-03-22T00:16") == ["ingest:2022-03-21:1"]


def test_an_ingest_in_progress_is_waited_for(bars_home: TemporaryHome) -> None:
    on_record(bars_home, dg.DagsterRunStatus.STARTED, "2022-03-22", job="ingest")
    assert said(bars_home, "2022-03-22") == "an ingest is in progress"


@pytest.mark.parametrize(
    "lost", [pl.col("symbol") > "BINANCE:SIM007", pl.col("symbol") == ""], ids=["not fresh", "complete"]
)
def test_a_newest_day_that_most_symbols_lack_is_fetched_again(
    new_home: Callable[[], TemporaryHome], lost: pl.Expr
) -> None:
    home = new_home()
    bars = market_until("2022-03-20").filter(~((pl.col("date") == date(2022, 3, 20)) & lost))
    with freeze_time(moment("2022-03-21T00:16")):
        home.ingest(bars)
    complete = bars.height == market_until("2022-03-20").height
    assert asked(home, "2022-03-21") == ([] if complete else ["ingest:2022-03-20:1"])


def test_tries_in_vain_are_ever_further_apart_to_four_a_day_and_a_static_source_is_named(
    bars_home: TemporaryHome,
) -> None:
    assert timedelta(days=1) / DELAYS[-1] == 4
    at = moment("2022-03-22T00:15")
    for number, delay in enumerate((*DELAYS, DELAYS[-1]), 1):
        fruitless(bars_home, at)
        text = said(bars_home, f"{at + delay - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}")
        assert f"tried {number} times in vain" in text
        assert "The source files brings nothing newer: extend its files, or turn bars_sensor off" in text
        at += delay
        assert asked(bars_home, f"{at:%Y-%m-%dT%H:%M}")[0].endswith(f":{number + 1}")


def test_a_day_that_came_late_does_not_delay_the_next_one(bars_home: TemporaryHome) -> None:
    at = moment("2022-03-22T00:15")
    for delay in DELAYS:
        fruitless(bars_home, at)
        at += delay
    with freeze_time(at):
        home_run = bars_home.ingest(market_until("2022-03-21"))
        bars_home.instance.add_run_tags(home_run.run_id, {"dagster/sensor_name": NAME})
    assert asked(bars_home, "2022-03-23T00:15") == [f"ingest:2022-03-22:{len(DELAYS) + 2}"]


def test_a_failed_ingest_is_tried_again_after_five_minutes(bars_home: TemporaryHome) -> None:
    on_record(bars_home, dg.DagsterRunStatus.FAILURE, "2022-03-22T00:16", job="ingest", sensor_name=NAME)
    assert "the next try is in 4 min" in said(bars_home, "2022-03-22T00:17")
    assert asked(bars_home, "2022-03-22T00:21") == ["ingest:2022-03-21:2"]


def test_a_clock_set_back_neither_storms_nor_waits_for_the_past(bars_home: TemporaryHome) -> None:
    for minute in (15, 25, 45):
        fruitless(bars_home, moment(f"2023-01-01T00:{minute}"))
    assert said(bars_home, "2021-06-01").startswith("bars up to 2022-03-20 are there")
    assert asked(bars_home, "2022-03-25") == ["ingest:2022-03-24:4"], "one at once"
    fruitless(bars_home, moment("2022-03-25T12:01"))
    assert "tried 4 times in vain" in said(bars_home, "2022-03-25T12:02")
