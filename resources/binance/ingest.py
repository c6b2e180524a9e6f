"""One ingest: survey, transfer, the tail from REST, and the calendar of what the archive has."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from resources.binance.archive import Archive
from resources.binance.crew import for_each
from resources.binance.lock import ingest_lock
from resources.binance.market_lake import MarketLake
from resources.binance.pipeline import Pipeline, Transferred
from resources.binance.progress import Progress
from resources.binance.rest import Rest
from resources.binance.settings import BinanceSettings
from resources.binance.survey import Request, Survey, survey
from resources.binance.transport import Transport
from sleevegraph.errors import TransferError
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.choosing import Pairs
from sleevegraph.market_data.exchange_info import exchange_info
from sleevegraph.market_data.tail import last_closed, tail

TRADING = "TRADING"


@dataclass(slots=True)
class Ingested:
    """What one ingest did."""

    survey: Survey
    info: pl.DataFrame | None
    """The exchange's symbols as it answered today; None for futures, which only the archive is asked for."""
    transferred: Transferred = field(default_factory=Transferred)
    rest_rows: int = 0
    rest_hosts: set[str] = field(default_factory=set)


class Ingest:
    """Brings a home's market lake up to date."""

    def __init__(
        self, lake: MarketLake, settings: BinanceSettings, rules: SymbolRules, pairs: Pairs, progress: Progress
    ) -> None:
        """Use base and quote of `pairs` for symbols that the exchange no longer names."""
        self._lake = lake
        self._settings = settings
        self._rules = rules
        self._pairs = pairs
        self._progress = progress

    def run(self, request: Request, begin: Callable[[], None], *, dry_run: bool = False) -> Ingested:
        """Fetch what is new or restated; with `dry_run` list only. `begin` is called before the first file is stored.

        Raises
        ------
        ConfigurationError
            What is asked for cannot be had; nothing was fetched.
        LakeError
            Another ingest is at work in this home.
        TransferError
            Some files or bars could not be fetched; everything else is stored, and the next ingest goes on from there.
        """
        if dry_run:  # writes nothing, not even a lock
            with self._lake.reading(request.dataset):
                return asyncio.run(self._run(request, begin, dry_run=True))
        with ingest_lock(self._lake.root / "ingest.lock"), self._lake.reading(request.dataset):
            self._lake.sweep()
            return asyncio.run(self._run(request, begin, dry_run=False))

    async def _run(self, request: Request, begin: Callable[[], None], *, dry_run: bool) -> Ingested:
        dataset, settings = request.dataset, self._settings
        async with Transport(settings) as transport:
            rest = Rest(transport, settings) if dataset.market == "spot" else None
            info = await _info(rest) if rest else None
            pairs = self._pairs if info is None else {**self._pairs, **pairs_of(info)}
            trading = [] if info is None else info.filter(pl.col("status") == TRADING)["symbol"].to_list()
            archive = Archive(transport, settings)
            stored, broken = self._lake.sources(dataset), self._lake.quarantine(dataset).files()["key"].to_list()
            found = await survey(
                request, archive, stored, broken, trading, pairs, self._rules, settings.concurrency, self._progress
            )
            made = Ingested(found, info)
            if dry_run:
                return made
            files = found.plan.files
            if files.height:
                begin()
            self._progress.begin("files", files.height)
            pipeline = Pipeline(dataset, self._lake, archive, self._progress)
            made.transferred = await pipeline.run(files, settings.concurrency)
            result = made.transferred
            self._lake.store_calendar(dataset, found.listed, result.quarantined, result.failed)
            if rest and request.last is None:
                await self._ask(request, rest, sorted(set(trading) & set(found.symbols)), made)
        _require_all(made)
        return made

    async def _ask(self, request: Request, rest: Rest, trading: list[str], made: Ingested) -> None:
        """Bars that are over and that the archive does not have yet."""
        dataset = request.dataset
        if dataset.step is None:
            return
        closed = last_closed(await rest.server_time(), dataset.step)
        sources, answered = self._lake.sources(dataset), self._lake.rest(dataset)
        wanted = tail(
            trading,
            sources.group_by("symbol").agg(pl.col("last").max()),
            answered.group_by("symbol").agg(newest=pl.col("open_time").max()).collect(),
            closed,
            dataset.step,
            request.first,
        )
        self._progress.begin("bars of the exchange", wanted.height)
        end, frames = closed + dataset.step, []

        async def ask(item: tuple[str, datetime]) -> None:
            answer = await rest.klines(dataset, item[0], item[1], end)
            if answer is not None and answer.frame.height:
                frames.append(answer.frame.with_columns(host=pl.lit(answer.host), fetched_at=pl.lit(answer.fetched_at)))
            self._progress.advance()

        try:
            await for_each(list(wanted.iter_rows()), ask, self._settings.concurrency)
        finally:
            if frames:
                rows = pl.concat(frames).with_columns(pl.col("fetched_at").dt.convert_time_zone("UTC")).sort("symbol")
                self._lake.store_rest(dataset, rows)
                made.rest_rows = rows.height
                made.rest_hosts = set(rows["host"])


def fetch_exchange_info(settings: BinanceSettings) -> pl.DataFrame:
    """Symbols and their trading rules as the exchange answers now; TransferError where no host does."""

    async def ask() -> pl.DataFrame:
        async with Transport(settings) as transport:
            return await _info(Rest(transport, settings))

    return asyncio.run(ask())


async def _info(rest: Rest) -> pl.DataFrame:
    answer = await rest.exchange_info()
    return exchange_info(answer, datetime.fromtimestamp(answer["serverTime"] / 1000, UTC))


def pairs_of(info: pl.DataFrame) -> Mapping[str, tuple[str, str]]:
    """Base and quote by symbol."""
    return {symbol: (base, quote) for symbol, base, quote in info.select("symbol", "base_asset", "quote_asset").rows()}


def _require_all(made: Ingested) -> None:
    failed = made.transferred.failed
    if failed:
        key, reason = next(iter(failed.items()))
        raise TransferError(
            f"{len(failed)} of {made.survey.plan.files.height} files could not be fetched, first {key}: {reason}"
        )
