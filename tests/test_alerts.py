from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.alert_messages import LIMITS, Sent, due, worded
from sleevegraph.alerts import Fact, Kept, Kind, fit_to_keep

START = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = "http://127.0.0.1:3000"
MINUTE = timedelta(minutes=1)


def failed(gate: str, number: int = 1, **values: Any) -> Kept:
    fact = Fact(
        kind=Kind.CHECK_FAILED,
        name=gate,
        reason=f"ERROR PLANTED: expected 0, found {number}",
        at=START,
        asset="meta_benchmark/flattened_weights",
        partition="2022-03-01",
        run_id=f"run-{number}",
        figures={"gap": 0.125},
    )
    return Kept(number, replace(fact, **values))


def told_over(arrivals: list[tuple[int, str]], minutes: int) -> list[tuple[int, list[Kept]]]:
    """Messages of one channel by the minute in which they went, when facts of a gate arrive at the minutes given."""
    waiting: list[Kept] = []
    sent: list[Sent] = []
    messages: list[tuple[int, list[Kept]]] = []
    facts = [(minute, failed(gate, number)) for number, (minute, gate) in enumerate(arrivals, start=1)]
    for minute in range(minutes):
        now = START + minute * MINUTE
        waiting += [kept for at, kept in facts if at == minute]
        for batch in due(waiting, sent, now):
            messages.append((minute, batch))
            sent.append(Sent(now, frozenset(kept.fact.group for kept in batch)))
            told = {kept.number for kept in batch}
            waiting = [kept for kept in waiting if kept.number not in told]
    return messages


def test_the_first_fact_of_a_gate_is_told_at_once_and_those_that_follow_are_summed_up_after_growing_pauses() -> None:
    messages = told_over([(minute, "parity") for minute in range(60)], 60)
    assert [minute for minute, _ in messages] == [0, 1, 6, 21, 36, 51]


def test_a_gate_that_was_quiet_for_an_hour_is_told_at_once_again() -> None:
    assert [minute for minute, _ in told_over([(0, "parity"), (61, "parity"), (62, "parity")], 70)] == [0, 61, 62]


def test_a_gate_that_speaks_keeps_no_other_gate_waiting() -> None:
    assert [m for m, _ in told_over([(0, "parity"), (0, "conservation"), (1, "weight_sanity")], 3)] == [0, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 90), st.sampled_from([f"gate_{n}" for n in range(25)])), max_size=300))
def test_a_channel_never_gets_more_messages_than_its_limits_and_hears_of_every_fact_once(
    arrivals: list[tuple[int, str]],
) -> None:
    messages = told_over(arrivals, 240)
    times = [minute * MINUTE for minute, _ in messages]
    for most, span in LIMITS:
        assert all(sum(at <= other < at + span for other in times) <= most for at in times)
    assert sorted(kept.number for _, batch in messages for kept in batch) == list(range(1, len(arrivals) + 1))


def test_when_more_gates_speak_than_may_the_last_message_speaks_for_all_that_are_left() -> None:
    (*alone, together) = due([failed(f"gate_{n:02}", n) for n in range(40)], [], START)
    assert [len(batch) for batch in alone] == [1] * 5
    assert len(together) == 35


def test_the_most_urgent_speaks_first_and_alone() -> None:
    gave_up = failed("rebalance_sensor", 99, kind=Kind.REBALANCE_GAVE_UP)
    batches = due([*(failed(f"gate_{n:02}", n) for n in range(40)), gave_up], [], START)
    assert batches[0] == [gave_up]


def test_messages_of_the_future_of_a_clock_that_was_set_back_silence_nobody() -> None:
    future = [Sent(START + timedelta(days=300), frozenset({(Kind.CHECK_FAILED, "parity")}))] * 50
    assert due([failed("parity")], future, START) == [[failed("parity")]]


def test_gates_that_only_hand_on_a_refusal_are_one_message() -> None:
    blocked = [failed(f"gate_{n}", n, kind=Kind.CHECK_BLOCKED) for n in range(9)]
    assert due(blocked, [], START) == [blocked]


def test_a_message_names_gate_partition_figures_and_link_and_counts_what_it_does_not_name() -> None:
    text = worded([failed("parity", n) for n in range(37)], number="a1b2", base=PAGE, note="SIMULATED")
    assert text.title == "Sleevegraph: gate failed, parity: 37 facts"
    first, *_, more, end, note = text.body.splitlines()
    assert first == (
        "- 2022-03-01 meta_benchmark/flattened_weights parity: ERROR PLANTED: expected 0, found 0 [gap 0.125] "
        f"{PAGE}/assets/meta_benchmark/flattened_weights?view=checks&checkDetail=parity"
    )
    assert more == "and 32 more: sleevegraph alerts list"
    assert end == "message a1b2, 37 facts"
    assert note == "SIMULATED"
    assert len(text.body.splitlines()) == 5 + 3


def test_a_message_of_several_gates_counts_each_of_them() -> None:
    message = [failed("parity", 1), failed("parity", 2), failed("conservation", 3)]
    text = worded(message, number="a1b2", base=PAGE)
    assert text.title == "Sleevegraph: 2 gates and jobs: 3 facts"
    assert text.body.splitlines()[0].startswith("- gate failed, parity: 2; 2022-03-01 meta_benchmark")
    assert text.body.splitlines()[-2] == "and 1 more: sleevegraph alerts list"


@pytest.mark.parametrize(
    ("values", "link"),
    [
        ({"kind": Kind.RUN_FAILED, "asset": "", "run_id": "abc"}, "/runs/abc"),
        ({"kind": Kind.BARS_LATE, "asset": "", "run_id": ""}, ""),
        ({"kind": Kind.BARS_LATE, "asset": "daily_bars", "run_id": ""}, "/assets/daily_bars"),
    ],
)
def test_a_link_leads_to_the_run_or_the_asset(values: dict[str, Any], link: str) -> None:
    assert failed("parity", **values).fact.link(f"{PAGE}/") == PAGE + link


def test_a_link_never_carries_the_password_of_the_page() -> None:
    assert failed("parity").fact.link("https://user:planted@host/x?planted=1").startswith("https://host/x/assets/")


def test_a_kept_fact_has_one_line_finite_figures_utc_and_no_secret() -> None:
    fact = Fact(
        kind=Kind.RUN_FAILED,
        name="rebalance",
        reason="could not\n  reach postgresql://u:planted-1@db/x with planted-2",
        at=datetime.fromisoformat("2026-03-01T02:00:00+02:00"),
        figures={"nan": float("nan"), "deep": [{"planted-2": "a planted-2 b"}], "when": START, "count": 3},
    )
    kept = fit_to_keep(fact, ["planted-2"])
    assert kept.reason == "could not reach postgresql://***@db/x with ***"
    assert kept.at == START
    assert kept.at.utcoffset() == timedelta(0)
    assert kept.figures == {"nan": "nan", "deep": [{"***": "a *** b"}], "when": str(START), "count": 3}


def test_the_same_kind_name_asset_partition_and_run_is_the_same_fact() -> None:
    fact = failed("parity").fact
    assert replace(fact, reason="said otherwise", figures={}).identity == fact.identity
    others = [replace(fact, **{name: "other"}) for name in ("name", "asset", "partition", "run_id")]
    assert len({fact.identity, *(other.identity for other in others)}) == 5
