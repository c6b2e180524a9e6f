import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.deliveries import Deliveries
from resources.outbox import Outbox
from sleevegraph.alerts import Fact, Kind
from tests.homes import environment

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACT = Fact(Kind.BARS_LATE, "bars_sensor", "expected 2022-03-01, found nothing", NOW, partition="2022-03-01")

_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from resources.outbox import Outbox
from sleevegraph.alerts import Fact, Kind
outbox, writer = Outbox(Path(sys.argv[1])), sys.argv[2]
at_once = int(sys.argv[4])
for number in range(0, int(sys.argv[3]), at_once):
    ids = [f"{writer}-{one}" for one in range(number, number + at_once)]
    outbox.record([Fact(Kind.CHECK_FAILED, "parity", "planted", datetime.now(UTC), run_id=one) for one in ids])
    print(number, flush=True)
"""


def writer(folder: Path, name: str, facts: int, at_once: int) -> subprocess.Popen[str]:
    """A process that records facts, so many at once, and prints the number of each once it is recorded."""
    command = [sys.executable, "-c", _WRITER, str(folder), name, str(facts), str(at_once)]
    root = str(Path(__file__).resolve().parent.parent)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "alerts")


def test_a_thousand_facts_of_several_processes_are_all_kept(outbox: Outbox) -> None:
    writers = [writer(outbox.folder, name, 250, 5) for name in "abcd"]
    assert [process.wait() for process in writers] == [0] * 4
    found = {standing.kept.fact.run_id for standing in Deliveries(outbox).standings(waiting=True)}
    assert found == {f"{name}-{number}" for name in "abcd" for number in range(250)}


def test_a_fact_is_on_the_disk_before_record_returns(outbox: Outbox) -> None:
    process = writer(outbox.folder, "a", 1000, 1)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    found = [standing.kept.fact.run_id for standing in Deliveries(outbox).standings(waiting=True)]
    assert found[: len(said)] == [f"a-{number}" for number in range(len(said))]
    assert len(found) - len(said) in {0, 1}  # the last one may not have been told of
    assert outbox.record([FACT]) == 1


def test_a_fact_that_is_reported_again_is_counted_and_is_not_new(outbox: Outbox) -> None:
    assert outbox.record([FACT, FACT]) == 1
    assert outbox.record([replace(FACT, reason="said otherwise"), replace(FACT, partition="2022-03-11")]) == 1
    first, second = Deliveries(outbox).standings(waiting=False)
    assert (first.kept.count, second.kept.count) == (3, 1)
    assert first.kept.fact == FACT


def test_recording_nothing_makes_no_file(outbox: Outbox) -> None:
    assert outbox.record([]) == 0
    assert not outbox.folder.exists()


def test_an_outbox_that_cannot_be_written_says_where_and_what_to_do(outbox: Outbox) -> None:
    outbox.folder.mkdir()
    outbox.file.write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(OSError, match=r"expected an outbox that can be read and written at .*, found: .*make room"):
        outbox.record([FACT])


def test_no_secret_of_the_environment_is_kept(outbox: Outbox) -> None:
    urls = "slack://T0PLANTED/B0PLANTED/planted-token https://host/hook/planted-path?key=planted-key"
    with environment(
        SLEEVEGRAPH_ALERTS=urls,
        SLEEVEGRAPH_POSTGRES_URL="postgresql://user:planted%2Fpassword@db/x",
        AWS_SECRET_ACCESS_KEY="planted-secret",  # noqa: S106 - it is planted
    ):
        said = (
            "planted/password planted%2Fpassword planted-token T0PLANTED planted-path planted-key planted-secret "
            "https://u:planted1@host/x?day=1&X-Amz-Signature=planted2&apiKey=planted3 'https://host/?token=planted4'"
        )
        outbox.record([replace(FACT, reason=said, figures={"said": said})])
    with closing(sqlite3.connect(outbox.file)) as connection:
        dump = "\n".join(connection.iterdump())
    assert "bars_sensor" in dump
    assert "planted" not in dump.lower()


def test_a_new_channel_hears_of_what_nobody_has_heard_of_and_of_all_that_follows(outbox: Outbox) -> None:
    outbox.record([replace(FACT, run_id=str(number)) for number in range(3)])
    deliveries = Deliveries(outbox)
    deliveries.use(["first"])
    (message,) = deliveries.messages("first", NOW, limited=True)
    deliveries.sent("first", message, NOW)
    outbox.record([replace(FACT, run_id="3")])
    deliveries.use(["first", "second"])
    (message,) = deliveries.messages("second", NOW, limited=True)
    assert [kept.fact.run_id for kept in message.facts] == ["3"]


def test_a_message_that_was_not_taken_is_the_same_message_the_next_time(outbox: Outbox) -> None:
    outbox.record([FACT])
    deliveries = Deliveries(outbox)
    deliveries.use(["first"])
    (message,) = deliveries.messages("first", NOW, limited=True)
    outbox.record([replace(FACT, run_id="later")])
    assert deliveries.messages("first", NOW, limited=True) == [message]
    assert deliveries.waiting() == 2


def test_nobody_else_sends_while_one_does(outbox: Outbox) -> None:
    with Deliveries(outbox).alone() as first, Deliveries(outbox).alone() as second:
        assert (first, second) == (True, False)
    with Deliveries(outbox).alone() as third:
        assert third


def test_figures_read_back_as_they_were(outbox: Outbox) -> None:
    figures = {"gap": 0.1, "members": 74, "names": ["a", "b"], "flag": True, "none": None}
    outbox.record([replace(FACT, figures=figures)])
    (standing,) = Deliveries(outbox).standings(waiting=False)
    assert json.dumps(standing.kept.fact.figures, sort_keys=True) == json.dumps(figures, sort_keys=True)
