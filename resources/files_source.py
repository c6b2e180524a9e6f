"""Bars from Parquet and CSV files that somebody recorded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from sleevegraph.bars import KEY, PRICES, canonical_bars, validate_bars
from sleevegraph.errors import BarsError, ConfigurationError

SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class FilesSource:
    """One Parquet or CSV file of daily bars, or the files of a folder (not of its subfolders)."""

    path: Path
    exchange: str = "BINANCE"
    name: str = "files"
    whole: bool = False

    def describe(self) -> str:
        """What is read."""
        return f"recorded bars from {len(self._files())} files at {self.path}"

    def fetch(self, known: pl.DataFrame | None) -> pl.DataFrame:
        """Every bar of every file; a file that breaks the bar contract is a BarsError that names it."""
        del known  # the files may revise any day
        frames = {file.name: canonical_bars(_read(file), file.name, exchange=self.exchange) for file in self._files()}
        if len(frames) == 1:
            return frames.popitem()[1]
        _require_disjoint(frames)
        bars = pl.concat(frames.values()).sort(KEY)
        validate_bars(bars, str(self.path))  # one base and quote per symbol, also across files
        return bars

    def incomplete(self) -> str:
        """Nothing: all bars are there, or `fetch` raises."""
        return ""

    def figures(self) -> dict[str, Any]:
        """Nothing beyond what is merged."""
        return {}

    def _files(self) -> list[Path]:
        expected = "expected a .parquet or .csv file or a folder of them"
        if self.path.is_dir():
            files = sorted(f for f in self.path.iterdir() if f.is_file() and f.suffix.lower() in SUFFIXES)
            if not files:
                raise ConfigurationError(f"market source files: path {self.path}: {expected}, found none in the folder")
            return files
        if not self.path.exists():
            raise ConfigurationError(f"market source files: path {self.path}: {expected}, found nothing there")
        if self.path.suffix.lower() not in SUFFIXES:
            raise ConfigurationError(f"market source files: path {self.path}: {expected}, found {self.path.suffix!r}")
        return [self.path]


def _read(file: Path) -> pl.DataFrame:
    try:
        if file.suffix.lower() == ".csv":
            raw = _typed(pl.read_csv(file, infer_schema=False), file.name)
        else:
            raw = pl.read_parquet(file)
    except (PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BarsError(
            f"{file.name}: expected a readable {file.suffix} file, found: {reason}; export it again"
        ) from error
    if raw.is_empty():
        raise BarsError(f"{file.name}: expected bars, found no rows; remove the file or export it again")
    return raw


def _typed(raw: pl.DataFrame, where: str) -> pl.DataFrame:
    """Numbers out of text, strictly: what is no number is refused, an empty field is missing."""
    for column in (*PRICES, "volume", "quote_volume", "quote_volume_derived"):
        if column not in raw.columns:
            continue
        text = raw[column]
        if column == "quote_volume_derived":
            expected = "true or false"
            values = text.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        else:
            expected = "a number"
            values = text.cast(pl.Float64, strict=False)
        broken = values.is_null() & text.is_not_null()
        row = broken.arg_max()
        if row is not None and broken[row]:
            raise BarsError(f"{where}: line {row + 2}: {column}: expected {expected}, found {text[row]!r}; correct it")
        raw = raw.with_columns(values)
    return raw.filter(~pl.all_horizontal(pl.all().is_null()))  # a blank line is no bar


def _require_disjoint(frames: dict[str, pl.DataFrame]) -> None:
    """Two files with one bar may contradict each other, and which to believe is not ours to guess."""
    keyed = pl.concat([frame.select(*KEY, file=pl.lit(name)) for name, frame in frames.items()])
    if keyed.select(KEY).n_unique() == keyed.height:
        return
    shared = keyed.group_by(KEY, maintain_order=True).agg("file").filter(pl.col("file").list.len() > 1)
    symbol, day, files = shared.row(0)
    raise BarsError(
        f"{files[0]} and {files[1]}: {symbol} {day}: date: expected each bar in one file, found it in both "
        f"({shared.height} such bars); keep one"
    )
