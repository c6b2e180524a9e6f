"""A digest per calendar day of bars, so that a changed day can be named."""

from datetime import date
from hashlib import sha256

import numpy as np
import polars as pl

from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.errors import BarsError

DIGITS = 8
"""Hexadecimal, per day: one change in four thousand million goes unseen here, and none in the digest of all bars."""
WITHOUT_BARS = "0" * DIGITS

_NAMES = ("symbol", "base", "quote")
_VALUES = tuple(name for name in BAR_SCHEMA if name not in {*_NAMES, "date"})


def day_digests(bars: pl.DataFrame) -> tuple[date, list[str]]:
    """The day of the first bar, and the first eight digits of `day_hashes` per day from it to that of the last bar."""
    first, hashes = day_hashes(bars)
    return first, [found[:DIGITS] or WITHOUT_BARS for found in hashes]


def day_hashes(bars: pl.DataFrame) -> tuple[date, list[str]]:
    """The day of the first bar, and a hash per day from it to that of the last bar; empty for a day without bars.

    SHA-256 over the day's rows sorted by symbol: a line `symbol,base,quote` of each, then each column's values as
    little-endian float64. A day's hash depends on its own bars alone, so those of the bars before P are the first of the
    list. BarsError without a bar.
    """
    if bars.is_empty():
        raise BarsError("digests of days: expected bars, found none; ingest bars first")
    names = bars.select(_NAMES).unique().sort(_NAMES)
    lines = [",".join(row) + "\n" for row in names.iter_rows()]
    symbol = bars["symbol"].cast(pl.Enum(names["symbol"])).to_physical().to_numpy()
    dates = bars["date"].to_numpy().astype("datetime64[D]")
    order = np.lexsort((symbol, dates))
    columns = [bars[name].cast(pl.Float64).to_numpy().astype("<f8", copy=False)[order] for name in _VALUES]
    symbols, dates = symbol[order].tolist(), dates[order]
    hashes = [""] * (int((dates[-1] - dates[0]).astype(int)) + 1)
    starts = np.flatnonzero(np.append(True, dates[1:] != dates[:-1])).tolist()
    for start, end in zip(starts, [*starts[1:], len(dates)], strict=True):
        content = sha256("".join([lines[i] for i in symbols[start:end]]).encode())
        for column in columns:
            content.update(column[start:end].data)
        hashes[int((dates[start] - dates[0]).astype(int))] = content.hexdigest()
    return dates[0].item(), hashes
