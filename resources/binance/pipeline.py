"""From a plan to stored rows: files are fetched side by side, and a month is stored when its last file is there."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from resources.binance.archive import Archive, BrokenFileError, Download, ListedFile
from resources.binance.crew import for_each
from resources.binance.market_lake import MarketLake, Unit, unit_of
from resources.binance.progress import Progress
from resources.binance.staging import Staging
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.datasets import Dataset, Period
from sleevegraph.market_data.merging import SOURCE, merge
from sleevegraph.market_data.planning import LISTED, NAMED, SOURCES
from sleevegraph.market_data.tables import read_tables

HELD_BYTES = 64 * 2**20
"""Content that waits for the rest of its months; beyond it no further month is begun."""

PARSED_BYTES = 16 * 2**20
"""Of CSV at once: to parse it takes some ten times as much."""

GIVE_UP_AFTER = 5
"""Files in a row of which nothing came: then the host is down, and the rest would only take hours to fail."""


@dataclass(slots=True)
class Lost:
    """Files that were not stored: how many, and why not, by key, of the first NAMED."""

    count: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, reason: str) -> None:
        """One more."""
        self.count += 1
        if len(self.reasons) < NAMED:
            self.reasons[key] = reason


@dataclass(slots=True)
class Transferred:
    """What came of a plan."""

    files: int = 0
    resumed: int = 0
    transferred: int = 0
    added: int = 0
    revised: int = 0
    restated: int = 0
    quarantined: Lost = field(default_factory=Lost)
    failed: Lost = field(default_factory=Lost)


@dataclass(slots=True)
class _Month:
    """The listed files of one month, until what became of all of them is known."""

    name: str
    listed: pl.DataFrame
    waiting: int
    """Units that are not stored yet."""
    lost: dict[str, str] = field(default_factory=dict)
    """Status by key of those files that are not stored."""


@dataclass(slots=True)
class _Batch:
    """The files of one stored unit, as far as they are there."""

    unit: Unit
    month: _Month
    waiting: int
    content: list[Download] = field(default_factory=list)


class Pipeline:
    """One run over one plan."""

    def __init__(self, dataset: Dataset, lake: MarketLake, archive: Archive, progress: Progress) -> None:
        """Store into `lake` what `archive` gives."""
        self._dataset = dataset
        self._lake = lake
        self._archive = archive
        self._progress = progress
        self._staging = Staging(lake.root / "staging" / dataset.name, archive.host)
        self._quarantine = lake.quarantine(dataset)
        self._held: dict[Unit, int] = {}
        self._failures = 0
        self._room = asyncio.Condition()
        self._storing = asyncio.Lock()
        self._result = Transferred()

    async def run(self, months: Iterable[tuple[str, pl.DataFrame]], concurrency: int) -> Transferred:
        """Fetch and store what is to be fetched of each month's PLANNED rows, and what became of them in the calendar.

        Once the host is down, the rest is not asked for: it counts as failed, and what was fetched is stored.
        """
        await for_each(self._queue(months), self._take, concurrency)
        self._staging.clear()
        return self._result

    def _queue(self, months: Iterable[tuple[str, pl.DataFrame]]) -> Iterator[tuple[_Batch, ListedFile]]:
        """The files unit by unit, each made when its turn comes."""
        for name, planned in months:
            listed, files = planned.select(LISTED.names()), planned.filter("fetch")
            shards = {symbol: unit_of(self._dataset, symbol, name).shard for symbol in files["symbol"].unique()}
            shard = pl.col("symbol").replace_strict(shards, return_dtype=pl.Int64).alias("_shard")
            units = files.with_columns(shard).sort("_shard", "key").partition_by("_shard", as_dict=True)
            month = _Month(name, listed, len(units))
            if not units:
                self._close(month)
            for (number,), part in units.items():
                batch = _Batch(Unit(name, number), month, part.height)
                for row in part.iter_rows(named=True):
                    yield batch, _listed_file(row)

    async def _take(self, item: tuple[_Batch, ListedFile]) -> None:
        batch, file = item
        await self._wait_for_room(batch.unit)
        try:
            download = await self._fetched(file)
            batch.content.append(download)
            self._held[batch.unit] += len(download.content)
            self._failures = 0
        except ArchiveError as error:
            body = error.body if isinstance(error, BrokenFileError) else b""
            self._put_aside(batch.month, file, str(error), body)
            self._failures += not body
        except TransferError as error:
            batch.month.lost[file.key] = "failed"
            self._result.failed.add(file.key, str(error))
            self._failures += 1
        self._progress.advance(file.size)
        batch.waiting -= 1
        if not batch.waiting:
            await self._finish(batch)

    async def _wait_for_room(self, unit: Unit) -> None:
        """Begin no further unit while much content waits: whoever comes first in the queue never waits for the others."""
        async with self._room:
            await self._room.wait_for(
                lambda: unit in self._held or not self._held or sum(self._held.values()) < HELD_BYTES
            )
            self._held.setdefault(unit, 0)

    async def _fetched(self, file: ListedFile) -> Download:
        staged = self._staging.take(file)
        if staged is not None:
            self._result.resumed += 1
            return staged
        if self._failures >= GIVE_UP_AFTER:
            raise TransferError("not asked for, since the host had stopped to answer")
        download = await self._archive.download(file)
        self._result.transferred += len(download.body)
        self._staging.keep(file, download)
        return download

    async def _finish(self, batch: _Batch) -> None:
        async with self._storing:
            await asyncio.to_thread(self._store, batch)
        async with self._room:
            del self._held[batch.unit]
            self._room.notify_all()

    def _store(self, batch: _Batch) -> None:
        """Read the files of one unit and put their rows over the stored ones."""
        frames, sources = [], []
        for part in _parts(batch.content):
            rows, broken = read_tables(self._dataset, [(d.file.symbol, d.file.period, d.content) for d in part])
            for number, reason in broken.items():
                self._put_aside(batch.month, part[number].file, f"{part[number].file.key}: {reason}", part[number].body)
            counts = dict(rows.group_by(SOURCE).len().iter_rows())
            sound = pl.DataFrame({SOURCE: sorted(counts)}, schema={SOURCE: pl.UInt32})
            renumbered = sound.with_row_index("_new", offset=len(sources))
            frames.append(rows.join(renumbered, on=SOURCE, maintain_order="left").drop(SOURCE).rename({"_new": SOURCE}))
            sources += [_source(part[number], counts[number]) for number in sound[SOURCE]]
        if sources:
            self._merge(batch, pl.concat(frames), pl.DataFrame(sources, schema=SOURCES))
        self._staging.drop(one.file.key for one in batch.content)
        batch.month.waiting -= 1
        if not batch.month.waiting:
            self._close(batch.month)

    def _merge(self, batch: _Batch, rows: pl.DataFrame, sources: pl.DataFrame) -> None:
        merged = merge(self._lake.read(self._dataset, batch.unit), (rows, sources), self._dataset.time)
        self._lake.commit(self._dataset, batch.unit, merged)
        for key in sources["key"]:
            self._quarantine.release(key)
        result = self._result
        result.files += sources.height
        result.added += merged.added
        result.revised += merged.revised.filter(pl.col("state") == "before").height
        result.restated += merged.restated.height

    def _put_aside(self, month: _Month, file: ListedFile, reason: str, body: bytes = b"") -> None:
        self._quarantine.put(file.key, file.etag, reason, datetime.now(UTC), body)
        month.lost[file.key] = "quarantined"
        self._result.quarantined.add(file.key, reason)

    def _close(self, month: _Month) -> None:
        if month.listed.height:
            self._lake.store_calendar(self._dataset, month.name, month.listed, month.lost)


def _parts(content: Sequence[Download]) -> Iterator[list[Download]]:
    """Files in parts of at most PARSED_BYTES, or of one file."""
    part: list[Download] = []
    size = 0
    for one in content:
        if part and size + len(one.content) > PARSED_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.content)
    if part:
        yield part


def _listed_file(row: Mapping[str, Any]) -> ListedFile:
    """A LISTED row as the archive's client takes it."""
    period = Period(row["period"], row["first"], row["last"])
    return ListedFile(row["key"], row["symbol"], row["span"], period, row["size"], row["etag"], row["checksum_etag"])


def _source(download: Download, rows: int) -> dict[str, object]:
    proved = {"sha256": download.sha256, "rows": rows, "host": download.host, "fetched_at": download.fetched_at}
    return {**download.file.row(), **proved}
