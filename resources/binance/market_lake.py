"""What was fetched of an exchange, by dataset and month: archive rows with their files, and REST rows by host.

A month of a dataset is a few Parquet files, each of a fixed share of the symbols. The provenance of a file's rows stands
in its own footer, so that rows and provenance are replaced in one step.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Final, NamedTuple
from zlib import crc32

import polars as pl
from polars.exceptions import PolarsError

from resources.atomic import write_atomically
from resources.binance.quarantine import Quarantine
from sleevegraph.errors import LakeError
from sleevegraph.market_data.datasets import Dataset
from sleevegraph.market_data.hosts import FOREIGN_HOSTS
from sleevegraph.market_data.merging import SOURCE, Merged
from sleevegraph.market_data.planning import LISTED, SOURCES

SOURCES_KEY: Final = "sleevegraph_sources"
_RESTATED: Final = "sleevegraph_restated"
"""Keys in a Parquet file's own metadata."""

CALENDAR: Final = pl.Schema({**LISTED, "status": pl.String()})
"""`status` is stored, quarantined or failed."""

SPOOL: Final = "listing-"
"""How the names of folders begin in which ingests keep what the archive listed; they are gone when an ingest ends."""

REST_COLUMNS: Final = {"host": pl.String(), "fetched_at": pl.Datetime("us", "UTC")}


class Unit(NamedTuple):
    """One stored file of archive rows: a month of a fixed share of the symbols."""

    month: str
    shard: int


def unit_of(dataset: Dataset, symbol: str, month: str) -> Unit:
    """Where the rows of a symbol's month are stored."""
    return Unit(month, crc32(symbol.encode()) % dataset.shards)


