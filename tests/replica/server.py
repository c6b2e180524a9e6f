"""`python -m tests.replica.server FOLDER PARENT`: Binance on the loopback until the process PARENT is gone.

Prints one line when it is ready: the port of each role and of `control`, as JSON.
"""

import asyncio
import base64
import gc
import json
import os
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.replica.answers import RESTRICTED, asked, cut, failure, not_found
from tests.replica.api import WEIGHTS, Api, refusal
from tests.replica.catalogue import Catalogue, corrupt
from tests.replica.faults import ROLES, Faults
from tests.replica.limits import Limiter
from tests.replica.listing import list_objects
from tests.replica.web import Answer, Port


class Server:
    """What all ports share; its public methods that the handle names are what the control port does."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "replica.json").read_text("utf-8"))
        self.ahead = 0.0
        self.until: str | None = None
        self.page = 1000
        self.tasks: set[asyncio.Task[None]] = set()
        self.restricted: dict[str, str] = {}
        self.faults = Faults()
        self.catalogue = Catalogue.of(folder, about["index"])
        self.api = Api(folder, about["info"], about["listings"], self.clock)
        self.limits: dict[str, Any] = {}
        self.limiters: dict[str, Limiter] = {}
        self.ports = {role: Port(self._handler(role), self.clock) for role in ROLES}
        self.ports["control"] = Port(self._control, self.clock)
        self.now(about["now"])
        self.reset_log()

    def clock(self) -> float:
        """Seconds since 1970 by the replica's clock, which goes on from what it was last set to."""
        return time.time() + self.ahead

    async def open(self) -> dict[str, int]:
        for port in self.ports.values():
            port.bind()
            await port.serve()
        return {role: port.number for role, port in self.ports.items()}

    # What the control port does.

    def now(self, moment: str) -> None:
        self.ahead = datetime.fromisoformat(moment).timestamp() - time.time()
        self.limiters = {role: Limiter(self.clock, **self.limits) for role in ROLES if role.startswith("api")}
        self.archive_until(self.until)

    def archive_until(self, day: str | None) -> None:
        yesterday = datetime.fromtimestamp(self.clock(), UTC).date() - timedelta(days=1)
        self.until = day
        self.catalogue.show_until(min(yesterday, date.fromisoformat(day)) if day else yesterday)

    def set_limits(self, **limits: Any) -> None:
        self.limits = limits
        self.limiters = {role: Limiter(self.clock, **limits) for role in self.limiters}

    def set_faults(self, **faults: Any) -> None:
        self.faults = Faults(**faults, broken=self.faults.broken)

    def break_key(self, key: str, how: str | None) -> None:
        self.faults.broken.pop(key, None)
        if how:
            self.faults.broken[key] = how

    def restrict(self, role: str, how: str | None) -> None:
        port = self.ports[role]
        self.restricted.pop(role, None)
        if how == "down":
            port.close()
        elif port.listener is None:
            port.bind()
            self.tasks.add(task := asyncio.get_running_loop().create_task(port.serve()))
            task.add_done_callback(self.tasks.discard)
        if how and how != "down":
            self.restricted[role] = how

    def latency(self, seconds: float) -> None:
        for role in ROLES:
            self.ports[role].latency = seconds

    def page_size(self, keys: int) -> None:
        self.page = keys

    def replace(self, key: str, body: str) -> None:
        self.catalogue.replace(key, base64.b64decode(body), int(self.clock()))

    def log(self) -> dict[str, Any]:
        limits = {
            role: {"violations": limiter.violations, "windows": limiter.windows}
            for role, limiter in self.limiters.items()
        }
        counts = {"requests": self.requests, "bytes": self.bytes, "faults": self.failed, "hosts": self.hosts}
        return {**counts, "names": self.names, "limits": limits}

    def reset_log(self) -> None:
        self.requests, self.bytes, self.failed, self.hosts = (
            Counter[str](),
            Counter[str](),
            Counter[str](),
            Counter[str](),
        )
        self.names: list[tuple[str, str, str, int]] = []
        for limiter in self.limiters.values():
            limiter.violations, limiter.windows = 0, {}

    def _control(self, target: str, body: bytes) -> Answer:
        del target
        asked = json.loads(body)
        done = getattr(self, asked.pop("do"))(**asked)
        return Answer(json.dumps(done).encode(), kind="application/json")

    # What the five roles do.

    def _handler(self, role: str) -> Any:
        serve = {"archive": self._archive, "listing": self._listing}.get(role, self._api)

        def handle(target: str, _: bytes) -> Answer:
            kind, name, query = asked(role, target)
            fault = ""
            headers: dict[str, str] = {}
            answer = self._restricted(role)
            if answer is None and role in self.limiters:
                answer, headers = self._limited(role, kind)
            if answer is None:
                fault = self.faults.draw(role, kind, name)
                answer = failure(fault) or serve(role, name, query, fault)
            if fault:
                self.failed[fault] += 1
            answer = Answer(answer.body, answer.status, answer.kind, {**answer.headers, **headers}, cut(fault))
            self.requests[kind] += 1
            self.hosts[role] += 1
            sent = 0 if answer.how in {"timeout", "reset"} else len(answer.body) // (1 + (answer.how == "truncated"))
            self.bytes[kind] += sent
            self.names.append((kind, name, fault, answer.status))
            return answer

        return handle

    def _restricted(self, role: str) -> Answer | None:
        how = self.restricted.get(role)
        return refusal(0, RESTRICTED, int(how)) if how else None

    def _limited(self, role: str, kind: str) -> tuple[Answer | None, dict[str, str]]:
        limiter = self.limiters[role]
        status, wait, used = limiter.spend(WEIGHTS.get(kind, 1))
        headers = {"X-MBX-USED-WEIGHT": str(used), limiter.header: str(used)}
        if status == 200:
            return None, headers
        text = "Too much request weight used; please use WebSocket Streams for live updates to avoid bans."
        if status == 418:
            text = f"Way too much request weight used; IP banned until {int(limiter.until * 1000)}."
        return refusal(-1003, text, status), {**headers, "Retry-After": str(wait)}

    def _archive(self, role: str, key: str, query: dict[str, str], fault: str) -> Answer:
        del role, query
        entry = self.catalogue.find(key)
        if entry is None or fault == "404":
            return not_found(key)
        body, tag = self.catalogue.read(key), entry.md5
        if fault == "corrupt":
            body = corrupt(body)
        elif fault == "checksum":
            body = (b"0" if body[:1] != b"0" else b"1") + body[1:]
        elif fault == "stale":
            body = self.catalogue.older(key)
        return Answer(body, kind="binary/octet-stream", headers={"ETag": f'"{tag}"', "Server": "AmazonS3"})

    def _listing(self, role: str, prefix: str, query: dict[str, str], fault: str) -> Answer:
        del role, prefix
        if fault == "404":
            return not_found("")
        return Answer(list_objects(self.catalogue, query, self.page, stale=fault == "stale_listing"))

    def _api(self, role: str, name: str, query: dict[str, str], fault: str) -> Answer:
        kind = name.partition("/")[0]
        if kind == "klines" and fault != "404":
            return self.api.klines(query, stale=fault == "stale_bar")
        if kind == "exchangeInfo" and fault != "404":
            return self.api.exchange_info(query, self.limiters[role].rate_limit)
        if kind == "time" and fault != "404":
            return self.api.time()
        return Answer(b"<html><body><h2>404 Not found</h2></body></html>", 404, "text/html")


async def serve(folder: Path, parent: int) -> None:
    server = Server(folder)
    print(json.dumps(await server.open()), flush=True)  # noqa: T201  # how the parent learns the ports
    gc.freeze()
    while os.getppid() == parent:  # noqa: ASYNC110  # nothing tells of a parent's end
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
