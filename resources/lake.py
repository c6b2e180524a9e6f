"""The lake: one Parquet file per asset and partition, and the only door to market bars."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from resources.atomic import write_atomically
from resources.frames import Frames
from sleevegraph.audit.bars_days import day_hashes
from sleevegraph.bars import BAR_SCHEMA, MergeReport, merge_bars
from sleevegraph.errors import LakeError
from sleevegraph.panel import VALUES, Panel, build_panel

AssetPath = tuple[str, ...]

BARS: AssetPath = ("daily_bars",)
CORROBORATION: AssetPath = ("corroboration",)
_STATUS, _REASON, _TELEMETRY = "sleevegraph_status", "sleevegraph_reason", "sleevegraph_telemetry"
"""Keys in a Parquet file's own metadata."""

_FRAMES = Frames(limit=2**28)
"""A child of several metas is read by each of them, by their checks and by every report: its file is opened once."""


class Status(StrEnum):
    """How a partition stands; anything but OK says why and may be empty."""

    OK = "OK"
    CASH = "CASH"
    """Decided on purpose: the sleeve holds nothing in this window."""
    BLOCKED = "BLOCKED"
    """Not decided: a gate or an error stood in the way, and the last certified weights stay in force."""


class Lake:
    """Partitions under `root`; every write is atomic, every read says what is missing."""

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist yet."""
        self.root = root

    def path(self, asset: AssetPath, partition: str) -> Path:
        """Where a partition is or would be."""
        return self.root.joinpath(*asset) / f"{partition}.parquet"

    def has(self, asset: AssetPath, partition: str) -> bool:
        """Whether a partition is stored."""
        return self.path(asset, partition).is_file()

    def partitions(self, asset: AssetPath) -> list[str]:
        """Stored partition keys, ascending."""
        return sorted(p.stem for p in self.root.joinpath(*asset).glob("[!.]*.parquet"))

    def write(
        self,
        asset: AssetPath,
        partition: str,
        frame: pl.DataFrame,
        status: Status = Status.OK,
        reason: str = "",
        telemetry: Sequence[str] = (),
    ) -> str:
        """Store a partition and return its digest; one that stands OK must have rows.

        `telemetry` names columns that say how the rows were made, such as a time taken: they are stored, but not part
        of what is judged, so the digest leaves them out.
        """
        if frame.is_empty() and status is Status.OK:
            raise LakeError(f"{'/'.join(asset)} {partition}: expected rows, found none; nothing was written")
        metadata = {_STATUS: status.value, _REASON: reason}
        metadata |= {_TELEMETRY: ",".join(telemetry)} if telemetry else {}
        path = self.path(asset, partition)
        write_atomically(path, lambda temporary: frame.write_parquet(temporary, metadata=metadata))
        return digest(path)

    def read(self, asset: AssetPath, partition: str) -> pl.DataFrame:
        """Return a stored partition; LakeError when absent or unreadable."""
        path = self._existing(asset, partition)
        try:
            return _FRAMES.read(path)
        except PolarsError as error:
            raise self._unreadable(asset, partition, error) from error

    def standing(self, asset: AssetPath, partition: str) -> tuple[Status, str]:
        """How the stored partition stands, and why."""
        path = self._existing(asset, partition)
        try:
            metadata = pl.read_parquet_metadata(path)
        except PolarsError as error:
            raise self._unreadable(asset, partition, error) from error
        return Status(metadata.get(_STATUS, Status.OK)), metadata.get(_REASON, "")

    def digest(self, asset: AssetPath, partition: str) -> str:
        """SHA-256 of a stored partition, its telemetry left out."""
        return digest(self._existing(asset, partition))

    def scan(self, asset: AssetPath) -> pl.LazyFrame:
        """Every partition of an asset, lazily; a blocked one has no rows."""
        files = [self.path(asset, partition) for partition in self.partitions(asset)]
        if not files:
            raise LakeError(f"{'/'.join(asset)}: expected partitions under {self.root}, found none; run a backfill")
        return pl.scan_parquet(files, glob=False)

    def has_bars(self) -> bool:
        """Whether any bar was ingested."""
        return bool(self.partitions(BARS))

    def bars_before(self, at: date, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Every bar dated before `at`, of some symbols or all, sorted by symbol and date: the only way to bars."""
        months = [m for m in self.partitions(BARS) if m <= f"{at:%Y-%m}"]
        if not months:
            raise LakeError(f"daily_bars: expected bars before {at}, found none under {self.root}; run an ingest")
        files = [self.path(BARS, month) for month in months]
        try:
            known = pl.scan_parquet(files, glob=False).filter(pl.col("date") < at)
            chosen = known if symbols is None else known.filter(pl.col("symbol").is_in(list(symbols)))
            return chosen.sort("symbol", "date").collect()
        except PolarsError:
            for month in months:
                self.read(BARS, month)  # raises with the name of the file that cannot be read
            raise

    def bars_digest(self, at: date) -> str:
        """SHA-256 over the hashes of all days before `at`; later bars do not change it, revised ones do."""
        days = _hashed_days(*self._bars_files())
        return hashlib.sha256("".join(line for day, line in days if day < at).encode()).hexdigest()

    def panel_before(self, at: date) -> Panel:
        """`bars_before`, as matrices that nobody can write to: every asset of a run reads the same ones."""
        return _panel_before(self.root, at, *self._bars_files())

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
            self.path(BARS, str(key[0])).unlink()
        return report

    def known_bars(self) -> pl.DataFrame:
        """All stored bars, for ingestion only: decisions use `bars_before`."""
        frames = [self.read(BARS, month) for month in self.partitions(BARS)]
        return pl.concat(frames).sort("symbol", "date") if frames else BAR_SCHEMA.to_frame()

    def _bars_files(self) -> list[tuple[Path, int, int]]:
        """Files of bars, and what changes with each of them."""
        stats = [(path, path.stat()) for path in (self.path(BARS, month) for month in self.partitions(BARS))]
        return [(path, stat.st_mtime_ns, stat.st_size) for path, stat in stats]

    def _existing(self, asset: AssetPath, partition: str) -> Path:
        path = self.path(asset, partition)
        if not path.is_file():
            raise LakeError(
                f"{'/'.join(asset)} {partition}: expected a stored partition at {path}, found none; materialise it first"
            )
        return path

    def _unreadable(self, asset: AssetPath, partition: str, error: PolarsError) -> LakeError:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return LakeError(
            f"{'/'.join(asset)} {partition}: expected a Parquet file at {self.path(asset, partition)}, "
            f"found one that cannot be read ({first}); delete it and materialise the partition again"
        )