class MarketLake:
    """Rows under `root`; every write is atomic and keeps what it replaces as a revision."""

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist yet."""
        self.root = root

    def months(self, dataset: Dataset) -> list[str]:
        """Months with rows, ascending."""
        folders = self.root.joinpath(dataset.name).glob("????-??")
        return sorted(folder.name for folder in folders if any(folder.glob("[!.]*.parquet")))

    def read(self, dataset: Dataset, unit: Unit) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows and SOURCES of one file; both empty where there is none."""
        path = self._path(dataset, unit)
        if not path.is_file():
            return pl.Schema({**dataset.schema, SOURCE: pl.UInt32()}).to_frame(), SOURCES.to_frame()
        return _rows(path), _sources(path, SOURCES.names())

    @contextmanager
    def reading(self, dataset: Dataset) -> Iterator[None]:
        """Turn what Polars says of a damaged file of a dataset into a LakeError that names the file."""
        try:
            yield
        except PolarsError:
            for path in sorted(self.root.joinpath(dataset.name).rglob("[!.]*.parquet")):
                _rows(path)
            raise

    def commit(self, dataset: Dataset, unit: Unit, merged: Merged) -> None:
        """Store one file's rows, and before that what they revise."""
        if merged.restated.height or merged.revised.height:
            self._keep_revision(dataset, unit, merged)
        self._write(self._path(dataset, unit), merged.rows, {SOURCES_KEY: _json(merged.sources)})

    def sources(
        self, dataset: Dataset, months: Sequence[str] | None = None, columns: Sequence[str] = SOURCES.names()
    ) -> pl.DataFrame:
        """SOURCES of every stored archive row, or some of their columns."""
        files = (_sources(path, columns) for path in self._files(dataset, "archive", months))
        return pl.concat([SOURCES.to_frame().select(columns), *files])

    def last_days(self, dataset: Dataset) -> pl.DataFrame:
        """[symbol, last]: the last day of each stored symbol whose archive file gave rows."""
        days = SOURCES.to_frame().select("symbol", "last")
        for month in self.months(dataset):
            more = self.sources(dataset, [month], days.columns)
            days = pl.concat([days, more]).group_by("symbol").agg(pl.col("last").max())
        return days

    def archive(self, dataset: Dataset, months: Sequence[str] | None = None) -> pl.LazyFrame:
        """Archive rows without order."""
        frames = [_scanned(path).drop(SOURCE) for path in self._files(dataset, "archive", months)]
        return pl.concat([dataset.schema.to_frame().lazy(), *frames])

    def rest(self, dataset: Dataset, months: Sequence[str] | None = None) -> pl.LazyFrame:
        """Rows that REST answered, with host and time of the answer; one bar may have come from several hosts."""
        empty = pl.Schema({**dataset.schema, **REST_COLUMNS}).to_frame().lazy()
        return pl.concat([empty, *map(_scanned, self._files(dataset, "rest", months))])

    def store_rest(self, dataset: Dataset, rows: pl.DataFrame) -> None:
        """Add REST rows, one file per month and host; a bar asked for again replaces the one from the same host."""
        month = pl.col("open_time").dt.strftime("%Y-%m").alias("month")
        for (name, host), group in rows.group_by(month, "host", maintain_order=True):
            slug = sha256(str(host).encode()).hexdigest()[:12]
            path = self.root / dataset.name / str(name) / f"rest-{slug}.parquet"
            known = [_scanned(path).collect()] if path.is_file() else []
            both = pl.concat([*known, group]).unique(["symbol", "open_time"], keep="last", maintain_order=True)
            metadata = {"sleevegraph_host": str(host)}
            self._write(path, both.sort("symbol", "open_time"), metadata)

    def rows(self, dataset: Dataset, months: Sequence[str] | None = None) -> pl.DataFrame:
        """Archive rows, and REST rows where the archive has none, sorted by symbol and time, each once."""
        archive = self.archive(dataset, months).collect()
        if dataset.kind != "klines":
            return archive.sort("symbol", pl.nth(1))
        newer = self.newer(dataset, months).select(dataset.schema.names())
        return pl.concat([archive, newer]).sort("symbol", "open_time")

    def newer(self, dataset: Dataset, months: Sequence[str] | None = None) -> pl.DataFrame:
        """REST rows of bars that the archive has none of, each bar once, with host and time of the answer."""
        foreign = pl.col("host").str.contains(FOREIGN_HOSTS)
        rest = self.rest(dataset, months).sort(foreign, pl.col("fetched_at"), descending=[False, True]).collect()
        if rest.is_empty():
            return rest
        at = ["symbol", "open_time"]
        archive = self.archive(dataset, months).select(at).collect()
        return rest.unique(at, keep="first", maintain_order=True).join(archive, on=at, how="anti")

    def height(self, dataset: Dataset, month: str) -> int:
        """How many rows `rows` gives of one month."""
        time = ["symbol", dataset.time]
        archive = self.archive(dataset, [month]).select(time)
        count = int(archive.select(pl.len()).collect().item())
        if not self._files(dataset, "rest", [month]):
            return count
        newer = self.rest(dataset, [month]).select(time).unique().join(archive, on=time, how="anti")
        return count + int(newer.select(pl.len()).collect().item())

    def sweep(self) -> None:
        """Delete what ingests that were killed left half written; nobody else may be writing."""
        for path in self.root.rglob(".*.tmp"):
            path.unlink()
        for folder in self.root.glob(f"{SPOOL}*"):
            rmtree(folder)

    def asked(self, dataset: Dataset) -> dict[str, datetime]:
        """Until which bar the exchange was asked for symbols that ended lately, or had a day without a file."""
        path = self.root / dataset.name / "asked.json"
        if not path.is_file():
            return {}
        return {symbol: datetime.fromisoformat(text) for symbol, text in json.loads(path.read_text("utf-8")).items()}

    def store_asked(self, dataset: Dataset, asked: Mapping[str, datetime]) -> None:
        """Add to `asked`."""
        known = {symbol: moment.isoformat() for symbol, moment in {**self.asked(dataset), **asked}.items()}
        text = json.dumps(known, ensure_ascii=False, sort_keys=True)
        path = self.root / dataset.name / "asked.json"
        write_atomically(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))

    def quarantine(self, dataset: Dataset) -> Quarantine:
        """Files of a dataset that stayed broken."""
        return Quarantine(self.root / "quarantine" / dataset.name)

    def calendar(self, dataset: Dataset, columns: Sequence[str] = CALENDAR.names()) -> pl.DataFrame:
        """CALENDAR rows, or some of their columns: every file that the archive listed, and what became of it."""
        paths = sorted(self.root.joinpath(dataset.name, "calendar").glob("[!.]*.parquet"))
        return pl.concat([CALENDAR.to_frame().lazy(), *map(_scanned, paths)]).select(columns).collect()

    def store_calendar(self, dataset: Dataset, month: str, listed: pl.DataFrame, lost: Mapping[str, str]) -> None:
        """Put the LISTED rows of one month over those of the same symbols; `lost` has the status of what is not stored."""
        path = self.root / dataset.name / "calendar" / f"{month}.parquet"
        status = pl.col("key").replace_strict(lost, default="stored", return_dtype=CALENDAR["status"])
        fresh = listed.with_columns(status=status).sort("key")
        known = _scanned(path).collect() if path.is_file() else CALENDAR.to_frame()
        if not fresh.equals(known):
            kept = known.join(listed, on="symbol", how="anti")
            self._write(path, pl.concat([kept, fresh]).sort("key"), {})

    def revisions(self, dataset: Dataset) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
        """(rows before and after, files restated) of every revision, oldest first."""
        files = sorted(
            self.root.joinpath("revisions", dataset.name).glob("[!.]*.parquet"), key=lambda p: p.stat().st_mtime_ns
        )
        return [(pl.read_parquet(path, glob=False), _table(path, _RESTATED)) for path in files]

    def _keep_revision(self, dataset: Dataset, unit: Unit, merged: Merged) -> None:
        """Named after what it says, so that a run killed before the rows were replaced writes the same file again."""
        content = merged.restated.drop("fetched_at").write_csv() + merged.revised.write_csv()
        stem = f"{unit.month}-{unit.shard:02d}-{sha256(content.encode()).hexdigest()[:16]}"
        metadata = {_RESTATED: _json(merged.restated)}
        self._write(self.root / "revisions" / dataset.name / f"{stem}.parquet", merged.revised, metadata)

    def _write(self, path: Path, rows: pl.DataFrame, metadata: dict[str, str]) -> None:
        write_atomically(path, lambda temporary: rows.write_parquet(temporary, metadata=metadata))

    def _path(self, dataset: Dataset, unit: Unit) -> Path:
        return self.root / dataset.name / unit.month / f"archive-{unit.shard:02d}.parquet"

    def _files(self, dataset: Dataset, kind: str, months: Sequence[str] | None) -> list[Path]:
        names = self.months(dataset) if months is None else months
        return [path for name in names for path in sorted((self.root / dataset.name / name).glob(f"{kind}-*.parquet"))]


