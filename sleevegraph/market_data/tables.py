"""Many small files of the archive, or one answer of the REST API, as one frame of a dataset's rows.

The archive's files have a few dozen rows each, so that reading them one by one costs far more than their bytes. Here
a batch is parsed as one text and judged by vectorised rules; the reason of a refusal is looked up afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.datasets import Dataset, Period
from sleevegraph.market_data.layouts import DAY, LAYOUTS, Layout, Rule, rules_of

_EPOCH: Final = date(1970, 1, 1)
_ANY_TIME: Final = Period("any month", date(1970, 1, 1), date(9999, 12, 31))
_REST_TYPES: Final = (int, str, str, str, str, str, int, str, int, str, str, str)


@dataclass(frozen=True, slots=True)
class _File:
    """A file whose text has the right shape: `body` is its rows, each ended by one newline."""

    index: int
    symbol: str
    period: Period
    body: bytes
    first_line: int

    @property
    def rows(self) -> int:
        return self.body.count(b"\n")


def read_tables(dataset: Dataset, contents: Sequence[tuple[str, Period, bytes]]) -> tuple[pl.DataFrame, dict[int, str]]:
    """Rows of many CSVs, and why the others were refused.

    Parameters
    ----------
    dataset
        What all of them are files of.
    contents
        Symbol, period and CSV of each file. The header line is optional and lines may end in CRLF; times are in
        milliseconds or in microseconds, one unit in one file.

    Returns
    -------
    tuple
        A frame of `dataset.schema` and `source` (UInt32, the index into `contents`), in the order of the files; and
        by the index of each broken file, none of whose rows is in the frame, one line: what was expected, what was
        found, and where. The order of open, high, low and close is not judged.
    """
    layout = LAYOUTS[dataset.kind]
    files, reasons = [], {}
    for index, (symbol, period, content) in enumerate(contents):
        try:
            files.append(_shaped(index, symbol, period, content, layout))
        except ArchiveError as error:
            reasons[index] = str(error)
    rows = _parsed(files, layout)
    broken = _broken(rows, files, dataset)
    reasons |= broken
    sources = np.array([file.index for file in files], dtype=np.uint32)
    rows = rows.with_columns(source=pl.Series(sources, dtype=pl.UInt32).gather(rows["file"]))
    if broken:
        rows = rows.filter(~pl.col("source").is_in(list(broken)))
    return _stored(rows, dataset, "source"), reasons


def rest_klines(dataset: Dataset, symbol: str, answer: object) -> pl.DataFrame:
    """Rows of `dataset.schema` from the JSON array that /api/v3/klines answers, times in milliseconds.

    Raises
    ------
    ArchiveError
        `answer` is not such an array, or its bars break a rule that those of a file keep.
    """
    where = f"{symbol} {dataset.interval} klines of the REST API"
    if not isinstance(answer, list):
        raise ArchiveError(f"{where}: expected a JSON array, found {str(answer)[:80]!r}; ask again")
    for number, row in enumerate(answer, start=1):
        if not isinstance(row, list) or tuple(map(type, row)) != _REST_TYPES:
            raise ArchiveError(
                f"{where}: line {number}: expected whole numbers for times and count and text for the other "
                f"{len(_REST_TYPES) - 3} of {len(_REST_TYPES)} values, found {str(row)[:120]!r}; ask again"
            )
    layout = LAYOUTS[dataset.kind]
    if not answer:
        return dataset.schema.to_frame()
    body = "".join(",".join(map(str, row)) + "\n" for row in answer).encode(errors="replace")
    try:
        files = [_shaped(0, symbol, _ANY_TIME, body, layout)]
    except ArchiveError as error:
        raise ArchiveError(f"{where}: {error}; ask again") from None
    rows = _parsed(files, layout)
    reasons = _broken(rows, files, dataset)
    if not reasons and rows["scale"][0] == 1:
        reasons = {0: f"line 1: open_time: expected milliseconds, found {answer[0][0]}"}
    if reasons:
        raise ArchiveError(f"{where}: {reasons[0]}; ask again")
    return _stored(rows, dataset)


def _shaped(index: int, symbol: str, period: Period, content: bytes, layout: Layout) -> _File:
    """The file's rows without its header; ArchiveError unless each has every field, of the right characters."""
    if not content:
        raise ArchiveError("expected rows, found an empty file")
    body = content.replace(b"\r\n", b"\n") if b"\r" in content else content
    first_line = 1
    if not body[:1].isdigit():
        header, _, body = body.partition(b"\n")
        expected = ",".join(layout.columns)
        if header != expected.encode():
            raise ArchiveError(f"line 1: expected a row of numbers or the header {expected}, found {_shown(header)}")
        first_line = 2
    if not body:
        raise ArchiveError("expected rows, found none below the header")
    if not body.endswith(b"\n"):
        body += b"\n"
    separators = b"," * (len(layout.columns) - 1) + b"\n"
    if body.translate(None, layout.characters) != separators * body.count(b"\n"):
        raise ArchiveError(_shape_defect(body, first_line, layout))
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise ArchiveError(f"expected text in UTF-8, found byte {error.start} to be none") from None
    return _File(index, symbol, period, body, first_line)


