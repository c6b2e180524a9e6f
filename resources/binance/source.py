"""Daily bars of Binance Spot, under the interface of a market source."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from resources.binance.ingest import Ingest, Ingested, fetch_exchange_info
from resources.binance.market_lake import MarketLake
from resources.binance.progress import current_progress
from resources.binance.settings import BinanceSettings
from resources.binance.survey import Request
from resources.lake import Lake
from sleevegraph.errors import BarsError, TransferError
from sleevegraph.manifest import MarketProfile
from sleevegraph.market_data.daily import daily_bars
from sleevegraph.market_data.datasets import DAILY, DATASETS, Dataset
from sleevegraph.market_data.planning import NAMED

EXCHANGE_INFO = ("exchange_info",)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which bars a home is about. No `symbols` means all that trade in one of `quotes`."""

    quotes: tuple[str, ...]
    first: date | None = None
    symbols: tuple[str, ...] = ()
    asked: frozenset[str] = frozenset({"from", "symbols"})
    """What was asked for now: not to have it is an error. The rest is remembered, perhaps from another dataset."""


@dataclass(slots=True)
class BinanceSource:
    """The public archive, and REST for what it does not have yet."""

    settings: BinanceSettings
    lake: Lake
    market_lake: MarketLake
    market: MarketProfile
    scope: Scope
    remember: Callable[["BinanceSource"], None]
    """Called before the first row of an ingest is stored."""
    name: str = "binance"
    whole: bool = True
    _figures: dict[str, Any] = field(default_factory=dict)
    _incomplete: str = ""

    def describe(self) -> str:
        """What is asked, and for what."""
        what = ", ".join(self.scope.symbols) or f"every symbol quoted in {', '.join(self.scope.quotes)}"
        return f"Binance: {what} since {self.scope.first or 'its listing'}, from {self.settings.archive_url}"

    def fetch(self, known: pl.DataFrame | None) -> pl.DataFrame:
        """Every daily bar that this home holds once the archive and the exchange were asked for what is new."""
        del known  # the market lake knows, by file
        dataset = DATASETS[DAILY]
        made = self._ingested(self.request(dataset))
        self._incomplete = made.incomplete
        with self.market_lake.reading(dataset):
            rows = self.market_lake.rows(dataset)
        bars, unsplit = daily_bars(rows, self.pairs(), self.market.symbols, self.market.exchange)
        if bars.is_empty():
            raise BarsError(f"{self.describe()}: expected bars, found none; widen the symbols, quotes or start")
        self._figures = {**figures(made), "without_quote": unsplit}
        return bars

    def figures(self) -> dict[str, Any]:
        """What the last `fetch` did."""
        return self._figures

    def request(self, dataset: Dataset, first: date | None = None, last: date | None = None) -> Request:
        """Ask for a dataset within the home's scope; without days, for all of it."""
        scope = self.scope
        begin = first or scope.first
        begins_as_asked = "from" in scope.asked and _month(begin) == _month(scope.first)
        return Request(
            dataset,
            scope.quotes,
            begin,
            last,
            scope.symbols,
            require_first=begins_as_asked,
            require_symbols="symbols" in scope.asked,
            keep=not {"symbols", "quotes"} & scope.asked,
        )

    def incomplete(self) -> str:
        """What the last `fetch` could not have; what it could is in its bars."""
        return self._incomplete

    def ingest(self, request: Request, *, dry_run: bool = False) -> Ingested:
        """Bring the market lake up to date; TransferError, once the rest is stored, where something could not be had."""
        made = self._ingested(request, dry_run=dry_run)
        if made.incomplete and not dry_run:
            raise TransferError(made.incomplete)
        return made

    def _ingested(self, request: Request, *, dry_run: bool = False) -> Ingested:
        """Fetch what is new, and keep what the exchange says of its symbols today."""
        progress = current_progress()
        ingest = Ingest(self.market_lake, self.settings, self.market.symbols, self.pairs(), progress)
        made = ingest.run(request, lambda: self.remember(self), dry_run=dry_run)
        if made.info is not None and not dry_run:
            self.keep_info(made.info)
        return made

    def info_before(self, day: date) -> pl.DataFrame | None:
        """The newest snapshot of the exchange's symbols that is of an earlier day."""
        days = [known for known in self.lake.partitions(EXCHANGE_INFO) if known < str(day)]
        return self.lake.read(EXCHANGE_INFO, days[-1]) if days else None

    def fetch_info(self) -> pl.DataFrame:
        """Ask the exchange for its symbols, and keep the answer."""
        info = fetch_exchange_info(self.market_lake, self.settings)
        self.keep_info(info)
        return info

    def keep_info(self, info: pl.DataFrame) -> None:
        """Store a snapshot of the exchange's symbols under the day it is of."""
        self.lake.write(EXCHANGE_INFO, f"{info['as_of'][0]:%Y-%m-%d}", info)

    def pairs(self) -> dict[str, tuple[str, str]]:
        """Base and quote of every symbol that the exchange ever named to this home."""
        return known_pairs(self.lake)


def known_pairs(lake: Lake) -> dict[str, tuple[str, str]]:
    """Base and quote of every symbol that any snapshot of the exchange names, as the newest of those has them."""
    days = lake.partitions(EXCHANGE_INFO)
    if not days:
        return {}
    named = lake.scan(EXCHANGE_INFO).select("symbol", "base_asset", "quote_asset", "as_of")
    try:
        newest = named.sort("as_of").unique("symbol", keep="last").sort("symbol").collect()
    except PolarsError:
        for day in days:
            lake.read(EXCHANGE_INFO, day)  # raises with the name of the file that cannot be read
        raise
    return {symbol: (base, quote) for symbol, base, quote, _ in newest.iter_rows()}


def figures(made: Ingested) -> dict[str, Any]:
    """What an ingest did, for metadata."""
    result, totals, answers = made.transferred, made.survey.totals, made.answers
    return {
        "ingested_symbols": len(made.survey.symbols),
        "files": result.files,
        "files_unchanged": totals.unchanged,
        "files_resumed": result.resumed,
        "files_restated": result.restated,
        "files_vanished": totals.first_vanished,
        "files_quarantined": result.quarantined.count,
        "quarantined": result.quarantined.reasons,
        "bytes_transferred": result.transferred,
        "rows_added": result.added,
        "rows_revised": result.revised,
        "rows_from_rest": answers.rows,
        "rest_hosts": sorted(answers.hosts),
        "refused_names": made.survey.refused[:NAMED],
    }


def _month(day: date | None) -> str:
    return f"{day:%Y-%m}" if day else ""