def _rows(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
    except PolarsError as error:
        raise _unreadable(path, error) from error


def _sources(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    return _table(path, SOURCES_KEY).select(_read(column) for column in columns)


def _read(column: str) -> pl.Expr:
    """A column of SOURCES from what `_json` made of it."""
    kind, text = SOURCES[column], pl.col(column)
    if kind == pl.Date:
        return text.str.to_date()
    return text.str.to_datetime("%+", time_unit="us", time_zone="UTC") if kind.is_temporal() else text.cast(kind)


def _json(table: pl.DataFrame) -> str:
    """By column, which is a quarter of the size of rows; days and times as text."""
    text = table.with_columns(pl.col(pl.Date, pl.Datetime).dt.to_string("iso:strict"))
    return json.dumps(text.to_dict(as_series=False), ensure_ascii=False)


def _table(path: Path, key: str) -> pl.DataFrame:
    try:
        return pl.DataFrame(json.loads(pl.read_parquet_metadata(path)[key]))
    except (PolarsError, KeyError, ValueError) as error:
        raise _unreadable(path, error) from error


def _scanned(path: Path) -> pl.LazyFrame:
    """The file as it will be read, once its footer was; LakeError, which names the file, where it has none."""
    frame = pl.scan_parquet(path, glob=False)
    try:
        frame.collect_schema()
    except PolarsError as error:
        raise _unreadable(path, error) from error
    return frame


def _unreadable(path: Path, error: Exception) -> LakeError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return LakeError(
        f"{path}: expected a file written by an ingest, found {first}; delete it and ingest its month again"
    )
