"""GET requests that outlast what networks and hosts do to them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import httpx

from resources.binance.host_pauses import HostPauses
from resources.binance.settings import BinanceSettings
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.backoff import backoff_delay

Result = TypeVar("Result")

_TRANSIENT = (
    TimeoutError,
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.ProxyError,
    httpx.RemoteProtocolError,  # a truncated body among others
    httpx.DecodingError,
)
_UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)
_BUSY = (429, 418)  # too many requests, and banned for having gone on
_WHOLE_ANSWER = 10.0
"""An answer must end within this many timeouts; each of them bounds one read only, so a host could trickle for ever."""


class UnreachableError(TransferError):
    """A host to which not one attempt could connect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host gave, with any status that trying again does not change."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: str


class Meter(Protocol):
    """Counts every attempt, not every `get`: a host charges those that it refuses as well."""

    async def begin(self) -> int:
        """Wait until an attempt may be sent, and give a ticket for its end."""

    def end(self, ticket: int, headers: httpx.Headers | None) -> None:
        """The attempt was answered with these headers, or failed."""


class Transport:
    """HTTP/1.1 to all hosts; at most `concurrency` requests are under way, the others wait here.

    Each of those has a client of its own with its own connections, because what a pool of httpx spends on a request
    grows with the connections in it: with 24 of them it is two thirds of the work for a small file.
    """

    def __init__(self, settings: BinanceSettings) -> None:
        self.settings = settings
        self.longest = (_WHOLE_ANSWER + 1) * settings.timeout_seconds
        """Seconds from its ticket on after which an attempt has ended: one timeout more, for a machine that is busy."""
        self._pauses = HostPauses(settings.patience_seconds)
        trusted = httpx.create_ssl_context()
        self._clients = [
            httpx.AsyncClient(verify=trusted, timeout=settings.timeout_seconds) for _ in range(settings.concurrency)
        ]
        self._idle: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()  # the last one's connection is warm
        for client in self._clients:
            self._idle.put_nowait(client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str | int] | None = None,
        limit_bytes: int,
        meter: Meter | None = None,
    ) -> Answer:
        """Answer of the first attempt with a status below 500 that is neither 429 nor 418.

        Raises ArchiveError for a body beyond `limit_bytes`, which is not read; UnreachableError where no attempt could
        connect; TransferError where every attempt failed otherwise, or the host asks for a pause beyond the patience.
        """
        request = self._clients[0].build_request("GET", url, params=params)
        attempts = self.settings.attempts
        causes: list[str] = []
        connected = False
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(self._backoff(attempt - 1))
            try:
                answer = await self._attempt(request, limit_bytes, meter)
            except _TRANSIENT as error:
                connected |= not isinstance(error, _UNCONNECTED)
                causes.append(f"{type(error).__name__} {error}".strip())
                continue
            if answer.status < 500 and answer.status not in _BUSY:  # noqa: PLR2004 - 5xx is the host's failure
                return answer
            connected = True
            causes.append(f"HTTP {answer.status}")
            if answer.status in _BUSY or "retry-after" in answer.headers:
                self._pauses.add(request.url, answer.headers.get("retry-after", ""), self._backoff(attempt))
        kind = TransferError if connected else UnreachableError
        raise kind(
            f"expected an answer from {request.url}, found none in {attempts} attempts, the last of them: "
            f"{causes[-1]}; try again later"
        )

    async def insist(self, ask: Callable[[int], Awaitable[Result]]) -> Result:
        """What `ask`, given the number of the attempt from 0, gives as soon as it raises no ArchiveError."""
        for attempt in range(self.settings.attempts - 1):
            try:
                return await ask(attempt)
            except ArchiveError:
                await asyncio.sleep(self._backoff(attempt))
        return await ask(self.settings.attempts - 1)

    def _backoff(self, attempt: int) -> float:
        """Seconds to wait after `attempt`, the first of them 0, failed."""
        return backoff_delay(
            attempt,
            self.settings.backoff_seconds,
            self.settings.backoff_cap_seconds,
            random.random(),  # noqa: S311 - jitter, not a secret
        )

    async def _attempt(self, request: httpx.Request, limit_bytes: int, meter: Meter | None) -> Answer:
        """Send once it is this request's turn: nothing waits where a pause of its host would not reach it."""
        while True:
            await self._pauses.over(request.url)
            client = await self._idle.get()
            try:
                answer = await self._send(client, request, limit_bytes, meter)
            finally:
                self._idle.put_nowait(client)
            if answer is not None:
                return answer

    async def _send(
        self, client: httpx.AsyncClient, request: httpx.Request, limit_bytes: int, meter: Meter | None
    ) -> Answer | None:
        """The answer; None where a pause of the host began before the request could be sent."""
        ticket = await meter.begin() if meter else 0  # the last to be waited for: its time runs from now on
        headers = None
        try:
            if self._pauses.remaining(request.url) > 0:
                return None
            async with asyncio.timeout(_WHOLE_ANSWER * self.settings.timeout_seconds):
                response = await client.send(request, stream=True)
                try:
                    headers = response.headers
                    return await _read(response, limit_bytes)
                finally:
                    await response.aclose()
        finally:
            if meter:
                meter.end(ticket, headers)


async def _read(response: httpx.Response, limit_bytes: int) -> Answer:
    """The body, unless it is longer than it may be: then the connection is closed with the rest unread."""
    url = str(response.url)
    stated = response.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit_bytes:
        raise ArchiveError(f"expected at most {limit_bytes:,} bytes from {url}, found a body of {int(stated):,} bytes")
    chunks: list[bytes] = []
    room = limit_bytes
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        room -= len(chunk)
        if room < 0:
            raise ArchiveError(f"expected at most {limit_bytes:,} bytes from {url}, found more")
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Answer(response.status_code, response.headers, body, url)
