"""GET requests against a host that fails, refuses, stalls and floods."""

import asyncio
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from resources.binance.environment import settings_from
from resources.binance.settings import BinanceSettings
from resources.binance.transport import Answer, Transport, UnreachableError
from sleevegraph.errors import ArchiveError, ConfigurationError, TransferError
from tests.replica.handle import QUICK, Replica
from tests.replica.markets import build_small
from tests.scripted_host import Reply, ScriptedHost, answer, in_turn, scripted_host

FOLDER = "data/spot/monthly/klines/BTCUSDT/1d"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("replica")
    build_small(folder)
    with Replica(folder) as running:
        yield running


def fetched(
    reply: Reply, settings: BinanceSettings = QUICK, requests: int = 1, limit_bytes: int = 1000
) -> tuple[list[Answer | BaseException], ScriptedHost]:
    """What came of requests to a scripted host that all tasks send at once."""

    async def fetch() -> tuple[list[Answer | BaseException], ScriptedHost]:
        async with scripted_host(reply) as host, Transport(settings) as transport:
            gets = [transport.get(f"{host.url}/{number}", limit_bytes=limit_bytes) for number in range(requests)]
            return await asyncio.gather(*gets, return_exceptions=True), host

    return asyncio.run(fetch())


def only(found: tuple[list[Answer | BaseException], ScriptedHost]) -> Answer:
    (single,) = found[0]
    if isinstance(single, BaseException):
        raise single
    return single


@pytest.mark.parametrize("fault", ["timeout", "reset", "truncated", "500", "503", "429"])
def test_every_fault_of_a_network_is_survived(replica: Replica, fault: str) -> None:
    paths = sorted((replica.folder / "archive" / FOLDER).iterdir())

    async def fetch() -> list[Answer]:
        async with Transport(replica.settings(timeout_seconds=0.3, attempts=20)) as transport:
            url = f"{replica.url('archive')}/{FOLDER}"
            return await asyncio.gather(*(transport.get(f"{url}/{path.name}", limit_bytes=100_000) for path in paths))

    replica.reset_log()
    replica.faults(0.3, [fault], seed=1)
    answers = asyncio.run(fetch())
    replica.faults(0)
    assert replica.log()["faults"][fault] > 0
    assert [found.body for found in answers] == [path.read_bytes() for path in paths]
    assert {found.status for found in answers} == {200}


