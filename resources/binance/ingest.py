"""One ingest: survey, transfer, the tail from REST, and the calendar of what the archive has."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from resources.binance.archive import Archive
from resources.binance.crew import for_each
from resources.binance.lock import ingest_lock
from resources.binance.market_lake import MarketLake
from resources.binance.pipeline import GIVE_UP_AFTER, Pipeline, Transferred
from resources.binance.progress import Progress
from resources.binance.rest import Rest
from resources.binance.settings import BinanceSettings
from resources.binance.survey import Request, Survey, survey
from resources.binance.transport import Transport
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.choosing import Pairs
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.exchange_info import exchange_info
from sleevegraph.market_data.hosts import FOREIGN_HOSTS, is_foreign
from sleevegraph.market_data.planning import LISTED
from sleevegraph.market_data.tail import days_of, holes, last_closed, tail

TRADING = "TRADING"

ENDED_LATELY = timedelta(days=10)
"""So long after its last bar the exchange is asked whether there were more, whatever its status."""


@dataclass(slots=True)
class Ingested:
    """What one ingest did."""

    survey: Survey
    info: pl.DataFrame | None
    """The exchange's symbols as it answered today; None for futures, which only the archive is asked for."""
    transferred: Transferred = field(default_factory=Transferred)
    rest_rows: int = 0
    rest_hosts: set[str] = field(default_factory=set)
    unanswered: str = ""
    """Why the REST API was asked no further."""
    unanswered_symbols: dict[str, str] = field(default_factory=dict)
    """Why some symbols have no answer of the REST API."""

    @property
    def incomplete(self) -> str:
        """What could not be fetched, in one line; empty when there was nothing of that kind."""
        found = []
        failed = self.transferred.failed
        if failed:
            key, reason = next(iter(failed.items()))
            found.append(
                f"{len(failed)} of {self.survey.plan.files.height} files were not fetched, first {key}: {reason}"
            )
        if self.unanswered:
            found.append(self.unanswered)
        elif self.unanswered_symbols:
            symbol, reason = next(iter(self.unanswered_symbols.items()))
            found.append(
                f"newest bars of {len(self.unanswered_symbols)} symbols were not answered, first {symbol}: {reason}"
            )
        return "; ".join([*found, "everything else is stored, and the next ingest goes on from there"]) if found else ""


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
            The archive's listing could not be had. Files and bars that could not are in the result, as `incomplete`.
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
            rest = Rest(transport, settings)
            info, unanswered = await _info_of(rest) if dataset.market == "spot" else (None, "")
            own = info is not None and not is_foreign(rest.host)
            pairs = {**self._pairs, **pairs_of(info)} if own else self._pairs
            # A symbol that another exchange alone has would never be replaced by a file of the archive.
            trading = [] if info is None else info.filter(pl.col("status") == TRADING)["symbol"].to_list()
            archive, lake = Archive(transport, settings), self._lake
            stored = lake.sources(dataset, columns=LISTED.names())
            broken = lake.quarantine(dataset).files()["key"].to_list()
            found = await survey(
                request,
                archive,
                stored,
                broken,
                trading if own else (),
                pairs,
                self._rules,
                settings.concurrency,
                self._progress,
            )
            made = Ingested(found, info if own else None, unanswered=unanswered)
            if dry_run:
                return made
            files = found.plan.files
            if files.height:
                begin()
            self._progress.begin("files", files.height)
            result = made.transferred = await Pipeline(dataset, lake, archive, self._progress).run(
                files, settings.concurrency
            )
            lake.store_calendar(dataset, found.listed, result.quarantined, result.failed)
            if info is not None and request.last is None:
                try:
                    await self._ask(request, rest, set(trading) & set(found.symbols), made)
                except (ArchiveError, TransferError) as error:
                    made.unanswered = str(error)
        return made

    async def _ask(self, request: Request, rest: Rest, trading: set[str], made: Ingested) -> None:
        """Bars that are over and that the archive does not have yet."""
        dataset = request.dataset
        if dataset.step is None:
            return
        lake, closed = self._lake, last_closed(await rest.server_time(), dataset.step)
        sources = lake.sources(dataset, columns=["symbol", "first", "last"])
        archived = sources.group_by("symbol").agg(pl.col("last").max())
        answered = lake.rest(dataset).filter(~pl.col("host").str.contains(FOREIGN_HOSTS))
        answered = answered.select("symbol", "open_time").collect()
        asked = lake.asked(dataset)
        ended = self._ended(dataset, answered, closed, asked) & (set(made.survey.symbols) - trading)
        lacking = holes(days_of(sources, answered, closed), archived, asked)
        wanted = tail(
            sorted(trading | ended),
            archived,
            answered.group_by("symbol").agg(newest=pl.col("open_time").max()),
            lacking,
            closed,
            dataset.step,
            request.first,
        )
        self._progress.begin("bars of the exchange", wanted.height)
        end, frames = closed + dataset.step, []
        once, silent = {*ended, *lacking["symbol"]}, dict[str, datetime]()

        async def ask(item: tuple[str, datetime]) -> None:
            try:
                answer = await rest.klines(dataset, item[0], item[1], end)
            except (ArchiveError, TransferError) as error:
                # One symbol that is answered badly for good must not cost the others their newest bars.
                made.unanswered_symbols[item[0]] = str(error)
                if len(made.unanswered_symbols) >= GIVE_UP_AFTER:
                    raise
                return
            if item[0] in once:
                silent[item[0]] = closed
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
            if silent and not is_foreign(rest.host):
                self._lake.store_asked(dataset, silent)

    def _ended(
        self, dataset: Dataset, answered: pl.DataFrame, closed: datetime, asked: Mapping[str, datetime]
    ) -> set[str]:
        """Symbols whose bars ended lately, until the exchange was asked once for what comes after the last one.

        The archive brings their last days later, when the rebalances that needed them are made.
        """
        months = [month for month in self._lake.months(dataset) if month >= f"{closed - ENDED_LATELY:%Y-%m}"]
        archived = self._lake.archive(dataset, months).select("symbol", "open_time").collect()
        newest = pl.concat([archived, answered]).group_by("symbol").agg(pl.col("open_time").max())
        return {
            symbol
            for symbol, last in newest.filter(pl.col("open_time") >= closed - ENDED_LATELY).iter_rows()
            if asked.get(symbol, last) <= last
        }


def fetch_exchange_info(settings: BinanceSettings) -> pl.DataFrame:
    """Symbols and their trading rules as the exchange answers now; TransferError where no host does."""

    async def ask() -> pl.DataFrame:
        async with Transport(settings) as transport:
            return await _info(Rest(transport, settings))

    return asyncio.run(ask())


async def _info_of(rest: Rest) -> tuple[pl.DataFrame | None, str]:
    """The exchange's symbols; or none, and why: the archive can be had without them."""
    try:
        return await _info(rest), ""
    except (ArchiveError, TransferError) as error:
        return None, str(error)


async def _info(rest: Rest) -> pl.DataFrame:
    answer = await rest.exchange_info()
    if not isinstance(answer.get("serverTime"), int):
        raise ArchiveError(f"exchangeInfo of {rest.host}: expected serverTime, found {answer.get('serverTime')!r}")
    return exchange_info(answer, datetime.fromtimestamp(answer["serverTime"] / 1000, UTC))


def pairs_of(info: pl.DataFrame) -> Mapping[str, tuple[str, str]]:
    """Base and quote by symbol."""
    return {symbol: (base, quote) for symbol, base, quote in info.select("symbol", "base_asset", "quote_asset").rows()}
