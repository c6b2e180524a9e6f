"""One host of the REST API: its request weight, its clock, and whether it answers from here at all."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from resources.binance.transport import Answer, Transport, UnreachableError
from resources.binance.weight_ledger import WeightLedger
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.request_weight import parse_rate_limits

EXCHANGE_INFO_WEIGHT: Final = 20
TIME_WEIGHT: Final = 1
_CLOCK_AGE: Final = 60.0
_USED: Final = re.compile(r"x-mbx-used-weight-(\d+)([smhd])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESTRICTED: Final = "restricted location"
_MAX_INFO_BYTES: Final = 128 * 2**20
_MAX_ANSWER_BYTES: Final = 4 * 2**20


class RestrictedError(TransferError):
    """A host that does not serve the place from which it is asked."""


class ApiHost:
    """Answers of one host; `name` is what is recorded as their origin."""

    def __init__(self, url: str, transport: Transport, ledger: WeightLedger) -> None:
        self.url = url
        self.name = httpx.URL(url).netloc.decode()
        self._transport = transport
        self._ledger = ledger
        self._info: dict[str, Any] | None = None
        self._clock: tuple[int, float] | None = None
        self._asking = asyncio.Lock()
        self._lost: RestrictedError | UnreachableError | None = None

    async def exchange_info(self) -> dict[str, Any]:
        """exchangeInfo, asked for once; its rateLimits hold for everything from then on."""
        async with self._asking:
            if self._info is None:
                info = await self._transport.insist(lambda _: self._exchange_info())
                self._ledger.set_limit(self.name, parse_rate_limits(info))
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
            self.url + path,
            params=params,
            limit_bytes=limit_bytes,
            meter=_WeightMeter(self._ledger, self.name, weight, self._transport.longest),
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
        limit = parse_rate_limits(info)
        if limit.weight < EXCHANGE_INFO_WEIGHT:  # it is kept, and nobody could ever ask for another one
            raise ArchiveError(
                f"{answer.url}: expected a limit of at least {EXCHANGE_INFO_WEIGHT} weight, which the question itself "
                f"has, found {limit.weight}; ask again"
            )
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

    def __init__(self, ledger: WeightLedger, host: str, weight: int, longest: float) -> None:
        self._ledger = ledger
        self._host = host
        self._weight = weight
        self._longest = longest

    async def begin(self) -> int:
        while True:
            ticket, delay = self._ledger.begin(self._host, self._weight, self._longest)
            if not delay:
                return ticket
            await asyncio.sleep(delay)

    def end(self, ticket: int, headers: httpx.Headers | None) -> None:
        used = {}
        for name, value in headers.items() if headers else ():
            match = _USED.fullmatch(name)
            if match and value.isdecimal():
                used[int(match[1]) * _SECONDS[match[2]]] = int(value)
        self._ledger.end(self._host, ticket, used)


def parsed(answer: Answer) -> object:
    """The JSON of a successful answer; TransferError for another status, ArchiveError for what is no JSON."""
    if answer.status != httpx.codes.OK:
        raise TransferError(f"expected HTTP 200 from {answer.url}, found {answer.status}: {answer.body[:120]!r}")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{answer.url}: expected JSON, found {answer.body[:60]!r} ({error}); ask again") from None
