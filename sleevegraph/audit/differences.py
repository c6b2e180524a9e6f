"""Where two values, frames or files first differ, to the bit, in words for a person."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import zip_longest
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from sleevegraph.solver_cells import TELEMETRY

WIDTH = 60
"""Characters of a value that are shown."""
SHOWN_CELLS = 8
NAMING = ("engine", "profile", "symbol", "child", "series", "horizon", "date")
"""Columns that say which row it is."""
_ABSENT = object()


def value_difference(recorded: Any, rebuilt: Any, place: str = "") -> str:
    """The first place, in the order of keys, at which two values of JSON differ; empty when they are the same."""
    if isinstance(recorded, dict) and isinstance(rebuilt, dict):
        keys = sorted(recorded.keys() | rebuilt.keys())
        places = ((f"{place}.{key}" if place else key, key) for key in keys)
        found = (value_difference(recorded.get(key, _ABSENT), rebuilt.get(key, _ABSENT), at) for at, key in places)
    elif isinstance(recorded, list) and isinstance(rebuilt, list):
        pairs = enumerate(zip_longest(recorded, rebuilt, fillvalue=_ABSENT))
        found = (value_difference(one, other, f"{place}[{n}]") for n, (one, other) in pairs)
    elif _same(recorded, rebuilt):
        return ""
    else:
        return f"{place}: found {_shown(recorded)}, rebuilt {_shown(rebuilt)}".removeprefix(": ")
    return next(filter(None, found), "")


def frame_difference(recorded: pl.DataFrame, rebuilt: pl.DataFrame) -> str:
    """How the rows of two frames differ; telemetry does not count. Empty when every value is the same."""
    recorded, rebuilt = (frame.drop(TELEMETRY, strict=False) for frame in (recorded, rebuilt))
    if recorded.schema != rebuilt.schema:
        return f"columns: {value_difference(_columns(recorded), _columns(rebuilt))}"
    pairs = list(zip_longest(recorded.iter_rows(), rebuilt.iter_rows()))
    differing = [n for n, (one, other) in enumerate(pairs) if not _same(one, other)]
    if not differing:
        return ""
    counts = f"{recorded.height} rows" + (f", rebuilt {rebuilt.height}" if recorded.height != rebuilt.height else "")
    cells = _cells([_row(frame, number) for number in differing for frame in (recorded, rebuilt)])
    text = f"{len(differing)} of {counts} differ{cells}, first row {differing[0]}"
    row, other = (_row(frame, differing[0]) for frame in (recorded, rebuilt))
    column = next((name for name in row if name in other and not _same(row[name], other[name])), "")
    which = ", ".join(f"{name} {(row or other)[name]}" for name in NAMING if name in (row or other) and name != column)
    text += f" ({which})" if which else ""
    if not (row and other):
        return f"{text}: {'found' if row else 'rebuilt'} only"
    return f"{text}: {value_difference(row[column], other[column], column)}"


def file_difference(file: str, recorded: bytes | None, rebuilt: bytes | None, *, trusted: bool) -> str:
    """Where two files of a bundle first differ; empty when they are the same byte for byte.

    Only what is `trusted` to be what the ledger names is read as Parquet: a reader may end the process on other bytes.
    """
    if recorded == rebuilt:
        return ""
    if recorded is None or rebuilt is None:
        return f"found {_size(recorded)}, rebuilt {_size(rebuilt)}"
    found = ""
    if file.endswith(".json"):
        found = _json_difference(recorded, rebuilt)
    elif file.endswith(".parquet") and trusted:
        found = _parquet_difference(recorded, rebuilt)
    return found or _byte_difference(recorded, rebuilt)


def _json_difference(recorded: bytes, rebuilt: bytes) -> str:
    try:
        return value_difference(json.loads(recorded), json.loads(rebuilt))
    except (ValueError, RecursionError):
        return ""


def _parquet_difference(recorded: bytes, rebuilt: bytes) -> str:
    try:
        return frame_difference(pl.read_parquet(BytesIO(recorded)), pl.read_parquet(BytesIO(rebuilt)))
    except PolarsError:
        return ""


def _byte_difference(recorded: bytes, rebuilt: bytes) -> str:
    same = zip(recorded, rebuilt, strict=False)
    first = next((n for n, (one, other) in enumerate(same) if one != other), min(len(recorded), len(rebuilt)))
    line = recorded.count(b"\n", 0, first) + 1
    return f"byte {first} (line {line}): found {_excerpt(recorded, first)}, rebuilt {_excerpt(rebuilt, first)}"


def _cells(rows: Sequence[Mapping[str, Any]]) -> str:
    """Engine and risk profile of rows, where they have both."""
    names = list(
        dict.fromkeys(f"{row['engine']}/{row['profile']}" for row in rows if {"engine", "profile"} <= row.keys())
    )
    more = f" and {len(names) - SHOWN_CELLS} more" if len(names) > SHOWN_CELLS else ""
    return f" ({', '.join(names[:SHOWN_CELLS])}{more})" if names else ""


def _row(frame: pl.DataFrame, number: int) -> dict[str, Any]:
    """A row by column; empty beyond the last."""
    return frame.row(number, named=True) if number < frame.height else {}


def _columns(frame: pl.DataFrame) -> list[str]:
    return [f"{name} {dtype}" for name, dtype in frame.schema.items()]


def _same(recorded: Any, rebuilt: Any) -> bool:
    """To the bit, where 0.0 equals -0.0 and nan does not equal itself."""
    return repr(recorded) == repr(rebuilt)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def _size(content: bytes | None) -> str:
    return "no such file" if content is None else f"{len(content)} bytes"


def _excerpt(content: bytes, first: int) -> str:
    return repr(content[first : first + WIDTH // 3]) if first < len(content) else "the end"