@pytest.mark.parametrize("status", [429, 418])
def test_while_one_request_is_told_to_wait_nobody_asks_that_host(status: int) -> None:
    async def reply(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 20:
            writer.write(answer(status, Retry_After="1"))
            return
        await asyncio.sleep(0.01)
        writer.write(answer())

    answers, host = fetched(reply, replace(QUICK, concurrency=6), requests=100)
    assert {found.status for found in answers if isinstance(found, Answer)} == {200}
    assert len(host.arrivals) == 101
    # What came before the second was over was under way by then: one request at most of each other task.
    refused = host.arrivals[20]
    between = [at for at in host.arrivals[21:] if at < refused + 1]
    assert len(between) < 6


def test_a_host_that_waits_does_not_hold_up_another_one() -> None:
    async def fetch() -> tuple[float, float]:
        refused = asyncio.Event()

        async def reply(number: int, writer: asyncio.StreamWriter) -> None:
            writer.write(answer() if number else answer(429, Retry_After="1"))
            refused.set()

        async with scripted_host(reply) as slow, scripted_host(in_turn(answer())) as quick:
            async with Transport(replace(QUICK, concurrency=2)) as transport:
                waiting = [asyncio.create_task(transport.get(slow.url, limit_bytes=10)) for _ in range(8)]
                await refused.wait()
                for _ in range(20):
                    await transport.get(quick.url, limit_bytes=10)
                await asyncio.gather(*waiting)
            return quick.arrivals[-1], slow.arrivals[-1]

    last_of_quick, last_of_slow = asyncio.run(fetch())
    assert last_of_quick < last_of_slow


def test_a_retry_after_date_is_waited_for() -> None:
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    found = fetched(in_turn(answer(429, Retry_After=format_datetime(date, usegmt=True)), answer(body=b"late")))
    assert only(found).body == b"late"
    assert datetime.now(UTC) >= date


def test_a_pause_beyond_the_patience_is_an_error_that_says_until_when_and_nobody_asks_again() -> None:
    answers, host = fetched(in_turn(answer(418, Retry_After="86400")), replace(QUICK, concurrency=1), requests=5)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert len(host.arrivals) == 1
    for error in answers:
        assert isinstance(error, TransferError)
        assert "\n" not in str(error)
        until = re.search(r"until (\S+ \S+) UTC", str(error))
        assert until
        assert abs(datetime.fromisoformat(f"{until[1]}+00:00") - tomorrow) < timedelta(minutes=1)


def test_a_body_that_is_announced_as_too_long_is_not_read() -> None:
    async def reply(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 -\r\nContent-Length: 3000000000\r\n\r\n")

    with pytest.raises(ArchiveError, match=r"at most 1,000 bytes from http\S+, found a body of 3,000,000,000 bytes"):
        only(fetched(reply))


def test_a_body_that_turns_out_too_long_is_left_where_that_shows() -> None:
    written = 0

    async def reply(_: int, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 -\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            written += 0x10000

    with pytest.raises(ArchiveError, match=r"at most 1,000 bytes from http\S+, found more"):
        only(fetched(reply))
    assert written < 64 * 2**20  # what sockets hold; the answer has no end


@pytest.mark.parametrize("status", [400, 403, 404, 451])
def test_what_trying_again_does_not_change_is_given_back_at_once(status: int) -> None:
    found = fetched(in_turn(answer(status, b"because", X_More="more")))
    assert (only(found).status, only(found).body, only(found).headers["x-more"]) == (status, b"because", "more")
    assert len(found[1].arrivals) == 1


def test_a_host_that_fails_every_time_is_named_with_the_attempts_and_the_last_cause() -> None:
    answers, host = fetched(in_turn(answer(500), answer(500), answer(502)), replace(QUICK, attempts=3))
    (error,) = answers
    assert isinstance(error, TransferError)
    assert not isinstance(error, UnreachableError)
    assert str(error) == (
        f"expected an answer from {host.url}/0, found none in 3 attempts, the last of them: HTTP 502; try again later"
    )
    assert len(host.arrivals) == 3


def test_a_host_to_which_nothing_connects_is_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens

        async def fetch() -> None:
            async with Transport(replace(QUICK, attempts=2)) as transport:
                await transport.get(f"http://127.0.0.1:{bound.getsockname()[1]}/", limit_bytes=10)

        with pytest.raises(UnreachableError, match=r"2 attempts, the last of them: ConnectError"):
            asyncio.run(fetch())


def test_an_answer_that_trickles_for_ever_is_given_up() -> None:
    async def reply(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 -\r\nContent-Length: 900\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(TransferError, match=r"1 attempts, the last of them: TimeoutError"):
        only(fetched(reply, replace(QUICK, attempts=1, timeout_seconds=0.1)))


def test_no_more_requests_are_under_way_than_the_concurrency() -> None:
    async def reply(_: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(answer())

    answers, host = fetched(reply, replace(QUICK, concurrency=5), requests=100)
    assert all(isinstance(found, Answer) for found in answers)
    assert host.most_under_way == 5


def test_settings_come_from_the_environment_and_are_the_defaults_without_one() -> None:
    assert settings_from({"HOME": "/"}) == BinanceSettings()
    settings = settings_from(
        {
            "SLEEVEGRAPH_BINANCE_ARCHIVE": "http://127.0.0.1:1/",
            "SLEEVEGRAPH_BINANCE_LISTING": "https://mirror.example/bucket",
            "SLEEVEGRAPH_BINANCE_API": "https://api.binance.us, https://data-api.binance.vision/",
            "SLEEVEGRAPH_BINANCE_CONCURRENCY": "6",
            "SLEEVEGRAPH_BINANCE_TIMEOUT": "2.5",
        }
    )
    assert settings == BinanceSettings(
        archive_url="http://127.0.0.1:1",
        listing_url="https://mirror.example/bucket",
        api_urls=("https://api.binance.us", "https://data-api.binance.vision"),
        concurrency=6,
        timeout_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARCHIVE", "data.binance.vision"),
        ("ARCHIVE", "ftp://data.binance.vision"),
        ("LISTING", "https://"),
        ("LISTING", "https://host:port"),
        ("LISTING", "https://host?prefix=x"),
        ("API", ""),
        ("API", "https://api.binance.com,"),
        ("API", "https://a b"),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "257"),
        ("CONCURRENCY", "many"),
        ("CONCURRENCY", "9" * 5000),
        ("TIMEOUT", "0"),
        ("TIMEOUT", "nan"),
        ("TIMEOUT", "soon"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_that_names_it(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^SLEEVEGRAPH_BINANCE_{name}: expected .*, found '[^\n]*$"):
        settings_from({f"SLEEVEGRAPH_BINANCE_{name}": value})