@lru_cache(maxsize=2)
def _panel_before(root: Path, at: date, *_files: tuple[Path, int, int]) -> Panel:
    panel = build_panel(Lake(root).bars_before(at))
    for matrix in (panel.dates, panel.first_bar, panel.returns, *(getattr(panel, name) for name in VALUES)):
        matrix.flags.writeable = False
    return panel


@lru_cache(maxsize=4)
def _hashed_days(*files: tuple[Path, int, int]) -> list[tuple[date, str]]:
    """Every day with bars and a line with its hash; files are read once per version, whoever asks."""
    if not files:
        return []
    try:
        first, hashes = day_hashes(pl.concat(pl.read_parquet(path, glob=False) for path, *_ in files))
    except PolarsError as error:
        raise LakeError(f"daily_bars: expected Parquet files in {files[0][0].parent}, found {error}") from error
    days = [(first + timedelta(days=i), found) for i, found in enumerate(hashes) if found]
    return [(day, f"{day} {found}\n") for day, found in days]


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; of a partition with telemetry, of the rest of it."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=100_000)
def _digest(path: Path, *_version: int) -> str:
    """A guardrail asks for the same few files at every rebalance, so they are read once per version."""
    content = path.read_bytes()
    if _TELEMETRY.encode() in content:
        with suppress(PolarsError):  # a damaged file has a digest that nobody judged
            content = _without_telemetry(path)
    return hashlib.sha256(content).hexdigest()


def _without_telemetry(path: Path) -> bytes:
    metadata = pl.read_parquet_metadata(path)
    kept = pl.read_parquet(path, glob=False).drop(metadata[_TELEMETRY].split(","))
    buffer = BytesIO()
    kept.write_parquet(buffer, metadata={key: metadata[key] for key in (_STATUS, _REASON)})
    return buffer.getvalue()
