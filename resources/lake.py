"""The lake: one Parquet file per asset and partition, and the only door to market bars."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import polars as pl
from polars.exceptions import PolarsError

from resources import places
from resources.frames import Frames
from resources.places import ChangedError, Place, Version
from sleevegraph.audit.bars_days import day_hashes
from sleevegraph.bars import BAR_SCHEMA, MergeReport, merge_bars
from sleevegraph.errors import LakeError
from sleevegraph.panel import VALUES, Panel, build_panel

AssetPath = tuple[str, ...]
T = TypeVar("T")

BARS: AssetPath = ("daily_bars",)
CORROBORATION: AssetPath = ("corroboration",)
_STATUS, _REASON, _TELEMETRY = "sleevegraph_status", "sleevegraph_reason", "sleevegraph_telemetry"
_BARS = "sleevegraph_bars"
"""Keys in a Parquet file's own metadata."""

SUFFIX = ".parquet"
PATIENCE = 3
"""How often bars are read that another process replaces meanwhile."""

_FRAMES = Frames(limit=2**28)
"""A child of several metas is read by each of them, by their checks and by every report: its file is opened once."""


class Status(StrEnum):
    """How a partition stands; anything but OK says why and may be empty."""

    OK = "OK"
    CASH = "CASH"
    """Decided on purpose: the sleeve holds nothing in this window."""
    BLOCKED = "BLOCKED"
    """Not decided: a gate or an error stood in the way, and the last certified weights stay in force."""


class AbsentError(LakeError):
    """A partition that is not stored."""


