import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import dagster as dg
import polars as pl
import pytest

import sensors.alerts
from resources.deliveries import Deliveries
from resources.lake import Status
from sleevegraph.alert_messages import LIMITS
from sleevegraph.alerts import Fact, Kind
from tests.alert_receivers import webhook
from tests.homes import KEYS, META, TemporaryHome, cause, environment, small_definitions

WEIGHTS = (META, "flattened_weights")
RUNS, GATES, SENDER = "run_failure_alerts", "check_failure_alerts", "alert_sender"
BEGINNING = 1.0
"""A time before all history, in seconds; 0 counts as none."""


@pytest.fixture(autouse=True)
def _events_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors.alerts, "SETTLED_SECONDS", 0.0)


class Ticks:
    """A sensor as the daemon runs it: with the cursor of its last tick, and the time at which it was turned on."""

    def __init__(self, home: TemporaryHome, name: str, since: float | None = None) -> None:
        self.home, self.sensor, self.since = home, home.defs.resolve_sensor_def(name), since
        self.cursor: str | None = None

    def tick(self, *, dies: bool = False) -> str:
        """What the sensor says; the cursor of one that dies is lost."""
        built = dg.build_sensor_context(
            instance=self.home.instance,
            definitions=self.home.defs,
            resources={"store": self.home.store},
            cursor=self.cursor,
            last_sensor_start_time=self.since,
        )
        with built as context:
            result = self.sensor.evaluate_tick(context)
        assert result.run_requests in (None, [])
        self.cursor = self.cursor if dies else result.cursor or self.cursor
        return str(result.skip_message)


def facts(home: TemporaryHome) -> list[Fact]:
    if not home.store.alerts.file.exists():
        return []
    return [standing.kept.fact for standing in Deliveries(home.store.alerts).standings(waiting=False)]


def fail_gates(home: TemporaryHome, *keys: str) -> str:
    """Break the weights of a meta, let a gate judge them, and return the id of the run."""
    for key in keys:
        home.plant(WEIGHTS, key, pl.col("net") * 3)
    return home.run(*keys, checks=[(WEIGHTS, "conservation")]).run_id


def test_a_gate_that_fails_is_a_fact_with_its_partition_finding_figures_and_run(home: TemporaryHome) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    run_id = fail_gates(home, KEYS[1], KEYS[2])
    assert ticks.tick().startswith("2 facts, 2 of them new; 2 facts wait; SLEEVEGRAPH_ALERTS is not set")
    first, second = facts(home)
    receipt = home.receipt(WEIGHTS, "conservation", KEYS[1])
    assert (first.kind, first.name, first.asset) == (Kind.CHECK_FAILED, "conservation", "/".join(WEIGHTS))
    assert (first.partition, second.partition) == (KEYS[1], KEYS[2])
    assert first.reason == receipt.findings[0][:500]
    assert first.run_id == run_id
    numbers = {name: value for name, value in receipt.figures.items() if isinstance(value, int | float)}
    assert first.figures.items() <= {**numbers, "finding_count": len(receipt.findings)}.items()
    assert "finding_count" in first.figures


def test_gates_that_passed_are_no_facts(home: TemporaryHome) -> None:
    assert Ticks(home, GATES, since=BEGINNING).tick().startswith("0 facts, 0 of them new")


def test_a_gate_that_only_hands_on_a_refusal_is_a_fact_of_its_own_kind(home: TemporaryHome) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    home.store.lake.write(WEIGHTS, KEYS[1], home.read(WEIGHTS, KEYS[1]), Status.BLOCKED, "planted: an earlier gate")
    home.run(KEYS[1], checks=[(WEIGHTS, "conservation")])
    ticks.tick()
    (fact,) = facts(home)
    assert (fact.kind, fact.name) == (Kind.CHECK_BLOCKED, "conservation")
    assert "planted: an earlier gate" in fact.reason


def test_history_is_no_news_when_a_sensor_is_turned_on_and_what_came_before_the_first_tick_is(
    home: TemporaryHome,
) -> None:
    fail_gates(home, KEYS[0])
    gates = Ticks(home, GATES, since=time.time())
    run_id = fail_gates(home, KEYS[1])
    gates.tick()
    assert [(fact.partition, fact.run_id) for fact in facts(home)] == [(KEYS[1], run_id)]


def test_a_tick_that_died_is_repeated_without_new_facts_and_none_is_lost(home: TemporaryHome) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    fail_gates(home, KEYS[0])
    ticks.tick(dies=True)
    fail_gates(home, KEYS[1])
    assert ticks.tick().startswith("2 facts, 1 of them new")
    assert [fact.partition for fact in facts(home)] == [KEYS[0], KEYS[1]]
    assert ticks.tick().startswith("0 facts")


def test_facts_that_get_the_numbers_of_a_deleted_run_are_not_lost(home: TemporaryHome) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    gone = fail_gates(home, KEYS[0])
    ticks.tick()
    home.instance.delete_run(gone)
    fail_gates(home, KEYS[1])
    assert ticks.tick().startswith("1 facts, 1 of them new")
    assert ticks.tick().startswith("0 facts")
    home.instance.delete_run(home.instance.get_runs(limit=1)[0].run_id)
    assert ticks.tick().startswith("0 facts"), "history before it was looked at"


