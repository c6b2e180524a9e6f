import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apprise.plugins.slack import NotifySlack

from resources import channel_probes, notifier
from resources.channel_probes import alerts_trouble
from resources.channels import channels
from resources.deliveries import Deliveries
from resources.notifier import said, send_waiting
from resources.outbox import Outbox
from sleevegraph.alert_messages import LIMITS
from sleevegraph.alerts import Fact, Kind
from tests.alert_receivers import Webhook, closed_port, mail_server, webhook
from tests.command_homes import refused, sleevegraph
from tests.homes import environment

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FACT = Fact(
    kind=Kind.CHECK_FAILED,
    name="parity",
    reason="ERROR PLANTED: expected 0, found 1",
    at=NOW,
    asset="meta_benchmark/flattened_weights",
    partition="2022-03-01",
    run_id="run-1",
    figures={"gap": 0.125},
)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "data" / "alerts")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as server:
        yield server


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits ten seconds for a test."""
    monkeypatch.setattr(notifier, "SECONDS", 2.5)
    monkeypatch.setattr(channel_probes, "SECONDS", 2.0)


def reasons(outbox: Outbox, now: datetime = NOW) -> list[str]:
    return [outcome.reason for outcome in send_waiting(outbox, now)]


def test_a_webhook_gets_gate_figures_and_link_with_an_id_and_the_count(outbox: Outbox, hook: Webhook) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=hook.url("/hook"), SLEEVEGRAPH_UI="http://page:1"):
        (outcome,) = send_waiting(outbox, NOW, "SIMULATED: not real prices")
    ((path, body),) = hook.posts
    assert path == "/hook"
    assert body["title"] == "Sleevegraph: gate failed, parity: 1 fact"
    link = "http://page:1/assets/meta_benchmark/flattened_weights?view=checks&checkDetail=parity"
    assert body["message"].splitlines() == [
        f"- 2022-03-01 meta_benchmark/flattened_weights parity: ERROR PLANTED: expected 0, found 1 [gap 0.125] {link}",
        f"message {body['id']}, 1 fact",
        "SIMULATED: not real prices",
    ]
    assert (body["count"], body["gates"]) == (1, [["check_failed", "parity"]])
    assert (outcome.sent, outcome.facts, outcome.reason) == (1, 1, "")
    (standing,) = Deliveries(outbox).standings(waiting=False)
    assert standing.told == (f"sent to {outcome.channel} in message {body['id']} at 2026-03-01 00:00:00 UTC",)


def test_a_plain_http_url_is_a_webhook_with_its_path_and_query(outbox: Outbox, hook: Webhook) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=hook.url("/a%20b/hook?key=x%26y&empty=", "http")):
        assert reasons(outbox) == [""]
    assert [path for path, _ in hook.posts] == ["/a%20b/hook?key=x%26y&empty="]


def test_what_was_sent_is_not_sent_again(outbox: Outbox, hook: Webhook) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=hook.url()):
        for minutes in range(0, 120, 10):
            outbox.record([FACT])
            send_waiting(outbox, NOW + minutes * MINUTE)
    assert len(hook.posts) == 1


def test_slack_gets_it_by_its_own_url_and_by_the_one_that_slack_gives(
    outbox: Outbox, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifySlack, "webhook_url", hook.url("/services", "http"))
    outbox.record([FACT])
    tokens = ("T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L3/A1BRTD4JE/TIiajkdnlazkcOXrIdevi7FR")
    with environment(SLEEVEGRAPH_ALERTS=f"slack://{tokens[0]} https://hooks.slack.com/services/{tokens[1]}"):
        assert reasons(outbox) == ["", ""]
    assert sorted(path for path, _ in hook.posts) == [f"/services/{token}" for token in tokens]
    assert all("found 1 [gap 0.125]" in json.dumps(body) for body in hook.messages)


def test_a_mail_server_gets_a_mail(outbox: Outbox) -> None:
    outbox.record([FACT])
    with mail_server() as server:
        url = f"mailto://127.0.0.1:{server.port}?from=graph@example.org&to=desk@example.org&mode=insecure"
        with environment(SLEEVEGRAPH_ALERTS=url):
            assert reasons(outbox) == [""]
    (mail,) = server.mails
    assert "To: desk@example.org" in mail
    assert "parity" in mail


def test_a_file_gets_a_line_for_each_fact_beside_what_is_in_it(outbox: Outbox, tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    file.write_text('{"half": ')
    outbox.record([replace(FACT, run_id=f"run-{number}") for number in range(300)])
    with environment(SLEEVEGRAPH_ALERTS=f"file://{file}"):
        assert reasons(outbox) == [""]
        outbox.record([replace(FACT, run_id="last")])
        assert reasons(outbox) == [""]
    half, *lines = file.read_text().splitlines()
    assert half == '{"half": '
    assert [json.loads(line)["run_id"] for line in lines] == [*(f"run-{number}" for number in range(300)), "last"]
    assert json.loads(lines[0])["figures"] == {"gap": 0.125}


def test_a_file_that_cannot_be_written_keeps_the_facts_waiting(outbox: Outbox, tmp_path: Path) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=f"file://{tmp_path}/nowhere/alerts.jsonl"):
        (outcome,) = send_waiting(outbox, NOW)
        assert outcome.reason == "it cannot be written: No such file or directory"
        (tmp_path / "nowhere").mkdir()
        assert reasons(outbox, NOW + MINUTE) == [""]
    assert Deliveries(outbox).waiting() == 0


@pytest.mark.usefixtures("short_patience")
def test_a_webhook_that_hangs_keeps_no_other_waiting_and_hears_of_it_later(
    outbox: Outbox, hook: Webhook, tmp_path: Path
) -> None:
    outbox.record([FACT])
    with (
        webhook() as hanging,
        environment(SLEEVEGRAPH_ALERTS=f"{hanging.url('/x')} {hook.url('/y')} file://{tmp_path}/alerts.jsonl"),
    ):
        hanging.status = 0
        began = time.monotonic()
        first, second, third = send_waiting(outbox, NOW)
        assert time.monotonic() - began < notifier.SECONDS + 8  # it drips for ever
        assert first.reason == "no answer within 2.5 s"
        assert (second.reason, third.reason) == ("", "")
        assert len(hook.posts) == 1
        waiting = Deliveries(outbox).waiting()
        assert waiting == 1
        assert said([first, second, third], waiting).startswith(f"{first.channel}: no answer within 2.5 s; json://")
        again, *_ = send_waiting(outbox, NOW + timedelta(seconds=30))
        assert again.reason == "no answer within 2.5 s; the next attempt is at 00:01:00 UTC"
        hanging.status = 200
        assert reasons(outbox, NOW + MINUTE) == ["", "", ""]
        assert [body["count"] for body in hanging.messages] == [1]
        assert len(hook.posts) == 1
        assert Deliveries(outbox).waiting() == 0


def test_a_host_that_refuses_and_one_that_answers_an_error_are_tried_again_at_growing_pauses(
    outbox: Outbox, hook: Webhook
) -> None:
    hook.status = 503
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=f"json://127.0.0.1:{closed_port()} {hook.url()}"):
        assert reasons(outbox) == ["the connection was refused", "it answered 503"]
        tried = [
            minute
            for minute in (1, 2, 3, 6, 7, 14, 15, 30, 31, 62, 63, 122, 123, 182, 183)
            if not any("next attempt" in reason for reason in reasons(outbox, NOW + minute * MINUTE))
        ]
    assert tried == [1, 3, 7, 15, 31, 63, 123, 183]


def test_a_clock_that_is_set_back_does_not_silence_a_channel(outbox: Outbox, hook: Webhook) -> None:
    hook.status = 503
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=hook.url()):
        assert reasons(outbox) == ["it answered 503"]
        hook.status = 200
        assert reasons(outbox, NOW - timedelta(days=300)) == [""]


def test_a_message_whose_sending_was_not_noted_comes_again_with_the_same_id(
    outbox: Outbox, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=hook.url()):
        with monkeypatch.context() as dies:
            dies.setattr(Deliveries, "sent", lambda *_: (_ for _ in ()).throw(OSError("the process died here")))
            assert reasons(outbox) == ["the process died here"]
        assert reasons(outbox, NOW + MINUTE) == [""]
    first, again = hook.messages
    assert first["id"] == again["id"]


def test_a_storm_of_a_thousand_facts_is_a_few_messages_that_count_them_all(
    outbox: Outbox, hook: Webhook, tmp_path: Path
) -> None:
    def burst(part: int) -> None:
        gates = [f"gate_{number}" for number in range(25)]
        outbox.record([replace(FACT, name=gates[n % 25], run_id=f"{part}-{n}") for n in range(50)])

    file = tmp_path / "alerts.jsonl"
    with environment(SLEEVEGRAPH_ALERTS=f"{hook.url()} file://{file}"), ThreadPoolExecutor(4) as writers:
        for second in range(0, 60, 15):
            list(writers.map(burst, range(second * 5, second * 5 + 5)))
            send_waiting(outbox, NOW + timedelta(seconds=second))
        in_the_minute = len(hook.posts)
        for minute in range(1, 60):
            send_waiting(outbox, NOW + minute * MINUTE)
    assert in_the_minute <= LIMITS[0][0]
    assert len(hook.posts) <= 16
    assert sum(body["count"] for body in hook.messages) == 1000
    named = {(fact["name"], fact["run_id"]) for fact in map(json.loads, file.read_text().splitlines())}
    assert len(named) == 1000
    assert Deliveries(outbox).waiting() == 0


def test_without_a_url_facts_wait_and_the_tick_says_so(outbox: Outbox) -> None:
    outbox.record([FACT])
    assert send_waiting(outbox, NOW) == []
    assert said([], Deliveries(outbox).waiting()) == (
        "1 facts wait; SLEEVEGRAPH_ALERTS is not set, so nobody hears of them"
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("planted", "it is no URL: no scheme and ://"),
        ("planted://planted", "not a planted URL that can be sent to; expected https:// or json:// of a webhook"),
        ("slack://planted", "not a slack URL that can be sent to"),
        ("http://[planted", "it cannot be read as a URL"),
        ("http://127.0.0.1:planted/x", "it cannot be read as a URL"),
        ("file://planted/file", "expected file:///absolute/path/of/a/file and nothing more"),
        ("https:///planted", "not a https URL that can be sent to"),
    ],
)
def test_a_url_that_is_none_is_named_by_its_place_and_the_others_work(
    outbox: Outbox, hook: Webhook, url: str, problem: str
) -> None:
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=f"{hook.url()} {url}"):
        good, bad = send_waiting(outbox, NOW)
        assert (good.sent, bad.channel) == (1, "URL 2")
        assert bad.reason.startswith(problem)
        (trouble,) = alerts_trouble()
    assert str(trouble).startswith(f"SLEEVEGRAPH_ALERTS: tried to read URL 2, found {problem}")
    assert str(trouble).endswith("; everything else works: facts are kept in the outbox, and sent once it does")


@pytest.mark.usefixtures("short_patience")
def test_start_up_finds_hosts_that_refuse_or_hang_and_files_without_a_folder(hook: Webhook, tmp_path: Path) -> None:
    with webhook() as hanging, mail_server() as mails:
        hanging.status = 0
        urls = [
            hook.url("/secret-path"),
            hanging.url("/secret-path"),
            f"http://127.0.0.1:{closed_port()}/secret-path",
            f"mailto://u:secret@127.0.0.1:{mails.port}?from=b@example.org&to=a@example.org",
            f"mailto://u:secret@127.0.0.1:{closed_port()}?from=b@example.org&to=a@example.org",
            f"file://{tmp_path}/alerts.jsonl",
            f"file://{tmp_path}/nowhere/alerts.jsonl",
            f"http://{'x' * 64}.example.org/secret-path",
        ]
        with environment(SLEEVEGRAPH_ALERTS=" ".join(urls)):
            troubles = alerts_trouble()
            names = [channel.name for channel in channels()]
    assert [trouble.tried for trouble in troubles] == [f"to reach {names[place]}" for place in (1, 2, 4, 6, 7)]
    hangs, *refuse, folder, no_name = [trouble.found for trouble in troubles]
    assert hangs == "no answer within 2 s; correct it"
    assert all("Connection refused" in found for found in refuse)
    assert folder.startswith("no folder at ")
    assert "label" in no_name
    assert "secret" not in str(troubles)
    assert hook.posts == []


def test_without_alerts_start_up_finds_nothing() -> None:
    assert alerts_trouble() == []


def test_no_token_or_password_is_said_anywhere(
    outbox: Outbox, hook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (None, "apprise", "urllib3", "httpx"):
        caplog.set_level(logging.NOTSET + 1, name)
    hook.status = 500
    urls = [
        "slack://T0PLANTED/B0PLANTED12/planted0token0planted0tok",
        f"http://planted-user:planted-password@127.0.0.1:{hook.server_port}/planted-path?key=planted-key",
        f"json://u:planted-password@127.0.0.1:{closed_port()}/planted-path",
        f"mailto://u:planted-password@127.0.0.1:{closed_port()}?from=b@example.org&to=a@example.org",
        "planted://planted-token",
    ]
    outbox.record([FACT])
    with environment(SLEEVEGRAPH_ALERTS=" ".join(urls)):
        outcomes = send_waiting(outbox, NOW)
        everything = [said(outcomes, 1), str(channels()[1:4][0].name), str(alerts_trouble()[1:]), caplog.text]
        everything.append(sleevegraph("alerts", "test", "--home", tmp_path).output)
    stored = b"".join(file.read_bytes() for file in outbox.folder.iterdir())
    assert len([outcome for outcome in outcomes if outcome.reason]) == 5
    assert [text for text in everything if "planted-" in text.replace("planted://", "")] == []
    assert "PLANTED" not in "".join(everything)
    assert b"lanted-" not in stored
    assert b"T0PLANTED" not in stored


def test_the_command_says_of_each_url_whether_a_test_arrives(hook: Webhook, tmp_path: Path) -> None:
    refusing = f"json://127.0.0.1:{closed_port()}"
    with environment(SLEEVEGRAPH_ALERTS=f"{hook.url()} {refusing}"):
        first, second = (channel.name for channel in channels())
        result = sleevegraph("alerts", "test", "--home", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [
        f"{first}: arrived",
        f"{second}: did not arrive: the connection was refused",
    ]
    (body,) = hook.messages
    assert body["title"] == "Sleevegraph: test of alerts, nothing happened, alerts test: 1 fact"
    assert body["type"] == "info"


def test_the_command_passes_when_every_url_works(hook: Webhook, tmp_path: Path) -> None:
    with environment(SLEEVEGRAPH_ALERTS=hook.url()):
        assert sleevegraph("alerts", "test", "--home", tmp_path).exit_code == 0
    assert not (tmp_path / "data").exists()


def test_the_command_says_what_to_set(tmp_path: Path) -> None:
    assert "SLEEVEGRAPH_ALERTS: expected URLs" in refused("alerts", "test", "--home", tmp_path)


def test_the_list_shows_facts_who_heard_of_them_and_who_did_not(hook: Webhook, tmp_path: Path, outbox: Outbox) -> None:
    outbox.record([replace(FACT, run_id=str(number)) for number in range(60)])
    with environment(SLEEVEGRAPH_ALERTS=hook.url()):
        send_waiting(outbox, NOW)
        outbox.record([FACT, FACT])
        (name,) = (channel.name for channel in channels())
    result = sleevegraph("alerts", "list", "--home", tmp_path)
    assert result.exit_code == 0
    assert "61 facts, the last 50 shown; --format json has all; 1 wait" in result.stdout
    (waiting,) = json.loads(sleevegraph("alerts", "list", "--waiting", "--format", "json", "--home", tmp_path).stdout)
    assert (waiting["run_id"], waiting["count"], waiting["state"], waiting["channels"]) == ("run-1", 2, "waiting", [])
    sent = json.loads(sleevegraph("alerts", "list", "--format", "json", "--home", tmp_path).stdout)[0]
    assert sent["state"] == "sent"
    assert sent["channels"][0].startswith(f"sent to {name} in message ")


def test_the_list_of_a_home_without_facts_is_empty(tmp_path: Path) -> None:
    assert sleevegraph("alerts", "list", "--home", tmp_path).stdout == "0 facts; 0 wait\n"
