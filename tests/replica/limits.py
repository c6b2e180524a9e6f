"""Request weights of one API host: fixed windows of the server's clock, and bans for those who do not listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


@dataclass(slots=True)
class Limiter:
    """Spend weights; who goes on after a 429 is banned, each time twice as long."""

    clock: Callable[[], float]
    limit: int = 6000
    interval: str = "MINUTE"
    interval_num: int = 1
    ban_seconds: float = 120.0
    windows: dict[int, int] = field(default_factory=dict)
    """Used weight by the second at which a window began; refused requests count, as on the real hosts."""
    violations: int = 0
    until: float = 0.0
    """The end of a Retry-After that was given, or of a ban."""
    bans: int = 0

    @property
    def length(self) -> int:
        return SECONDS[self.interval] * self.interval_num

    @property
    def header(self) -> str:
        return f"X-MBX-USED-WEIGHT-{self.interval_num}{self.interval[0]}"

    @property
    def rate_limit(self) -> dict[str, str | int]:
        """As exchangeInfo says it."""
        return {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": self.interval,
            "intervalNum": self.interval_num,
            "limit": self.limit,
        }

    def spend(self, weight: int) -> tuple[int, int, int]:
        """Status (200, 429 or 418), seconds of Retry-After, and the weight used in this window."""
        now = self.clock()
        began = int(now) // self.length * self.length
        used = self.windows[began] = self.windows.get(began, 0) + weight
        if now < self.until:
            self.violations += 1
            self.bans += 1
            self.until = now + self.ban_seconds * 2 ** (self.bans - 1)
            return 418, ceil(self.until - now), used
        if used > self.limit:
            self.violations += 1
            self.until = began + self.length
            return 429, max(1, ceil(self.until - now)), used
        return 200, 0, used