class Lake:
    """Partitions under `root`; every write is atomic, every read says what is missing."""

    def __init__(self, root: Place) -> None:
        """Use the folder `root`, on a disk or in object storage, which need not exist yet."""
        self.root = root

    def path(self, asset: AssetPath, partition: str) -> Place:
        """Where a partition is or would be."""
        return self.root.joinpath(*asset, f"{partition}{SUFFIX}")

    def has(self, asset: AssetPath, partition: str) -> bool:
        """Whether a partition is stored."""
        return places.version(self.path(asset, partition)) is not None

    def partitions(self, asset: AssetPath) -> list[str]:
        """Stored partition keys, ascending."""
        stored = places.names(self.root.joinpath(*asset))
        return [name.removesuffix(SUFFIX) for name in stored if name.endswith(SUFFIX)]

    def stored(self) -> list[tuple[AssetPath, str]]:
        """Every partition of every asset, ascending."""
        files = (parts for parts in places.below(self.root) if parts[-1].endswith(SUFFIX))
        return [(asset, name.removesuffix(SUFFIX)) for *above, name in files for asset in [tuple(above)]]

    def size(self, asset: AssetPath, partition: str) -> int:
        """Bytes of a stored partition."""
        return int(self._existing(asset, partition)[1][-1])

    def write(
        self,
        asset: AssetPath,
        partition: str,
        frame: pl.DataFrame,
        status: Status = Status.OK,
        reason: str = "",
        telemetry: Sequence[str] = (),
        made_of: str = "",
    ) -> str:
        """Store a partition and return its digest; one that stands OK must have rows.

        `telemetry` names columns that say how the rows were made, such as a time taken: they are stored, but not part
        of what is judged, so the digest leaves them out. `made_of` is the digest of the bars that the rows were made of.
        """
        if frame.is_empty() and status is Status.OK:
            raise LakeError(f"{'/'.join(asset)} {partition}: expected rows, found none; nothing was written")
        metadata = {_STATUS: status.value, _REASON: reason}
        metadata |= {_TELEMETRY: ",".join(telemetry)} if telemetry else {}
        metadata |= {_BARS: made_of} if made_of else {}
        path = self.path(asset, partition)
        places.fill(path, lambda target: frame.write_parquet(target, metadata=metadata))
        return digest(path)

    def remove(self, asset: AssetPath, partition: str) -> None:
        """Delete a partition that may be stored."""
        places.remove(self.path(asset, partition))

    def read(self, asset: AssetPath, partition: str) -> pl.DataFrame:
        """Return a stored partition; LakeError when absent or unreadable."""
        path, _ = self._existing(asset, partition)
        try:
            return _FRAMES.read(path)
        except PolarsError as error:
            raise self._unreadable(asset, partition, error) from error

    def standing(self, asset: AssetPath, partition: str) -> tuple[Status, str]:
        """How the stored partition stands, and why."""
        metadata = self._metadata(asset, partition)
        return Status(metadata.get(_STATUS, Status.OK)), metadata.get(_REASON, "")

    def made_of(self, asset: AssetPath, partition: str) -> str:
        """Digest of the bars that a stored partition was made of; empty where it does not say."""
        return self._metadata(asset, partition).get(_BARS, "")

    def rows(self, asset: AssetPath, partition: str) -> int:
        """How many rows a stored partition has."""
        counted = self._settled(lambda: pl.scan_parquet(self._source(asset, partition), glob=False).select(pl.len()))
        return int(counted.collect().item())

    def digest(self, asset: AssetPath, partition: str) -> str:
        """SHA-256 of a stored partition, its telemetry left out."""
        return self._settled(lambda: digest(*self._existing(asset, partition)))

    def scan(self, asset: AssetPath) -> pl.LazyFrame:
        """Every partition of an asset, lazily; a blocked one has no rows."""
        partitions = self.partitions(asset)
        if not partitions:
            raise LakeError(f"{'/'.join(asset)}: expected partitions under {self.root}, found none; run a backfill")
        return self._settled(lambda: self._scanned(asset, partitions))

    def has_bars(self) -> bool:
        """Whether any bar was ingested."""
        return bool(self.partitions(BARS))

    def bars_before(self, at: date, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Every bar dated before `at`, of some symbols or all, sorted by symbol and date: the only way to bars."""
        months = [m for m in self.partitions(BARS) if m <= f"{at:%Y-%m}"]
        if not months:
            raise LakeError(f"daily_bars: expected bars before {at}, found none under {self.root}; run an ingest")
        try:
            known = self._settled(lambda: self._scanned(BARS, months)).filter(pl.col("date") < at)
            chosen = known if symbols is None else known.filter(pl.col("symbol").is_in(list(symbols)))
            return chosen.sort("symbol", "date").collect()
        except PolarsError:
            for month in months:
                self.read(BARS, month)  # raises with the name of the file that cannot be read
            raise

    def bars_digest(self, at: date) -> str:
        """SHA-256 over the hashes of all days before `at`; later bars do not change it, revised ones do."""
        return self._settled(lambda: _bars_digest(at, *self._bars_files()))

    def panel_before(self, at: date) -> Panel:
        """`bars_before`, as matrices that nobody can write to: every asset of a run reads the same ones."""
        return self._settled(lambda: _panel_before(self.root, at, *self._bars_files()))

    def newest_bar(self) -> date | None:
        """Date of the last bar, from the bars themselves."""
        months = self.partitions(BARS)
        newest = self.read(BARS, months[-1])["date"].max() if months else None
        return newest if isinstance(newest, date) else None

    def store_bars(self, incoming: pl.DataFrame, *, whole: bool = False) -> MergeReport:
        """Merge bars into the monthly files; newest record wins, unchanged months are not touched.

        With `whole`, `incoming` is all there is, and a stored bar that it lacks is withdrawn.
        """
        known = self.known_bars()
        merged, report = merge_bars(known, incoming, whole=whole)
        month = pl.col("date").dt.strftime("%Y-%m").alias("month")
        before = known.with_columns(month).partition_by("month", include_key=False, as_dict=True)
        after = merged.with_columns(month).partition_by("month", include_key=False, as_dict=True)
        for key, bars in after.items():
            if key not in before or not bars.equals(before[key]):
                self.write(BARS, str(key[0]), bars)
        for key in before.keys() - after.keys():
            self.remove(BARS, str(key[0]))
        return report

    def known_bars(self) -> pl.DataFrame:
        """All stored bars, for ingestion only: decisions use `bars_before`."""
        frames = [self.read(BARS, month) for month in self.partitions(BARS)]
        return pl.concat(frames).sort("symbol", "date") if frames else BAR_SCHEMA.to_frame()

    def one_look(self) -> AbstractContextManager[None]:
        """See `places.one_look`; of the verdicts and bundles beside this lake as well."""
        return places.one_look(self.root)

    def _bars_files(self) -> list[tuple[Place, Version]]:
        """Files of bars, and what changes with each of them."""
        with self.one_look():
            return [self._existing(BARS, month) for month in self.partitions(BARS)]

    def _scanned(self, asset: AssetPath, partitions: Sequence[str]) -> pl.LazyFrame:
        """Stored partitions below each other."""
        with self.one_look():
            sources = list(places.for_each(self.root, lambda partition: self._source(asset, partition), partitions))
        return pl.scan_parquet(sources, glob=False)

    def _source(self, asset: AssetPath, partition: str) -> Path | BytesIO:
        return places.source(*self._existing(asset, partition))

    def _settled(self, read: Callable[[], T]) -> T:
        """What is read, again where another process replaced it meanwhile."""
        for _ in range(PATIENCE - 1):
            with suppress(ChangedError):
                return read()
        return read()

    def _metadata(self, asset: AssetPath, partition: str) -> dict[str, str]:
        try:
            return self._settled(lambda: pl.read_parquet_metadata(self._source(asset, partition)))
        except PolarsError as error:
            raise self._unreadable(asset, partition, error) from error

    def _existing(self, asset: AssetPath, partition: str) -> tuple[Place, Version]:
        path = self.path(asset, partition)
        version = places.version(path)
        if version is None:
            raise AbsentError(
                f"{'/'.join(asset)} {partition}: expected a stored partition at {path}, found none; materialise it first"
            )
        return path, version

    def _unreadable(self, asset: AssetPath, partition: str, error: PolarsError) -> LakeError:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return LakeError(
            f"{'/'.join(asset)} {partition}: expected a Parquet file at {self.path(asset, partition)}, "
            f"found one that cannot be read ({first}); delete it and materialise the partition again"
        )


@lru_cache(maxsize=2)
def _panel_before(root: Place, at: date, *_files: tuple[Place, Version]) -> Panel:
    panel = build_panel(Lake(root).bars_before(at))
    for matrix in (panel.dates, panel.first_bar, panel.returns, *(getattr(panel, name) for name in VALUES)):
        matrix.flags.writeable = False
    return panel


@lru_cache(maxsize=256)
def _bars_digest(at: date, *files: tuple[Place, Version]) -> str:
    """Every gate of every sleeve asks for that of the same few dates."""
    return hashlib.sha256("".join(line for day, line in _hashed_days(*files) if day < at).encode()).hexdigest()


@lru_cache(maxsize=4)
def _hashed_days(*files: tuple[Place, Version]) -> list[tuple[date, str]]:
    """Every day with bars and a line with its hash; files are read once per version, whoever asks."""
    if not files:
        return []
    try:
        first, hashes = day_hashes(pl.concat(pl.read_parquet(places.source(*file), glob=False) for file in files))
    except PolarsError as error:
        raise LakeError(f"daily_bars: expected Parquet files in {files[0][0].parent}, found {error}") from error
    days = [(first + timedelta(days=i), found) for i, found in enumerate(hashes) if found]
    return [(day, f"{day} {found}\n") for day, found in days]


def digest(path: Place, version: Version | None = None) -> str:
    """SHA-256 of a file, in hexadecimal; of a partition with telemetry, of the rest of it. `version` where it is known."""
    version = version or places.version(path)
    if version is None:
        raise FileNotFoundError(path)
    return _digest(path, version)


@lru_cache(maxsize=100_000)
def _digest(path: Place, version: Version) -> str:
    """A guardrail asks for the same few files at every rebalance, so they are read once per version."""
    content = places.exactly(path, version)
    if _TELEMETRY.encode() in content:
        with suppress(PolarsError):  # a damaged file has a digest that nobody judged
            content = _without_telemetry(content)
    return hashlib.sha256(content).hexdigest()


def _without_telemetry(content: bytes) -> bytes:
    metadata = pl.read_parquet_metadata(BytesIO(content))
    kept = pl.read_parquet(BytesIO(content)).drop(metadata[_TELEMETRY].split(","))
    buffer = BytesIO()
    kept.write_parquet(buffer, metadata={key: metadata[key] for key in (_STATUS, _REASON)})
    return buffer.getvalue()
