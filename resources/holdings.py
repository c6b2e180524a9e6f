"""What a home holds of each dataset: its rows in chunks, its files, and what became of those that were fetched."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from resources.binance.market_lake import MarketLake
from resources.binance.quarantine import QUARANTINED
from resources.binance.source import known_pairs
from resources.lake import BARS, Lake
from sleevegraph.coverage import Chunk
from sleevegraph.manifest import SymbolRules
from sleevegraph.market_data.datasets import DATASETS, Dataset
from sleevegraph.readiness.evidence import DAY
from sleevegraph.symbols import split_symbol

DAILY_BARS = BARS[0]
NAMES = (DAILY_BARS, *DATASETS)
"""Everything that can be held."""


class Disk(NamedTuple):
    """Files of rows in the lake, and their bytes."""

    files: int
    bytes: int


class Holding:
    """One dataset of a home, `daily_bars` among them."""

    def __init__(self, name: str, lake: Lake, market: MarketLake) -> None:
        """Nothing is read yet."""
        self.name = name
        self._lake = lake
        self._market = market
        self._dataset: Dataset | None = DATASETS.get(name)

    @property
    def step(self) -> timedelta | None:
        """From one row to the next; None where that differs."""
        return self._dataset.step if self._dataset else DAY

    @cached_property
    def months(self) -> list[str]:
        """Months with rows, ascending."""
        return self._market.months(self._dataset) if self._dataset else self._lake.partitions(BARS)

    def chunks(self) -> Iterator[Chunk]:
        """[symbol, open_time], ascending: at once where a symbol has few rows a month, else month by month."""
        if self._dataset is None:
            yield _first_day(self.months), self._bars.select("symbol", "open_time")
            return
        few = self.step is None or self.step >= DAY
        for months in [self.months] if few else [[month] for month in self.months]:
            yield _first_day(months), self._times(self._dataset, months)

    @cached_property
    def _bars(self) -> pl.DataFrame:
        """[symbol, base, quote, open_time] of the daily bars."""
        open_time = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time")
        try:
            return self._lake.scan(BARS).select("symbol", "base", "quote", open_time).collect()
        except PolarsError:
            self._lake.known_bars()  # raises with the name of the file that cannot be read
            raise

    def _times(self, dataset: Dataset, months: list[str]) -> pl.DataFrame:
        columns = ("symbol", pl.col(dataset.time).alias("open_time"))
        with self._market.reading(dataset):
            archive = self._market.archive(dataset, months).select(*columns).collect()
            return pl.concat([archive, self._market.newer(dataset, months).select(*columns)])

    def disk(self) -> Disk:
        """Files of rows, without what is kept beside them."""
        sizes = list(self._sizes())
        return Disk(len(sizes), sum(sizes))

    def _sizes(self) -> Iterator[int]:
        if self._dataset is None:
            return (self._lake.size(BARS, month) for month in self.months)
        folder = self._market.root / self.name
        files = chain.from_iterable((folder / month).glob("[!.]*.parquet") for month in self.months)
        return (path.stat().st_size for path in files)

    def archive_files(self) -> int | None:
        """How many files of the archive the rows come from; None where there is no archive."""
        if self._dataset is None:
            return None
        return self._market.calendar(self._dataset, ["status"]).filter(pl.col("status") == "stored").height

    def rest(self) -> dict[str, int]:
        """Rows that come from the REST API because the archive has none, by host."""
        if self._dataset is None:
            return {}
        counts = Counter[str]()
        for month in self.months:
            counts.update(self._market.newer(self._dataset, [month])["host"])
        return dict(sorted(counts.items()))

    def quarantined(self) -> pl.DataFrame:
        """QUARANTINED rows."""
        if self._dataset is None:
            return QUARANTINED.to_frame()
        return self._market.quarantine(self._dataset).files()

    def revisions(self) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
        """(rows before and after, files restated) of every revision, oldest first."""
        return self._market.revisions(self._dataset) if self._dataset else []

    def names(self, symbols: list[str], rules: SymbolRules) -> pl.DataFrame:
        """[symbol, base, quote] of those that can be read."""
        if self._dataset is None:
            return self._bars.select("symbol", "base", "quote").unique("symbol")
        pairs = known_pairs(self._lake)
        split = {symbol: split_symbol(symbol, pairs, rules) for symbol in symbols}
        rows = [(symbol, *pair) for symbol, pair in split.items() if pair]
        return pl.DataFrame(rows, schema=dict.fromkeys(("symbol", "base", "quote"), pl.String()), orient="row")


def holdings(lake: Lake, market: MarketLake) -> dict[str, Holding]:
    """Every dataset with rows, by name."""
    every = {name: Holding(name, lake, market) for name in NAMES}
    return {name: holding for name, holding in every.items() if holding.months}


def _first_day(months: list[str]) -> date:
    return date.fromisoformat(f"{months[0]}-01")
