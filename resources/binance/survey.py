"""What the archive lists, who of it is chosen, and what that leaves to fetch."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from resources.binance.archive import Archive, ListedFile
from resources.binance.crew import for_each
from resources.binance.progress import Progress
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.choosing import Pairs, choose
from sleevegraph.market_data.datasets import Dataset, files_prefix
from sleevegraph.market_data.planning import LISTED, Plan, covered, plan, wanted, within


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
    """What there is and what of it is to be fetched."""

    symbols: list[str]
    refused: list[str]
    """Names in the listing that are no symbols."""
    listed: pl.DataFrame
    """LISTED rows of the chosen symbols and days."""
    plan: Plan


async def survey(
    request: Request,
    archive: Archive,
    stored: pl.DataFrame,
    broken: Collection[str],
    trading: Iterable[str],
    pairs: Pairs,
    rules: SymbolRules,
    concurrency: int,
    progress: Progress,
) -> Survey:
    """List the archive and compare it with what is `stored` (SOURCES) and with the keys that are `broken`.

    Raises
    ------
    ConfigurationError
        A symbol that was never listed, or a start before any of the chosen symbols was.
    """
    dataset = request.dataset
    names, refused = set(trading), set[str]()
    for span in dataset.spans:
        found = await archive.symbols(dataset, span)
        names |= set(found.symbols)
        refused |= set(found.refused)
    had = tuple(symbol for symbol in request.symbols if symbol in names)
    asked = request.symbols if request.require_symbols or not had else had
    symbols = choose(sorted(names), pairs, rules, asked, request.quotes)
    if request.keep:
        symbols = sorted({*symbols, *stored["symbol"].unique()} & names)
    frames = [LISTED.to_frame()]
    progress.begin("listings", len(symbols))

    async def look(symbol: str) -> None:
        # As a frame at once: a million files as objects would take gigabytes.
        found = await _files_of(request, archive, symbol, broken)
        frames.append(pl.DataFrame([file.row() for file in found], schema=LISTED))
        progress.advance()

    await for_each(symbols, look, concurrency)
    everything = pl.concat(frames)
    frames.clear()
    if request.require_first:
        _require_listed(request, everything)
    listed = wanted(everything, request.first, request.last, broken)
    return Survey(symbols, sorted(refused), listed, plan(listed, within(stored, request.first, request.last)))


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


def _require_listed(request: Request, listed: pl.DataFrame) -> None:
    """A start before anything was listed is a slip of the pen, which would pass unseen."""
    begin = listed["first"].min()
    if request.first is None or not isinstance(begin, date):
        return
    if f"{request.first:%Y-%m}" < f"{begin:%Y-%m}":
        symbol = listed.filter(pl.col("first") == begin)["symbol"].min()
        raise ConfigurationError(
            f"--from: expected {begin:%Y-%m} or later, when {symbol}, the first of the chosen symbols, was listed, "
            f"found {request.first}"
        )
