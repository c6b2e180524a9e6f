"""As much of HTTP/1.1 as the replica needs: keep-alive, lengths, and answers that go wrong on purpose."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

RST = struct.pack("ii", 1, 0)
"""SO_LINGER on, for zero seconds: closing sends a reset."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`how` is empty, or `timeout` (nothing is sent), `reset`, `truncated` (half of the body, then the end)."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/xml"
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""


@dataclass(slots=True)
class Port:
    """One listening port and its connections."""

    handle: Callable[[str, bytes], Answer]
    now: Callable[[], float]
    number: int = 0
    latency: float = 0.0
    connections: set["Connection"] = field(default_factory=set)
    bound: socket.socket | None = None
    listener: asyncio.Server | None = None

    def bind(self) -> None:
        """Take connections from now on, on the same port as before if there was one; `serve` answers them."""
        self.bound = socket.create_server(("127.0.0.1", self.number), backlog=512)
        self.number = self.bound.getsockname()[1]

    async def serve(self) -> None:
        assert self.bound is not None
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(lambda: Connection(self), sock=self.bound)

    def close(self) -> None:
        """Refuse whoever comes and hang up on who is there."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            for connection in list(self.connections):
                connection.transport.abort()


class Connection(asyncio.Protocol):
    """Answers one request after another."""

    transport: asyncio.Transport

    def __init__(self, port: Port) -> None:
        self.port = port
        self.buffer = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.port.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.port.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._next()

    def _next(self) -> None:
        """Answer what has come completely, unless an answer is still due."""
        while not self.busy and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _content_length(head)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            target = head.split(b" ", 2)[1].decode("latin-1")
            answer = self.port.handle(target, body)
            if self.port.latency and answer.how != "timeout":
                self.busy = True
                asyncio.get_running_loop().call_later(self.port.latency, self._late, answer)
            else:
                self._send(answer)

    def _late(self, answer: Answer) -> None:
        self.busy = False
        if not self.transport.is_closing():
            self._send(answer)
            self._next()

    def _send(self, answer: Answer) -> None:
        if answer.how == "timeout":
            self.busy = True  # for ever: the client has to leave
        elif answer.how == "reset":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            self.transport.abort()
        elif answer.how == "truncated":
            self.transport.write(_head(answer, self.port.now()) + answer.body[: len(answer.body) // 2])
            self.transport.close()
        else:
            self.transport.write(_head(answer, self.port.now()) + answer.body)


def _content_length(head: bytes) -> int:
    if head.startswith(b"GET "):
        return 0
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _head(answer: Answer, now: float) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return (
        f"HTTP/1.1 {answer.status} {_phrase(answer.status)}\r\nDate: {_date(int(now))}\r\n"
        f"Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\n{more}\r\n"
    ).encode()


@lru_cache
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


@lru_cache
def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