@pytest.mark.parametrize("cursor", ["no JSON", "7", '{"ASSET_CHECK_EVALUATION": 7}'])
def test_a_damaged_cursor_counts_facts_again_and_loses_none(home: TemporaryHome, cursor: str) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    fail_gates(home, KEYS[0])
    ticks.tick()
    fail_gates(home, KEYS[1])
    ticks.cursor = cursor
    assert ticks.tick().startswith("2 facts, 1 of them new")


def test_a_storm_of_a_thousand_failed_checks_of_a_run_is_a_few_messages_that_count_them_all(
    new_home: Callable[[], TemporaryHome],
) -> None:
    home = new_home()
    ticks = Ticks(home, GATES, since=time.time())
    run = home.instance.add_run(dg.DagsterRun(job_name="rebalance"))
    with webhook() as hook, environment(SLEEVEGRAPH_ALERTS=hook.url()):
        for batch in range(4):
            for number in range(250 * batch, 250 * (batch + 1)):
                evaluation = dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(list(WEIGHTS)),
                    check_name=f"gate_{number % 25}",
                    passed=False,
                    metadata={},
                    description=f"ERROR PLANTED: {number}",
                    partition=f"p{number}",
                    blocking=True,
                )
                kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
                event = dg.DagsterEvent(kind, run.job_name, event_specific_data=evaluation)
                home.instance.report_dagster_event(event, run.run_id)
            ticks.tick()
    assert len(facts(home)) == 1000
    assert len(hook.messages) <= LIMITS[0][0]
    assert sum(body["count"] for body in hook.messages) + Deliveries(home.store.alerts).waiting() == 1000


def test_evaluations_are_read_in_pages_to_the_last(home: TemporaryHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors.alerts, "PAGE", 3)
    ticks = Ticks(home, GATES, since=BEGINNING)
    fail_gates(home, *KEYS)
    ticks.tick()
    assert [fact.partition for fact in facts(home)] == list(KEYS)
    newest = home.instance.event_log_storage.get_maximum_record_id()
    assert newest is not None
    assert 0 < json.loads(ticks.cursor or "{}")["ASSET_CHECK_EVALUATION"][0] <= newest


def test_a_run_that_fails_is_a_fact_with_its_cause(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    assert not home.run_one(KEYS[0]).success  # there are no bars
    ticks = Ticks(home, RUNS, since=time.time())
    assert ticks.tick().startswith("0 facts, 0 of them new")
    result = home.run_one(KEYS[1])
    assert ticks.tick().startswith("1 facts, 1 of them new")
    (fact,) = facts(home)
    assert (fact.kind, fact.name, fact.run_id) == (Kind.RUN_FAILED, "rebalance", result.run_id)
    assert fact.partition == KEYS[1]
    assert " ".join(cause(result).split())[:200] in fact.reason
    assert fact.link("http://page") == f"http://page/runs/{result.run_id}"


def test_a_cancelled_run_is_a_fact(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    ticks = Ticks(home, RUNS, since=time.time())
    run = home.instance.create_run_for_job(home.defs.resolve_job_def("rebalance"), tags={"dagster/partition": KEYS[2]})
    home.instance.report_run_canceled(run)
    ticks.tick()
    (fact,) = facts(home)
    assert (fact.kind, fact.name, fact.partition) == (Kind.RUN_FAILED, "rebalance", KEYS[2])
    assert "found it cancelled" in fact.reason


def test_facts_are_sent_in_the_same_tick_and_by_the_sender_when_it_could_not(home: TemporaryHome) -> None:
    ticks = Ticks(home, GATES, since=time.time())
    fail_gates(home, KEYS[0])
    with webhook() as hook, environment(SLEEVEGRAPH_ALERTS=hook.url()):
        assert "1 messages of 1 facts; 0 facts wait" in ticks.tick()
        home.store.alerts.record([Fact(Kind.BARS_LATE, "bars_sensor", "planted", datetime.now(UTC))])
        assert "1 messages of 1 facts; 0 facts wait" in Ticks(home, SENDER).tick()
        assert "nothing is due; 0 facts wait" in Ticks(home, SENDER).tick()
    assert [body["count"] for body in hook.messages] == [1, 1]


def test_a_young_event_is_left_for_the_next_tick_with_all_that_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors.alerts, "SETTLED_SECONDS", 5.0)
    events = [(number, SimpleNamespace(timestamp=at)) for number, at in ((1, 90.0), (2, 97.0), (3, 80.0))]
    assert [number for number, _ in sensors.alerts._settled(events, 100.0)] == [1]
    assert [number for number, _ in sensors.alerts._settled(events, 103.0)] == [1, 2, 3]
    assert [number for number, _ in sensors.alerts._settled(events, 50.0)] == [1, 2, 3]  # the clock was set back


def test_every_alert_sensor_is_off_until_somebody_turns_it_on() -> None:
    for name in (RUNS, GATES, SENDER):
        assert small_definitions().resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.STOPPED
