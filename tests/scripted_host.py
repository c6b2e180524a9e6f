"""A host on the loopback that answers as a test says, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reply = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
"""Given the number of the request from 0, writes the answer."""


@dataclass
class ScriptedHost:
    """What came: the time and target of every request, and how many were under way at once."""

    url: str = ""
    arrivals: list[float] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def in_turn(*answers: bytes) -> Reply:
    """One answer after another, the last one for ever."""

    async def reply(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(number, len(answers) - 1)])

    return reply


@asynccontextmanager
async def scripted_host(reply: Reply) -> AsyncIterator[ScriptedHost]:
    host = ScriptedHost()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                number = len(host.arrivals)
                host.arrivals.append(asyncio.get_running_loop().time())
                host.targets.append(head.split(b" ")[1].decode())
                host.under_way += 1
                host.most_under_way = max(host.most_under_way, host.under_way)
                try:
                    await reply(number, writer)
                    await writer.drain()
                finally:
                    host.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield host
    finally:
        server.close()
