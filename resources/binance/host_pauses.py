"""Until when a host wants to be left alone, for every task that asks it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import httpx

from sleevegraph.errors import TransferError
from sleevegraph.market_data.backoff import retry_after


class HostPauses:
    """Pauses of hosts, none of which may last longer than `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._ends: dict[tuple[str, int | None], float] = {}

    def add(self, url: httpx.URL, header: str, otherwise: float) -> None:
        """The host asked for a pause by a Retry-After header, or by a status alone."""
        end = time.monotonic() + (retry_after(header, time.time()) or otherwise)
        host = (url.host, url.port)
        self._ends[host] = max(end, self._ends.get(host, end))

    def remaining(self, url: httpx.URL) -> float:
        """Seconds until the host may be asked; none is left where it is not positive."""
        return self._ends.get((url.host, url.port), 0.0) - time.monotonic() if self._ends else 0.0

    async def over(self, url: httpx.URL) -> None:
        """Wait until the host may be asked. Raises TransferError where that takes longer than the patience."""
        while (seconds := self.remaining(url)) > 0:
            if seconds > self._patience:
                until = datetime.now(UTC) + timedelta(seconds=seconds)
                raise TransferError(
                    f"expected {url.host} to answer within {self._patience:g} s, found that it wants to be left alone "
                    f"until {until:%Y-%m-%d %H:%M:%S} UTC; run again after that"
                )
            await asyncio.sleep(seconds)
