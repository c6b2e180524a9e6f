"""What the archive lists, who of it is chosen, and what that leaves to fetch."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from resources.binance.archive import Archive, ListedFile
from resources.binance.crew import for_each
from resources.binance.market_lake import MarketLake
from resources.binance.progress import Progress
from resources.binance.spool import Spool
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.choosing import Pairs, choose
from sleevegraph.market_data.datasets import Dataset, files_prefix
from sleevegraph.market_data.planning import LISTED, Plan, Totals, covered, plan, totals, wanted, within


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be ingested. No `symbols` means all that trade in one of `quotes`; no `first` means from the start."""

    dataset: Dataset
    quotes: tuple[str, ...]
    first: date | None = None
    last: date | None = None
    symbols: tuple[str, ...] = ()
    require_first: bool = True
    """Whether it is an error that no file is as old as `first`."""
    require_symbols: bool = True
    """Whether it is an error that the dataset lacks some of `symbols`; else those are left out, unless it has none."""
    keep: bool = False
    """Whether to go on with every symbol that is stored, beside those asked for."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is and how much of it is to be fetched; the files themselves are in the spool."""

    symbols: list[str]
    refused: list[str]
    """Names in the listing that are no symbols."""
    totals: Totals


async def survey(
    request: Request,
    archive: Archive,
    lake: MarketLake,
    spool: Spool,
    trading: Iterable[str],
    pairs: Pairs,
    rules: SymbolRules,
    concurrency: int,
    progress: Progress,
) -> Survey:
    """List the archive, compare it with what is stored, and leave the PLANNED files of every month in `spool`.

    Raises
    ------
    ConfigurationError
        A symbol that was never listed, or a start before any of the chosen symbols was.
    """
    names, refused = await _names(request.dataset, archive)
    names |= set(trading)
    had = tuple(symbol for symbol in request.symbols if symbol in names)
    asked = request.symbols if request.require_symbols or not had else had
    symbols = choose(sorted(names), pairs, rules, asked, request.quotes)
    if request.keep:
        symbols = sorted({*symbols, *lake.last_days(request.dataset)["symbol"]} & names)
    broken = lake.quarantine(request.dataset).files()["key"].to_list()
    begins, inside = dict[str, date](), set[str]()
    progress.begin("listings", len(symbols))

    async def look(symbol: str) -> None:
        found = await _files_of(request, archive, symbol, broken)
        if found:
            begins[symbol] = min(file.period.first for file in found)
        files = within(pl.DataFrame([file.row() for file in found], schema=LISTED), request.first, request.last)
        if files.height:
            inside.add(symbol)
            spool.add(files)
        progress.advance()

    await for_each(symbols, look, concurrency)
    spool.flush()
    if request.require_first:
        _require_listed(request, begins)
    return Survey(symbols, sorted(refused), totals(_plans(request, lake, spool, inside, broken)))


async def _names(dataset: Dataset, archive: Archive) -> tuple[set[str], set[str]]:
    """Symbols that were ever listed, and names that are none."""
    names, refused = set[str](), set[str]()
    for span in dataset.spans:
        found = await archive.symbols(dataset, span)
        names |= set(found.symbols)
        refused |= set(found.refused)
    return names, refused


def _plans(
    request: Request, lake: MarketLake, spool: Spool, symbols: Collection[str], broken: Collection[str]
) -> Iterator[Plan]:
    """The plan of each month that has listed files or rows, which are compared where they are of `symbols`."""
    first, last = request.first, request.last
    for month in sorted({*spool.months(), *lake.months(request.dataset)}):
        if (first and month < f"{first:%Y-%m}") or (last and month > f"{last:%Y-%m}"):
            continue
        stored = lake.sources(request.dataset, [month], LISTED.names()).filter(pl.col("symbol").is_in(symbols))
        listed = wanted(spool.listed(month), first, last, broken)
        made = plan(listed, within(stored, first, last))
        spool.plan(month, listed.with_columns(fetch=pl.col("key").is_in(made.files["key"].implode())))
        yield made


async def _files_of(request: Request, archive: Archive, symbol: str, broken: Collection[str]) -> list[ListedFile]:
    """Monthly files, and from the first month without a whole one on the daily files of such months."""
    dataset = request.dataset
    found: list[ListedFile] = []
    if "monthly" in dataset.spans:
        found = await archive.files(dataset, "monthly", symbol)
    if "daily" in dataset.spans:
        months = {file.period.text for file in found if file.key not in broken}
        after = ""
        if request.first is not None:
            begin = _first_without(months, f"{request.first:%Y-%m}")
            after = f"{files_prefix(dataset, 'daily', symbol)}{symbol}-{dataset.interval or dataset.kind}-{begin}"
        found = found + await archive.files(dataset, "daily", symbol, after, covered(months))
    return found


def _first_without(months: set[str], month: str) -> str:
    """The first month from `month` on that has no monthly file."""
    while month in months:
        year, number = int(month[:4]), int(month[5:])
        month = f"{year + number // 12}-{number % 12 + 1:02d}"
    return month


def _require_listed(request: Request, begins: Mapping[str, date]) -> None:
    """A start before anything was listed is a slip of the pen, which would pass unseen."""
    if request.first is None or not begins:
        return
    begin, symbol = min((day, symbol) for symbol, day in begins.items())
    if f"{request.first:%Y-%m}" < f"{begin:%Y-%m}":
        raise ConfigurationError(
            f"--from: expected {begin:%Y-%m} or later, when {symbol}, the first of the chosen symbols, was listed, "
            f"found {request.first}"
        )
