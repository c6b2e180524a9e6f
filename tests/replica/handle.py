"""The replica as tests hold it: a process of its own, told over its control port what to do."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from resources.binance.settings import BinanceSettings
from tests.replica.faults import PASSING, ROLES

ROOT = Path(__file__).resolve().parents[2]
QUICK = BinanceSettings(timeout_seconds=2.0, backoff_seconds=0.01, backoff_cap_seconds=0.2, patience_seconds=10.0)


class Replica:
    """Serves what `build` wrote to a folder, from `with Replica(folder) as replica:` on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.replica.server", str(self.folder), str(os.getpid())]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready:
            raise RuntimeError(f"the replica of {self.folder} did not start: exit code {self.process.wait()}")
        self.ports = json.loads(ready)
        self.control = httpx.Client(base_url=self.url("control"), timeout=30, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def url(self, role: str) -> str:
        """Of `archive`, `listing`, `api0`, `api1` or `api2`."""
        return f"http://127.0.0.1:{self.ports[role]}" + ("/data.binance.vision" if role == "listing" else "")

    @property
    def api_urls(self) -> tuple[str, ...]:
        return tuple(self.url(role) for role in ROLES if role.startswith("api"))

    def settings(self, **changes: Any) -> BinanceSettings:
        """For the product's own code: these hosts, short timeouts, short waits."""
        here = replace(QUICK, archive_url=self.url("archive"), listing_url=self.url("listing"), api_urls=self.api_urls)
        return replace(here, **changes)

    def environment(self) -> dict[str, str]:
        """For the command line in a process of its own."""
        return {
            "SLEEVEGRAPH_BINANCE_ARCHIVE": self.url("archive"),
            "SLEEVEGRAPH_BINANCE_LISTING": self.url("listing"),
            "SLEEVEGRAPH_BINANCE_API": ",".join(self.api_urls),
        }

    def faults(
        self, share: float, kinds: Sequence[str] = PASSING, *, seed: int = 0, roles: Sequence[str] = ROLES
    ) -> None:
        """Let this share of the answers go wrong, in ways of `faults.KINDS`; 0 ends it. Keys that are broken stay so."""
        self._do("set_faults", share=share, kinds=list(kinds), seed=seed, roles=list(roles))

    def break_key(self, key: str, how: str | None) -> None:
        """Lastingly: an archive's key (its zip and CHECKSUM), a listing's prefix or `klines/SYMBOL`; None mends it.

        `how` is one of `faults.KINDS` or "404".
        """
        self._do("break_key", key=key, how=how)

    def restrict(self, role: str, how: str | None) -> None:
        """Answer "451", "403" or "400" with the text of a restricted location, or be "down"; None ends it."""
        self._do("restrict", role=role, how=how)

    def now(self, moment: datetime) -> None:
        """Set the replica's clock, which goes on from there; the archive then has what was complete the day before.

        Counts of weights begin anew.
        """
        self._do("now", moment=moment.isoformat())

    def archive_until(self, day: date | None) -> None:
        """Hide files that reach beyond `day`; None: beyond the day before now."""
        self._do("archive_until", day=day.isoformat() if day else None)

    def limits(
        self, limit: int = 6000, interval: str = "MINUTE", interval_num: int = 1, ban_seconds: float = 120.0
    ) -> None:
        """Request weight per window and host; counts begin anew."""
        self._do("set_limits", limit=limit, interval=interval, interval_num=interval_num, ban_seconds=ban_seconds)

    def latency(self, seconds: float) -> None:
        """Of every answer."""
        self._do("latency", seconds=seconds)

    def page_size(self, keys: int) -> None:
        """Keys and common prefixes on one page of the listing, 1000 unless told."""
        self._do("page_size", keys=keys)

    def replace(self, key: str, body: bytes) -> None:
        """Restate a file, with its CHECKSUM, or add one; a stale mirror serves the version before."""
        self._do("replace", key=key, body=base64.b64encode(body).decode())

    def log(self) -> dict[str, Any]:
        """Counts since the start or `reset_log`.

        `requests` and `bytes` by kind (listing, zip, checksum, klines, exchangeInfo, time), `faults` by kind of fault,
        `hosts` by role, `names` as [kind, name, fault, status] in order, `limits` by API role.
        """
        return dict(self._do("log"))

    def reset_log(self) -> None:
        self._do("reset_log")

    def violations(self) -> int:
        """Requests beyond the limit, of all API hosts."""
        return sum(host["violations"] for host in self.log()["limits"].values())

    def largest_weight(self) -> int:
        """The most that any window of any API host has used."""
        return max((used for host in self.log()["limits"].values() for used in host["windows"].values()), default=0)

    def _do(self, what: str, **how: Any) -> Any:
        answer = self.control.post("/", json={"do": what, **how})
        return answer.raise_for_status().json()