def _shape_defect(body: bytes, first_line: int, layout: Layout) -> str:
    names, width = layout.columns.names(), len(layout.columns)
    lines = enumerate(body.removesuffix(b"\n").split(b"\n"), start=first_line)
    number, line = next((n, t) for n, t in lines if t.translate(None, layout.characters) != b"," * (width - 1))
    fields = line.split(b",")
    if len(fields) != width:
        return f"line {number}: expected {width} columns, found {len(fields)} in {_shown(line)}"
    name, text = next((n, t) for n, t in zip(names, fields, strict=True) if t.translate(None, layout.characters))
    return f"line {number}: {name}: expected a plain {layout.word}, found {_shown(text)}"


def _parsed(files: Sequence[_File], layout: Layout) -> pl.DataFrame:
    """All rows of the files, with the columns that `layouts` asks for; a field that does not parse is null."""
    body = b"".join(file.body for file in files)
    rows = (
        pl.read_csv(body, has_header=False, schema=layout.columns, quote_char=None, ignore_errors=True).rechunk()
        if files
        else layout.columns.to_frame()
    )
    counts = np.array([file.rows for file in files], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    scale = np.ones(len(files), dtype=np.int64)
    if layout.epochs:
        first = rows[layout.time].gather(starts).fill_null(0).to_numpy()
        scale[first < 10**15] = 1000
    end = 1 if layout.midnight_ends else 0
    of_file = pl.DataFrame(
        {
            "file_symbol": pl.Series([file.symbol for file in files], dtype=pl.String),
            "starts": pl.Series([(file.period.first - _EPOCH).days * DAY for file in files], dtype=pl.Int64),
            "ends": pl.Series(
                [((file.period.last - _EPOCH).days + 1) * DAY - 1 + end for file in files], dtype=pl.Int64
            ),
            "scale": pl.Series(scale, dtype=pl.Int64),
        }
    )
    index = pl.Series("file", np.repeat(np.arange(len(files), dtype=np.uint32), counts), dtype=pl.UInt32)
    return rows.hstack([index, *of_file[index]])


def _broken(rows: pl.DataFrame, files: Sequence[_File], dataset: Dataset) -> dict[int, str]:
    """By the index of each file that breaks a rule, its first breach."""
    rules = rules_of(dataset)
    sound = rows.select(rule.sound.fill_null(value=False).alias(str(i)) for i, rule in enumerate(rules))
    breaches = sound.select(~pl.all_horizontal(pl.all())).to_series().arg_true().to_numpy()
    numbers = rows["file"].to_numpy()
    # The first breach of each file is where its number first appears.
    _, firsts = np.unique(numbers[breaches], return_index=True)
    reasons = {}
    for row in breaches[firsts]:
        file = files[numbers[row]]
        rule = rules[sound.row(row).index(False)]
        line = int(row - np.searchsorted(numbers, numbers[row]))
        reasons[file.index] = _breach(file, rule, line, LAYOUTS[dataset.kind])
    return reasons


def _breach(file: _File, rule: Rule, line: int, layout: Layout) -> str:
    text = file.body.split(b"\n", line + 1)[line].split(b",")[layout.columns.names().index(rule.column)]
    expected = rule.expected.format(period=file.period.text, symbol=file.symbol)
    return (
        f"line {file.first_line + line}: {rule.column}: expected {expected}, found {_shown(text)}{_as_time(text, rule)}"
    )


def _as_time(text: bytes, rule: Rule) -> str:
    """What a count of milliseconds or microseconds says, for a person."""
    micros_of = {13: 1000, 16: 1}.get(len(text)) if text.isdigit() and rule.column.endswith("time") else None
    if micros_of is None:
        return ""
    return f" ({datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(text) * micros_of)})"


def _stored(rows: pl.DataFrame, dataset: Dataset, *more: str) -> pl.DataFrame:
    stored = LAYOUTS[dataset.kind].stored
    return rows.select(*(stored.get(name, pl.col(name)).alias(name) for name in dataset.schema), *more)


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))
