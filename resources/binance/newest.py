"""Bars that are over and that the archive does not have yet, from the REST API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from resources.binance.crew import for_each
from resources.binance.market_lake import MarketLake
from resources.binance.pipeline import GIVE_UP_AFTER
from resources.binance.progress import Progress
from resources.binance.rest import Rest
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.hosts import FOREIGN_HOSTS, is_foreign
from sleevegraph.market_data.tail import WINDOW, days_of, holes, last_closed, tail

ENDED_LATELY = timedelta(days=10)
"""So long after its last bar the exchange is asked whether there were more, whatever its status."""


@dataclass(slots=True)
class Answers:
    """What the REST API gave."""

    rows: int = 0
    hosts: set[str] = field(default_factory=set)
    refused: str = ""
    """Why it was asked no further."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why some symbols have no answer."""


class Newest:
    """The newest bars of one dataset."""

    def __init__(self, dataset: Dataset, lake: MarketLake, rest: Rest, progress: Progress) -> None:
        """Store into `lake` what `rest` answers."""
        self._dataset = dataset
        self._lake = lake
        self._rest = rest
        self._progress = progress

    async def fetch(self, trading: set[str], symbols: set[str], first: date | None, concurrency: int) -> Answers:
        """Ask for bars of those `symbols` that are `trading` or ended lately; since `first` where the archive has none."""
        answers, step = Answers(), self._dataset.step
        if step is None:
            return answers
        try:
            closed = last_closed(await self._rest.server_time(), step)
            wanted, once = self._wanted(trading & symbols, symbols - trading, closed, step, first)
            await self._ask(wanted, once, closed, closed + step, concurrency, answers)
        except (ArchiveError, TransferError) as error:
            answers.refused = str(error)
        return answers

    def _wanted(
        self, trading: set[str], others: set[str], closed: datetime, step: timedelta, first: date | None
    ) -> tuple[pl.DataFrame, set[str]]:
        """TAIL rows, and the symbols that are asked for only once, whatever the answer."""
        dataset, lake = self._dataset, self._lake
        months = [month for month in lake.months(dataset) if month >= f"{closed - WINDOW:%Y-%m}"]
        archived, asked = lake.last_days(dataset), lake.asked(dataset)
        newest = self._answered().group_by("symbol").agg(newest=pl.col("open_time").max())
        answered = newest.collect(engine="streaming")
        sources = lake.sources(dataset, months, ["symbol", "first", "last"])
        lacking = holes(days_of(sources, self._answered(months).collect(), closed), archived, asked)
        ended = self._ended(months, closed, asked) & others
        wanted = tail(sorted(trading | ended), archived, answered, lacking, closed, step, first)
        return wanted, {*ended, *lacking["symbol"]}

    def _answered(self, months: Sequence[str] | None = None) -> pl.LazyFrame:
        """[symbol, open_time] of what was answered before, by this exchange."""
        rest = self._lake.rest(self._dataset, months).filter(~pl.col("host").str.contains(FOREIGN_HOSTS))
        return rest.select("symbol", "open_time")

    def _ended(self, months: Sequence[str], closed: datetime, asked: Mapping[str, datetime]) -> set[str]:
        """Symbols whose bars ended lately, until the exchange was asked once for what comes after the last one.

        The archive brings their last days later, when the rebalances that needed them are made.
        """
        archived = self._lake.archive(self._dataset, months).select("symbol", "open_time")
        newest = pl.concat([archived, self._answered(months)]).group_by("symbol").agg(pl.col("open_time").max())
        return {
            symbol
            for symbol, last in newest.filter(pl.col("open_time") >= closed - ENDED_LATELY).collect().iter_rows()
            if asked.get(symbol, last) <= last
        }

    async def _ask(
        self, wanted: pl.DataFrame, once: set[str], closed: datetime, end: datetime, concurrency: int, answers: Answers
    ) -> None:
        """Store the bars of `wanted` (TAIL) that open before `end`, also where the last ones are not answered."""
        frames, silent = list[pl.DataFrame](), dict[str, datetime]()
        self._progress.begin("bars of the exchange", wanted.height)

        async def ask(item: tuple[str, datetime]) -> None:
            symbol, start = item
            try:
                answer = await self._rest.klines(self._dataset, symbol, start, end)
            except (ArchiveError, TransferError) as error:
                # One symbol that is answered badly for good must not cost the others their newest bars.
                answers.missing[symbol] = str(error)
                if len(answers.missing) >= GIVE_UP_AFTER:
                    raise
                return
            if symbol in once:
                silent[symbol] = closed
            if answer is not None and answer.frame.height:
                frames.append(answer.frame.with_columns(host=pl.lit(answer.host), fetched_at=pl.lit(answer.fetched_at)))
            self._progress.advance()

        try:
            await for_each(wanted.iter_rows(), ask, concurrency)
        finally:
            if frames:
                rows = pl.concat(frames).with_columns(pl.col("fetched_at").dt.convert_time_zone("UTC")).sort("symbol")
                self._lake.store_rest(self._dataset, rows)
                answers.rows, answers.hosts = rows.height, set(rows["host"])
            if silent and not is_foreign(self._rest.host):
                self._lake.store_asked(self._dataset, silent)
