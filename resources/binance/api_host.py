"""One host of the REST API: its request weight, its clock, and whether it answers from here at all."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from resources.binance.transport import Answer, Transport, UnreachableError
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.request_weight import WeightWindow, parse_rate_limits

EXCHANGE_INFO_WEIGHT: Final = 20
TIME_WEIGHT: Final = 1
_UNTIL_IT_SAYS: Final = (1200, 60.0)
"""Weight and seconds before exchangeInfo was read: the smallest limit that any of Binance's hosts ever had."""
_CLOCK_AGE: Final = 60.0
_USED: Final = re.compile(r"x-mbx-used-weight-(\d+)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RESTRICTED: Final = "restricted location"
_MAX_INFO_BYTES: Final = 128 * 2**20
_MAX_ANSWER_BYTES: Final = 4 * 2**20


class RestrictedError(TransferError):
    """A host that does not serve the place from which it is asked."""


class ApiHost:
    """Answers of one host; `name` is what is recorded as their origin."""

    def __init__(self, url: str, transport: Transport) -> None:
        self.url = url
        self.name = httpx.URL(url).netloc.decode()
        self.window = WeightWindow(*_UNTIL_IT_SAYS)
        self._transport = transport
        self._info: dict[str, Any] | None = None
        self._clock: tuple[int, float] | None = None
        self._asking = asyncio.Lock()
        self._lost: RestrictedError | UnreachableError | None = None

    async def exchange_info(self) -> dict[str, Any]:
        """exchangeInfo, asked for once; its rateLimits hold for everything from then on."""
        async with self._asking:
            if self._info is None:
                info = await self._transport.insist(lambda _: self._exchange_info())
                self.window.limit, self.window.seconds = parse_rate_limits(info)
                self._info = info
        return self._info

    async def server_time(self) -> int:
        """The server's clock in milliseconds, as it was at most a minute ago: never ahead of what it is now."""
        async with self._asking:
            if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_AGE:
                self._clock = (await self._transport.insist(lambda _: self._time()), time.monotonic())
        return self._clock[0]

    async def get(
        self, path: str, params: Mapping[str, str | int], weight: int, limit_bytes: int = _MAX_ANSWER_BYTES
    ) -> Answer:
        """Any answer but one that says that this place is not served: that is a RestrictedError.

        Once it or an UnreachableError was raised it is raised at once: tasks that queue here need not find out again.
        """
        if self._lost is not None:
            raise self._lost
        try:
            return await self._served(path, params, weight, limit_bytes)
        except (RestrictedError, UnreachableError) as error:
            self._lost = error
            raise

    async def _served(self, path: str, params: Mapping[str, str | int], weight: int, limit_bytes: int) -> Answer:
        answer = await self._transport.get(
            self.url + path, params=params, limit_bytes=limit_bytes, meter=_WeightMeter(self.window, weight)
        )
        refused = answer.status in (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN)
        if answer.status == httpx.codes.UNAVAILABLE_FOR_LEGAL_REASONS or (
            refused and _RESTRICTED in answer.body.decode(errors="replace").lower()
        ):
            raise RestrictedError(f"{self.name} does not serve the place from which it is asked (HTTP {answer.status})")
        return answer

    async def _exchange_info(self) -> dict[str, Any]:
        answer = await self.get("/api/v3/exchangeInfo", {}, EXCHANGE_INFO_WEIGHT, _MAX_INFO_BYTES)
        info = parsed(answer)
        if not isinstance(info, dict):
            raise ArchiveError(f"{answer.url}: expected an object, found {str(info)[:60]}; ask again")
        parse_rate_limits(info)
        return info

    async def _time(self) -> int:
        answer = await self.get("/api/v3/time", {}, TIME_WEIGHT)
        found = parsed(answer)
        now = found.get("serverTime") if isinstance(found, dict) else None
        if type(now) is not int:
            raise ArchiveError(f"{answer.url}: expected serverTime in milliseconds, found {str(found)[:60]}; ask again")
        return now


class _WeightMeter:
    """Accounts for every attempt of one request."""

    def __init__(self, window: WeightWindow, weight: int) -> None:
        self._window = window
        self._weight = weight

    async def begin(self) -> int:
        while (delay := self._window.wait(self._weight, time.monotonic())) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(delay)
        return self._window.begin(self._weight, time.monotonic())

    def end(self, ticket: int, headers: httpx.Headers | None) -> None:
        now = time.monotonic()
        self._window.end(ticket, now)
        for name, value in headers.items() if headers else ():
            match = _USED.fullmatch(name)
            if match and value.isdecimal() and int(match[1]) * _SECONDS[match[2]] == self._window.seconds:
                self._window.seen(int(value), now)


def parsed(answer: Answer) -> object:
    """The JSON of a successful answer; TransferError for another status, ArchiveError for what is no JSON."""
    if answer.status != httpx.codes.OK:
        raise TransferError(f"expected HTTP 200 from {answer.url}, found {answer.status}: {answer.body[:120]!r}")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{answer.url}: expected JSON, found {answer.body[:60]!r} ({error}); ask again") from None
