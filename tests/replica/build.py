"""A folder that the replica serves: zip and CHECKSUM files in the archive's layout, and what the API answers from."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from tests.replica.exchange import exchange_info as made_info
from tests.replica.files import checksum, md5_of, zipped
from tests.replica.rows import STEPS, Layout, layout, lines


def build(
    folder: Path,
    frames: Mapping[str, pl.DataFrame],
    *,
    now: datetime,
    daily_from: date | None = None,
    archive_until: date | None = None,
    exchange_info: Mapping[str, Any] | None = None,
    packed: bool = False,
) -> None:
    """Write the tree of `frames` (by dataset name) as the archive has it at `now`.

    Monthly files of months that have ended, daily files since `daily_from` (the first day of the last whole month,
    unless told); nothing that reaches beyond `archive_until` (the day before `now`). The API has every spot bar.
    `packed` writes all files into one, for trees of tens of thousands, which file systems take minutes over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    until = min(archive_until or date.max, now.date() - timedelta(days=1))
    whole = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    index: dict[str, list[Any]] = {}
    bars: dict[str, pl.DataFrame] = {}
    with (folder / "packed").open("wb") as pack:
        for name, frame in frames.items():
            shape, text = layout(name), lines(name, frame)
            for span in shape.spans:
                since = (daily_from or whole) if span == "daily" and "monthly" in shape.spans else date.min
                for key, body, last in _files(shape, span, text.filter(pl.col("day") >= since), until):
                    modified = int(datetime.combine(last + timedelta(days=1), time(5, 30), UTC).timestamp())
                    at = pack.tell() if packed else None
                    index[key] = [len(body), md5_of(body), modified, last.isoformat(), at]
                    if packed:
                        pack.write(body)
                    else:
                        _write(folder / "archive" / key, body)
            if shape.market == "spot":
                _write_rest(folder / "rest" / shape.interval, text)
                bars[shape.interval] = text
    listings = _listings(bars)
    info = exchange_info or made_info(listings)
    about = {"now": now.isoformat(), "index": index, "listings": {} if exchange_info else listings, "info": info}
    (folder / "replica.json").write_text(json.dumps(about), "utf-8")


def _files(shape: Layout, span: str, text: pl.DataFrame, until: date) -> Iterator[tuple[str, bytes, date]]:
    """Key, body and last day of one zip for each symbol and period, and of its CHECKSUM."""
    day = pl.col("day")
    period = day.dt.strftime("%Y-%m" if span == "monthly" else "%Y-%m-%d")
    files = (
        text.lazy()
        .with_columns(period=period, last=day.dt.month_end() if span == "monthly" else day)
        .filter(pl.col("last") <= until)
        .group_by("symbol", "period", "last", maintain_order=True)
        .agg(pl.col("line").str.join("\n"))
        .collect()
    )
    head = shape.header + "\n" if shape.header else ""
    for symbol, label, last, body in files.iter_rows():
        key = f"{shape.folder(span, symbol)}{shape.stem(symbol, label)}.zip"
        content = zipped(f"{shape.stem(symbol, label)}.csv", f"{head}{body}\n")
        yield key, content, last
        yield f"{key}.CHECKSUM", checksum(content, key), last


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(data)


def _write_rest(folder: Path, text: pl.DataFrame) -> None:
    """One file per symbol: the opening times (ms) and the rows, as they will be answered."""
    folder.mkdir(parents=True)
    for (symbol,), part in text.group_by("symbol", maintain_order=True):
        times = part["time"].dt.epoch("ms").to_list()
        (folder / f"{symbol}.json").write_text(json.dumps([times, part["row"].to_list()]), "utf-8")


def _listings(bars: Mapping[str, pl.DataFrame]) -> dict[str, tuple[int, int | None]]:
    """First bar, and where the last one ended (ms) if that was before the end of the data, by symbol."""
    found: dict[str, tuple[int, int | None]] = {}
    for interval, symbol, first, last, end in _extents(bars):
        closed = last + STEPS[interval] // timedelta(milliseconds=1)
        known = found.get(symbol)
        ended = None if last == end or (known and known[1] is None) else max(closed, (known or (0, 0))[1] or 0)
        found[symbol] = (min(first, known[0]) if known else first, ended)
    return found


def _extents(bars: Mapping[str, pl.DataFrame]) -> Iterator[tuple[str, str, int, int, int]]:
    time = pl.col("time").dt.epoch("ms")
    for interval, text in bars.items():
        end = text.select(time.max()).item()
        ends = text.group_by("symbol", maintain_order=True).agg(time.min().alias("first"), time.max().alias("last"))
        yield from ((interval, *row, end) for row in ends.iter_rows())
