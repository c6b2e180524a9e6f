"""Binance's REST API, for what the archive does not have yet."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import httpx
import polars as pl

from resources.binance.api_host import ApiHost, RestrictedError, parsed
from resources.binance.settings import BinanceSettings
from resources.binance.transport import Answer, Transport, UnreachableError
from resources.binance.weight_ledger import WeightLedger
from sleevegraph.errors import ArchiveError, ConfigurationError, TransferError
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.hosts import is_foreign
from sleevegraph.market_data.tables import rest_klines

Result = TypeVar("Result")

API_VARIABLE: Final = "SLEEVEGRAPH_BINANCE_API"
KLINES_WEIGHT: Final = 2
_PAGE: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_UNKNOWN_SYMBOL: Final = -1121
_ILLEGAL_CHARACTERS: Final = -1100


@dataclass(frozen=True, slots=True)
class RestRows:
    """Bars that are over, all of one host."""

    frame: pl.DataFrame
    host: str
    fetched_at: datetime


class Rest:
    """Asks the first host that serves this place and can be reached; it is then asked for everything.

    A host that does not serve this place is left for the next one, whatever that is. One that cannot be reached is not
    left for one of another exchange (`foreign` tells): an outage must not put its prices among those of this one.
    """

    def __init__(
        self,
        transport: Transport,
        settings: BinanceSettings,
        ledger: WeightLedger,
        foreign: Callable[[str], bool] = is_foreign,
    ) -> None:
        self._transport = transport
        self._hosts = [ApiHost(url, transport, ledger) for url in settings.api_urls]
        self._foreign = foreign
        self._at = 0

    @property
    def host(self) -> str:
        """Name of the host in use, as it is recorded with rows."""
        return self._hosts[self._at].name

    async def server_time(self) -> datetime:
        """The exchange's clock, as it was at most a minute ago."""
        return _EPOCH + await self._ask(ApiHost.server_time) * _MILLISECOND

    async def exchange_info(self) -> dict[str, Any]:
        """The exchangeInfo of the host in use, as first answered."""
        return await self._ask(ApiHost.exchange_info)

    async def klines(self, dataset: Dataset, symbol: str, start: datetime, end: datetime) -> RestRows | None:
        """Bars that open in [start, end) and were over before they were asked for; None for an unknown symbol."""
        if (dataset.market, dataset.kind) != ("spot", "klines"):
            raise ConfigurationError(
                f"expected spot klines to ask the REST API for, found {dataset.name}; use the archive"
            )
        first, last = (start - _EPOCH) // _MILLISECOND, (end - _EPOCH) // _MILLISECOND - 1
        return await self._ask(lambda host: self._klines(host, dataset, symbol, first, last))

    async def _klines(self, host: ApiHost, dataset: Dataset, symbol: str, first: int, last: int) -> RestRows | None:
        await host.exchange_info()  # whose limits hold for what follows
        frames = [dataset.schema.to_frame()]
        while first <= last:
            page = await self._transport.insist(partial(_page, host, dataset, symbol, first, last))
            if page is None:
                return None
            frame, full = page
            frames.append(frame)
            if not full:
                break
            first = (frame["open_time"][-1] - _EPOCH) // _MILLISECOND + 1
        return RestRows(pl.concat(frames), host.name, datetime.now(UTC))

    async def _ask(self, job: Callable[[ApiHost], Awaitable[Result]]) -> Result:
        """Do the whole job on one host, so that its rows have one origin."""
        while True:
            host = self._hosts[self._at]
            try:
                return await job(host)
            except (RestrictedError, UnreachableError) as error:
                self._leave(host, error)

    def _leave(self, host: ApiHost, error: TransferError) -> None:
        """Go on to the next host that may stand in, unless another task has done so already."""
        if host is not self._hosts[self._at]:
            return
        later = range(self._at + 1, len(self._hosts))
        others = [at for at in later if isinstance(error, UnreachableError) and not self._same_exchange(at)]
        following = next((at for at in later if at not in others), None)
        if following is not None:
            self._at = following
            return
        which = f"the last of {len(self._hosts)} hosts" if self._at else "the only host"
        if others:
            named = ", ".join(self._hosts[at].name for at in others)
            which = f"{host.name}, with none behind it but those of another exchange ({named}),"
        raise TransferError(
            f"expected an answer from the REST API, found {which} not to give one: {error}; "
            f"set {API_VARIABLE} to hosts that serve you"
        ) from error

    def _same_exchange(self, at: int) -> bool:
        return self._foreign(self._hosts[at].name) == self._foreign(self.host)


async def _page(
    host: ApiHost, dataset: Dataset, symbol: str, first: int, last: int, _attempt: int
) -> tuple[pl.DataFrame, bool] | None:
    """Bars of one page that are over, and whether more may follow; None for an unknown symbol."""
    # Asked before the bars: one that ended before then has ended in the answer, whatever the way took.
    now = await host.server_time()
    asked: dict[str, str | int] = {
        "symbol": symbol,
        "interval": dataset.interval,
        "startTime": first,
        "endTime": last,
        "limit": _PAGE,
    }
    answer = await host.get("/api/v3/klines", asked, KLINES_WEIGHT)
    if _unknown(answer):
        return None
    frame = rest_klines(dataset, symbol, parsed(answer))
    opened = (pl.col("open_time") - _EPOCH).dt.total_milliseconds()
    if frame.height > _PAGE or frame.filter(~opened.is_between(first, last)).height:
        raise ArchiveError(f"{answer.url}: expected at most {_PAGE} bars within the times asked for, found others")
    if dataset.step is None:
        raise ConfigurationError(f"expected a dataset with a step, found {dataset.name}")
    over = frame.filter(opened + dataset.step // _MILLISECOND <= now)
    return over, over.height == _PAGE


def _unknown(answer: Answer) -> bool:
    """Whether the host says that there is no such symbol, or that no symbol has such characters."""
    if answer.status != httpx.codes.BAD_REQUEST:
        return False
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return False
    code = said.get("code") if isinstance(said, dict) else None
    return code == _UNKNOWN_SYMBOL or (code == _ILLEGAL_CHARACTERS and "'symbol'" in str(said.get("msg")))
