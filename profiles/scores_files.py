"""A file of scores, computed elsewhere: a CSV or a Parquet, and the line or row of what cannot be read in it."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from profiles.files import undecodable
from sleevegraph.errors import SignalError
from sleevegraph.signals.contract import printable
from sleevegraph.signals.table import COLUMNS, require_columns, table_of

_AT_ONCE = 100_000
"""Records that are held as Python's objects."""
_BEFORE, _AFTER = list(b",\n"), list(b",\r\n")
_SHOWN = 60
"""Characters of a line in an error."""


def unit_of(path: Path) -> str:
    """What places in the file are counted in: a CSV has lines, anything else is read as Parquet and has rows."""
    return "line" if path.suffix.lower() == ".csv" else "row"


def read_scores(path: Path, where: str) -> pl.DataFrame:
    """Rows of a file as `sleevegraph.signals.table.TABLE`; SignalError, naming `where`, where they are none."""
    unit = unit_of(path)
    try:
        if unit == "line":
            raw, rows = _of_csv(path.read_bytes(), where)
        else:
            raw = pl.read_parquet(path, glob=False)
            rows = pl.int_range(1, raw.height + 1, eager=True)
    except (OSError, ValueError, PolarsError, PanicException) as error:
        reason = getattr(error, "strerror", None) or printable(" ".join(str(error).split()))
        raise SignalError(f"{where}: expected a readable Parquet or CSV file, found: {reason}") from error
    return table_of(raw, rows, where, unit)


def _of_csv(content: bytes, where: str) -> tuple[pl.DataFrame, pl.Series]:
    """The rows as text, so that a score which is no number is one row's defect and not the file's, and their lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, defect = undecodable(error)
        raise SignalError(f"{where}: line {line}: {defect}") from error
    records = _records(text, where)
    line, header = next(records, (1, []))
    if not header:
        raise SignalError(f"{where}: line 1: expected a header date,symbol,score, found an empty file; add scores")
    twice = next((name for name in COLUMNS if header.count(name) > 1), None)
    if twice is not None:
        found = f"{header.count(twice)}; drop or rename"
        raise SignalError(f"{where}: line {line}: {twice}: expected one column of that name, found {found} the others")
    require_columns(header, f"{where}: line {line}")
    plain = _plain(text, header) if line == 1 else None
    if plain is not None:
        return plain, pl.int_range(2, plain.height + 2, eager=True)
    return _by_record(records, header, where)


def _plain(text: str, header: Sequence[str]) -> pl.DataFrame | None:
    """Read a file whose lines are its records and all of one length at once, which is much faster."""
    first, _, rest = text.partition("\n")
    body = _unquoted(rest.rstrip("\r\n").encode())
    if body is None or first.count('"') % 2 or text.count("\r") != text.count("\r\n"):
        return None
    schema = {str(place): pl.String() for place in range(len(header))}
    try:
        raw = pl.read_csv(body, has_header=False, schema=schema, quote_char=None)
    except PolarsError:
        return None
    full = raw.height == body.count(b"\n") + 1 and body.count(b",") == raw.height * (len(header) - 1)
    if not full:  # no record is longer, so none is shorter, as an empty line would be
        return None
    return raw.select(pl.col(str(place)).alias(name) for name, place in _places(header).items())


def _unquoted(body: bytes) -> bytes | None:
    """The same without its quotes, or None where they hold anything together: a comma, a line break or a quote."""
    if b'"' not in body:
        return body
    characters = np.frombuffer(b"\n" + body + b"\n", dtype=np.uint8)
    quotes = np.flatnonzero(characters == ord('"'))
    ends = np.flatnonzero((characters == ord(",")) | (characters == ord("\n")))
    opening, closing = quotes[0::2], quotes[1::2]
    if len(opening) != len(closing):
        return None
    within_a_field = (np.searchsorted(ends, opening) == np.searchsorted(ends, closing)).all()
    around_it = np.isin(characters[opening - 1], _BEFORE).all() and np.isin(characters[closing + 1], _AFTER).all()
    return body.replace(b'"', b"") if within_a_field and around_it else None


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands, the first of those that share a name."""
    return {name: header.index(name) for name in header if name}


def _by_record(
    records: Iterator[tuple[int, list[str]]], header: Sequence[str], where: str
) -> tuple[pl.DataFrame, pl.Series]:
    names = _places(header)
    frames, lines = [pl.DataFrame(schema=dict.fromkeys(names, pl.String()))], list[int]()
    while part := list(islice(records, _AT_ONCE)):
        for line, fields in part:
            if len(fields) != len(header):
                found = f"{len(fields)} in {_cut(','.join(fields))}"
                raise SignalError(
                    f"{where}: line {line}: expected {len(header)} fields as in the header, found {found}; correct it"
                )
        lines += [line for line, _ in part]
        columns = {name: [fields[place] or None for _, fields in part] for name, place in names.items()}
        frames.append(pl.DataFrame(columns, schema=frames[0].schema))
    return pl.concat(frames), pl.Series(lines, dtype=pl.Int64)


def _records(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """The line that a record begins on, and its fields; empty lines are none."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        found = _cut(next(islice(StringIO(text, newline=""), line - 1, None), "").rstrip("\r\n"))
        raise SignalError(
            f"{where}: line {line}: expected fields whose quotes enclose all of them and are closed, found {found}; correct it"
        ) from error


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
