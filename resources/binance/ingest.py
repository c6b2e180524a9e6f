"""One ingest: survey, transfer, and the newest bars from REST."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from resources.binance.archive import Archive
from resources.binance.lock import ingest_lock
from resources.binance.market_lake import SPOOL, MarketLake
from resources.binance.newest import Answers, Newest
from resources.binance.pipeline import Pipeline, Transferred
from resources.binance.progress import Progress
from resources.binance.rest import Rest
from resources.binance.settings import BinanceSettings
from resources.binance.spool import Spool
from resources.binance.survey import Request, Survey, survey
from resources.binance.transport import Transport
from resources.binance.weight_ledger import WeightLedger, weight_ledger
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.choosing import Pairs
from sleevegraph.market_data.exchange_info import exchange_info
from sleevegraph.market_data.hosts import is_foreign

TRADING = "TRADING"


@dataclass(slots=True)
class Ingested:
    """What one ingest did."""

    survey: Survey
    info: pl.DataFrame | None
    """The exchange's symbols as it answered today; None for futures, which only the archive is asked for."""
    transferred: Transferred = field(default_factory=Transferred)
    answers: Answers = field(default_factory=Answers)
    """Of the REST API."""

    @property
    def incomplete(self) -> str:
        """What could not be fetched, in one line; empty when there was nothing of that kind."""
        found = []
        failed, answers = self.transferred.failed, self.answers
        if failed.count:
            key, reason = next(iter(failed.reasons.items()))
            found.append(f"{failed.count} of {self.survey.totals.files} files were not fetched, first {key}: {reason}")
        if answers.refused:
            found.append(answers.refused)
        elif answers.missing:
            symbol, reason = next(iter(answers.missing.items()))
            found.append(f"newest bars of {len(answers.missing)} symbols were not answered, first {symbol}: {reason}")
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
            Another ingest is at work in this home, or its account of requests cannot be used.
        TransferError
            The archive's listing could not be had. Files and bars that could not are in the result, as `incomplete`.
        """
        root = self._lake.root
        if dry_run:  # writes nothing, not even a lock, but what it asks into the account of a home that has one
            with self._lake.reading(request.dataset), weight_ledger(root, keep=False) as ledger:
                return asyncio.run(self._run(request, begin, ledger, dry_run=True))
        with (
            ingest_lock(root / "ingest.lock"),
            self._lake.reading(request.dataset),
            weight_ledger(root, keep=True) as ledger,
        ):
            self._lake.sweep()
            return asyncio.run(self._run(request, begin, ledger, dry_run=False))

    async def _run(
        self, request: Request, begin: Callable[[], None], ledger: WeightLedger, *, dry_run: bool
    ) -> Ingested:
        dataset, settings = request.dataset, self._settings
        async with Transport(settings) as transport:
            rest = Rest(transport, settings, ledger)
            info, unanswered = await _info_of(rest) if dataset.market == "spot" else (None, "")
            own = info is not None and not is_foreign(rest.host)
            pairs = {**self._pairs, **pairs_of(info)} if own else self._pairs
            # A symbol that another exchange alone has would never be replaced by a file of the archive.
            trading = [] if info is None else info.filter(pl.col("status") == TRADING)["symbol"].to_list()
            lake, progress, size = self._lake, self._progress, settings.concurrency
            with TemporaryDirectory(prefix=SPOOL, dir=None if dry_run else lake.root) as folder:
                archive, spool = Archive(transport, settings), Spool(Path(folder))
                chosen = trading if own else ()
                found = await survey(request, archive, lake, spool, chosen, pairs, self._rules, size, progress)
                made = Ingested(found, info if own else None, answers=Answers(refused=unanswered))
                if dry_run:
                    return made
                if found.totals.files:
                    begin()
                progress.begin("files", found.totals.files)
                made.transferred = await Pipeline(dataset, lake, archive, progress).run(spool.planned(), size)
            if info is not None and request.last is None:
                newest = Newest(dataset, lake, rest, progress)
                made.answers = await newest.fetch(set(trading), set(found.symbols), request.first, size)
        return made


def fetch_exchange_info(lake: MarketLake, settings: BinanceSettings) -> pl.DataFrame:
    """Symbols and their trading rules as the exchange answers now; TransferError where no host does.

    The lake only gets the entry of the request into its account.
    """

    async def ask(ledger: WeightLedger) -> pl.DataFrame:
        async with Transport(settings) as transport:
            return await _info(Rest(transport, settings, ledger))

    with weight_ledger(lake.root, keep=True) as ledger:
        return asyncio.run(ask(ledger))


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
