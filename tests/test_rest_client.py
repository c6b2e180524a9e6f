"""The REST client against three replicas of the API with clocks, weights and restrictions of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from resources.binance.rest import Rest, RestRows
from resources.binance.settings import BinanceSettings
from resources.binance.transport import Transport
from resources.binance.weight_ledger import WeightLedger
from sleevegraph.errors import ArchiveError, ConfigurationError, TransferError
from sleevegraph.market_data.datasets import DATASETS
from sleevegraph.market_data.request_weight import RateLimit
from tests.replica.handle import QUICK, Replica
from tests.replica.markets import SMALL_NOW, SMALL_SYMBOLS, build_small, small_market
from tests.scripted_host import answer, in_turn, scripted_host

Result = TypeVar("Result")

DAILY, HOURLY = DATASETS["spot_klines_1d"], DATASETS["spot_klines_1h"]
START, END = datetime(2024, 11, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
HOURS = small_market()["spot_klines_1h"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replica")
    build_small(folder)
    return folder


@pytest.fixture
def replica(tree: Path) -> Iterator[Replica]:
    with Replica(tree) as running:
        running.now(SMALL_NOW)
        yield running


def asked(
    settings: BinanceSettings, job: Callable[[Rest], Awaitable[Result]], *foreign: Callable[[str], bool]
) -> Result:
    async def ask() -> Result:
        async with Transport(settings) as transport:
            return await job(Rest(transport, settings, WeightLedger(None), *foreign))

    return asyncio.run(ask())


def bitcoin(replica: Replica, **changes: object) -> RestRows:
    rows = asked(replica.settings(**changes), lambda rest: rest.klines(HOURLY, "BTCUSDT", START, END))
    assert rows is not None
    return rows


def over(symbol: str, now: datetime) -> pl.DataFrame:
    """The recorded bars of a symbol that have ended by `now`."""
    ended = pl.col("open_time") + timedelta(hours=1) <= now
    return HOURS.filter((pl.col("symbol") == symbol) & ended).select(HOURLY.schema.names()).sort("open_time")


def host_of(url: str) -> str:
    return httpx.URL(url).netloc.decode()


def test_bars_of_several_pages_are_those_of_the_exchange(replica: Replica) -> None:
    rows = bitcoin(replica)
    expected = over("BTCUSDT", SMALL_NOW)
    assert expected.height > 2000
    assert_frame_equal(rows.frame, expected)
    assert rows.host == host_of(replica.api_urls[0])
    assert timedelta(0) <= datetime.now(UTC) - rows.fetched_at < timedelta(minutes=1)
    assert replica.log()["requests"]["klines"] == 3


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1800.0, 3598.0])
def test_the_bar_in_progress_is_never_given(replica: Replica, seconds: float) -> None:
    hour = datetime(2025, 2, 10, 13, tzinfo=UTC)
    replica.now(hour + timedelta(seconds=seconds))
    url = f"{replica.api_urls[0]}/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=1"
    assert httpx.get(url, trust_env=False).json()[0][0] == hour.timestamp() * 1000  # the exchange does give it
    assert bitcoin(replica).frame["open_time"].max() == hour - timedelta(hours=1)


def test_a_range_is_closed_below_and_open_above(replica: Replica) -> None:
    first, end = datetime(2024, 12, 1, 3, tzinfo=UTC), datetime(2024, 12, 1, 7, tzinfo=UTC)
    for start, hours in ((first, [3, 4, 5, 6]), (first + timedelta(minutes=1), [4, 5, 6]), (end, [])):
        rows = asked(replica.settings(), lambda rest, start=start: rest.klines(HOURLY, "BTCUSDT", start, end))
        assert rows is not None
        assert rows.frame["open_time"].dt.hour().to_list() == hours
        assert rows.frame.schema == HOURLY.schema


def test_symbols_that_the_exchange_does_not_know_are_none(replica: Replica) -> None:
    assert asked(replica.settings(), lambda rest: rest.klines(DAILY, "NEVERUSDT", START, END)) is None
    found = asked(replica.settings(), lambda rest: rest.klines(HOURLY, "币安人生USDT", START, END))
    assert found is not None
    assert_frame_equal(found.frame, over("币安人生USDT", SMALL_NOW))


def test_a_symbol_with_characters_that_the_exchange_refuses_is_unknown_to_it() -> None:
    refusals = {
        "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.": True,
        "Illegal characters found in parameter 'startTime'; legal range is '^[0-9]{1,20}$'.": False,
    }
    for text, unknown in refusals.items():
        rows = scripted_klines(answer(400, f'{{"code":-1100,"msg":"{text}"}}'.encode()))
        assert (rows is None) == unknown


def scripted_klines(reply: bytes) -> RestRows | TransferError | ArchiveError | None:
    """What comes of a host that answers this to a request for bars."""
    limit = b'{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}'
    said = [answer(body=b'{"serverTime":1740000000000,"rateLimits":[%b]}' % limit)] * 2

    async def ask() -> RestRows | TransferError | ArchiveError | None:
        async with scripted_host(in_turn(*said, reply)) as host:
            settings = replace(QUICK, api_urls=(host.url,), attempts=2)
            async with Transport(settings) as transport:
                try:
                    return await Rest(transport, settings, WeightLedger(None)).klines(DAILY, "BTCUSDT", START, END)
                except (TransferError, ArchiveError) as error:
                    return error

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "body", [b"", b"[[1]]", b"{}", b'[[1,"1","1","1","1","1",86399999,"1",1,"1","1","0"]]', b"[" * 100_000]
)
def test_an_answer_that_is_not_what_was_asked_for_is_an_error_of_one_line(body: bytes) -> None:
    error = scripted_klines(answer(body=body))
    assert isinstance(error, ArchiveError)
    assert "\n" not in str(error)


@pytest.mark.parametrize("how", ["451", "403", "400", "down"])
def test_where_a_host_does_not_serve_the_next_one_is_asked_for_everything(replica: Replica, how: str) -> None:
    replica.restrict("api0", how)
    replica.reset_log()

    async def ask(rest: Rest) -> list[RestRows | None]:
        return await asyncio.gather(*(rest.klines(HOURLY, symbol, START, END) for symbol in SMALL_SYMBOLS))

    rows = asked(replica.settings(attempts=2), ask)
    assert {found.host for found in rows if found is not None} == {host_of(replica.api_urls[1])}
    for symbol, found in zip(SMALL_SYMBOLS, rows, strict=True):
        assert found is not None
        assert_frame_equal(found.frame, over(symbol, SMALL_NOW))
    assert replica.log()["hosts"].get("api0", 0) <= 1
    assert replica.log()["hosts"].get("api2", 0) == 0


def test_a_host_that_begins_to_refuse_in_the_middle_leaves_no_rows_of_its_own(replica: Replica) -> None:
    async def ask(rest: Rest) -> RestRows | None:
        assert (await rest.exchange_info())["symbols"]
        assert await rest.server_time() >= SMALL_NOW
        replica.restrict("api0", "451")
        return await rest.klines(HOURLY, "BTCUSDT", START, END)

    rows = asked(replica.settings(), ask)
    assert rows is not None
    assert rows.host == host_of(replica.api_urls[1])
    assert_frame_equal(rows.frame, over("BTCUSDT", SMALL_NOW))


@pytest.mark.parametrize("how", ["451", "403", "400", "down"])
def test_a_pinned_host_that_does_not_serve_is_one_line_that_names_the_setting(replica: Replica, how: str) -> None:
    replica.restrict("api0", how)
    with pytest.raises(TransferError, match=r"the only host not to give one: .*; set SLEEVEGRAPH_BINANCE_API to") as e:
        bitcoin(replica, api_urls=replica.api_urls[:1], attempts=2)
    assert "\n" not in str(e.value)


def in_use(replica: Replica, foreign: str, **restricted: str) -> int:
    """Number of the host that gives the bars, where those numbered in `foreign` are of another exchange."""
    for role, how in restricted.items():
        replica.restrict(role, how)
    replica.reset_log()
    names = [host_of(url) for url in replica.api_urls]

    async def ask(rest: Rest) -> str:
        rows = await rest.klines(HOURLY, "BTCUSDT", START, END)
        assert rows is not None
        assert rows.host == rest.host
        return rest.host

    others = {names[int(number)] for number in foreign}
    return names.index(asked(replica.settings(attempts=2), ask, others.__contains__))


@pytest.mark.parametrize(
    ("foreign", "restricted", "used"),
    [
        ("2", {}, 0),
        ("2", {"api0": "down"}, 1),
        ("1", {"api0": "down"}, 2),
        ("1", {"api0": "451"}, 1),
        ("12", {"api0": "451", "api1": "down"}, 2),
        ("2", {"api0": "down", "api1": "403"}, 2),
    ],
)
def test_an_outage_never_changes_the_exchange_and_a_restriction_may(
    replica: Replica, foreign: str, restricted: dict[str, str], used: int
) -> None:
    assert in_use(replica, foreign, **restricted) == used
    assert {role for role, count in replica.log()["hosts"].items() if count and role.startswith("api")} == {
        f"api{used}",
        *(role for role, how in restricted.items() if how != "down"),
    }


@pytest.mark.parametrize(
    ("foreign", "restricted"),
    [("12", {"api0": "down"}), ("2", {"api0": "451", "api1": "down"}), ("2", {"api0": "down", "api1": "down"})],
)
def test_an_outage_with_none_but_another_exchange_left_is_one_line_that_says_so(
    replica: Replica, foreign: str, restricted: dict[str, str]
) -> None:
    with pytest.raises(TransferError, match=r"none behind it but those of another exchange \(.*SLEEVEGRAPH") as error:
        in_use(replica, foreign, **restricted)
    assert "\n" not in str(error.value)
    assert "api2" not in replica.log()["hosts"]


def test_binance_us_does_not_stand_in_for_a_host_that_is_down(replica: Replica) -> None:
    replica.restrict("api0", "down")
    with pytest.raises(TransferError, match=r"but those of another exchange \(api\.binance\.us\)"):
        bitcoin(replica, api_urls=(replica.api_urls[0], "https://api.binance.us"), attempts=1)


def test_with_no_host_left_the_error_says_how_many_were_asked(replica: Replica) -> None:
    for role in ("api0", "api1", "api2"):
        replica.restrict(role, "451")
    with pytest.raises(TransferError, match=r"the last of 3 hosts not to give one: .*HTTP 451"):
        bitcoin(replica)


def test_futures_are_not_asked_for(replica: Replica) -> None:
    with pytest.raises(ConfigurationError, match=r"expected spot klines .* found um_klines_1d"):
        asked(replica.settings(), lambda rest: rest.klines(DATASETS["um_klines_1d"], "BTCUSDT", START, END))


@pytest.mark.parametrize("fault", ["timeout", "reset", "truncated", "500", "503", "429"])
def test_bars_are_the_same_whatever_goes_wrong_on_the_way(replica: Replica, fault: str) -> None:
    replica.faults(0.3, [fault], seed=2)
    rows = bitcoin(replica, timeout_seconds=0.3, attempts=20)
    assert replica.log()["faults"][fault] > 0
    assert_frame_equal(rows.frame, over("BTCUSDT", SMALL_NOW))


async def _all_symbols(rest: Rest) -> list[RestRows | None]:
    await rest.exchange_info()
    return await asyncio.gather(*(rest.klines(HOURLY, symbol, START, END) for symbol in SMALL_SYMBOLS))


@pytest.mark.parametrize(("limit", "latency"), [(20, 0.0), (23, 0.3), (60, 0.1)])
def test_a_host_never_counts_more_weight_than_its_limit(replica: Replica, limit: int, latency: float) -> None:
    replica.limits(limit, "SECOND", 1)
    replica.latency(latency)
    rows = asked(replica.settings(), _all_symbols)
    assert sum(found.frame.height for found in rows if found is not None) > 10_000
    assert replica.violations() == 0
    assert 0 < replica.largest_weight() <= limit


def test_without_the_accounting_the_same_requests_break_the_limit(replica: Replica) -> None:
    async def ask(rest: Rest) -> list[RestRows | None]:
        await rest.exchange_info()
        rest._hosts[0]._ledger.set_limit(rest.host, RateLimit(10**9, 60.0))
        return await _all_symbols(rest)

    replica.limits(20, "MINUTE", 1)
    with suppress(TransferError):
        asked(replica.settings(), ask)
    assert replica.violations() > 0


def test_weight_that_somebody_else_uses_at_the_same_address_is_seen(replica: Replica) -> None:
    replica.limits(60)

    async def ask(rest: Rest) -> tuple[float, float]:
        await rest.exchange_info()
        async with httpx.AsyncClient(trust_env=False) as other:
            for _ in range(10):
                await other.get(f"{replica.api_urls[0]}/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=1")
        await rest.server_time()
        ledger = rest._hosts[0]._ledger
        ticket, free = ledger.begin(rest.host, 19, 0.0)
        ledger.end(rest.host, ticket, {})
        return free, ledger.begin(rest.host, 1, 0.0)[1]

    free, taken = asked(replica.settings(), ask)  # 20 of exchangeInfo, 20 of the other, 1 of the clock
    assert free == 0
    assert 0 < taken <= 60
