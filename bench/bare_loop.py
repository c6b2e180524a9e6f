"""The least that a transfer can be: plain httpx workers that fetch and unzip, the yardstick of `bench/ingest.py`."""

import asyncio
import io
import time
import zipfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from resources.binance.settings import BinanceSettings


@dataclass(frozen=True, slots=True)
class Transfer:
    """Zip files that came, with the bytes of them and of their CHECKSUM files."""

    files: int
    bytes: int
    seconds: float


async def bare_loop(
    replica_settings: BinanceSettings, keys: list[str], concurrency: int, *, shared: bool = True
) -> Transfer:
    """Fetch each zip and its CHECKSUM and unzip in memory; nothing is checked, parsed, retried or stored.

    All workers share one client, as such a loop is usually written; without `shared` each has its own, which is several
    times as fast, because what a pool spends on a request grows with the connections in it.
    """
    left = iter(keys)
    received = 0

    async def worker(client: httpx.AsyncClient) -> None:
        nonlocal received
        for key in left:
            url = f"{replica_settings.archive_url}/{quote(key)}"
            body = (await client.get(url)).raise_for_status().content
            checksum = (await client.get(f"{url}.CHECKSUM")).raise_for_status().content
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                archive.read(archive.namelist()[0])
            received += len(body) + len(checksum)

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    trusted = httpx.create_ssl_context()
    start = time.perf_counter()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    limits=limits, timeout=replica_settings.timeout_seconds, trust_env=False, verify=trusted
                )
            )
            for _ in range(1 if shared else concurrency)
        ]
        await asyncio.gather(*(worker(clients[number % len(clients)]) for number in range(concurrency)))
    return Transfer(len(keys), received, time.perf_counter() - start)
