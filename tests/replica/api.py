"""`/api/v3/klines`, `exchangeInfo` and `time`, answered as Binance does by the server's clock."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.replica.web import Answer

STEPS = {"15m": 900_000, "1h": 3_600_000, "1d": 86_400_000}
WEIGHTS = {"klines": 2, "exchangeInfo": 20, "time": 1}
JSON = "application/json;charset=UTF-8"


def refusal(code: int, message: str, status: int = 400) -> Answer:
    return Answer(json.dumps({"code": code, "msg": message}).encode(), status, JSON)


@dataclass(slots=True)
class Api:
    """`listings`: first bar and the end of the last one (ms; none if it goes on), by symbol."""

    folder: Path
    info: dict[str, Any]
    listings: dict[str, list[int | None]]
    now: Callable[[], float]
    bars: dict[tuple[str, str], tuple[list[int], list[str]]] = field(default_factory=dict)

    def time(self) -> Answer:
        return Answer(b'{"serverTime":%d}' % (self.now() * 1000), kind=JSON)

    def exchange_info(self, query: dict[str, str], limit: dict[str, str | int]) -> Answer:
        now = int(self.now() * 1000)
        symbols = [self._described(about, now) for about in self.info["symbols"] if self._listed(about["symbol"], now)]
        if "symbol" in query:
            symbols = [about for about in symbols if about["symbol"] == query["symbol"]]
            if not symbols:
                return refusal(-1121, "Invalid symbol.")
        others = [known for known in self.info["rateLimits"] if known["rateLimitType"] != "REQUEST_WEIGHT"]
        said = {**self.info, "serverTime": now, "rateLimits": [limit, *others], "symbols": symbols}
        return Answer(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(), kind=JSON)

    def klines(self, query: dict[str, str], *, stale: bool = False) -> Answer:
        """Bars that opened in [startTime, endTime], the one in progress among them; a stale answer lacks the newest."""
        symbol, interval = query.get("symbol", ""), query.get("interval", "")
        if not symbol:
            return refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if interval not in STEPS:
            return refusal(-1120, "Invalid interval.")
        now = int(self.now() * 1000)
        try:
            start, end = (int(query[name]) if name in query else None for name in ("startTime", "endTime"))
            limit = min(int(query.get("limit", 500)), 1000)
        except ValueError:
            return refusal(-1100, "Illegal characters found in a parameter.")
        if symbol not in {about["symbol"] for about in self.info["symbols"]} or not self._listed(symbol, now):
            return refusal(-1121, "Invalid symbol.")
        times, rows = self._until(symbol, interval, now)
        if stale:
            closed = bisect_right(times, now - STEPS[interval])
            times, rows = times[: max(closed - 1, 0)], rows[: max(closed - 1, 0)]
        first = bisect_left(times, start) if start is not None else 0
        last = bisect_right(times, end) if end is not None else len(times)
        found = rows[first:last][:limit] if start is not None else rows[first:last][-limit:]
        return Answer(f"[{','.join(found)}]".encode(), kind=JSON)

    def _listed(self, symbol: str, now: int) -> bool:
        first = self.listings.get(symbol, [0])[0]
        return first is None or first <= now

    def _described(self, about: dict[str, Any], now: int) -> dict[str, Any]:
        ended = self.listings.get(about["symbol"], [0, None])[1]
        return {**about, "status": "BREAK"} if ended is not None and ended <= now else about

    def _until(self, symbol: str, interval: str, now: int) -> tuple[list[int], list[str]]:
        """Bars that have opened by `now`; the last one as far as it has come."""
        times, rows = self._stored(symbol, interval)
        step, opened = STEPS[interval], now // STEPS[interval] * STEPS[interval]
        count = bisect_left(times, opened)
        before = times[:count], rows[:count]
        if count < len(times) and times[count] == opened:
            partial = _in_progress(json.loads(rows[count]), (now - opened) / step)
        elif count and count == len(times) and times[-1] == opened - step and self._goes_on(symbol):
            partial = _just_begun(json.loads(rows[-1]), step)
        else:
            return before
        return [*before[0], opened], [*before[1], json.dumps(partial, separators=(",", ":"))]

    def _goes_on(self, symbol: str) -> bool:
        return self.listings.get(symbol, [0, None])[1] is None

    def _stored(self, symbol: str, interval: str) -> tuple[list[int], list[str]]:
        known = self.bars.get((symbol, interval))
        if known is None:
            path = self.folder / "rest" / interval / f"{symbol}.json"
            times, rows = json.loads(path.read_text("utf-8")) if path.is_file() else ([], [])
            known = self.bars[symbol, interval] = (times, rows)
        return known


def _in_progress(row: list[Any], part: float) -> list[Any]:
    """A bar of which `part` (in [0, 1)) has passed: its close on the way, its volumes so far."""
    start, high, low, close = (float(value) for value in row[1:5])
    value = start + (close - start) * part
    top, bottom = max(start, value, start + (high - start) * part), min(start, value, start + (low - start) * part)
    sums = [f"{float(value) * part:.8f}" for value in (row[5], row[7], row[9], row[10])]
    prices = [row[1], *(f"{price:.8f}" for price in (top, bottom, value))]
    return [row[0], *prices, sums[0], row[6], sums[1], int(row[8] * part), *sums[2:], "0"]


def _just_begun(row: list[Any], step: int) -> list[Any]:
    """The bar after `row`, in which nothing has been traded yet."""
    nothing = "0.00000000"
    return [row[0] + step, *[row[4]] * 4, nothing, row[6] + step, nothing, 0, nothing, nothing, "0"]
