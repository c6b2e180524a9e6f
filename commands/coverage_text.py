"""What `sleevegraph coverage` says, in words and tables."""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import date
from io import StringIO
from typing import Any

import polars as pl
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from resources.holdings import Holding

SHOWN = 5
"""Quarantined files and revisions that are told of, of each dataset."""
SHOWN_SYMBOLS = 40
"""Rows of a table on the screen; the other formats have all."""

Row = dict[str, Any]
"""Figures by name, moments as ISO text."""


def datasets_table(rows: Sequence[Row], title: str) -> Table:
    """One row a dataset."""
    table = Table(title=Text(title), title_justify="left")
    columns = ("dataset", "symbols", "first", "last", "rows", "months", "present", "gaps", "outages", "files", "size")
    for column in (*columns, "quarantined", "revisions", "by REST"):
        table.add_column(column, justify="left" if column == "dataset" else "right", no_wrap=column in columns[:4])
    for row in rows:
        counts = (row[key] for key in ("quarantined", "revisions", "rest_rows"))
        table.add_row(
            *(row["dataset"], str(row["symbols"]), row["first"][:10], row["last"][:10], str(row["rows"])),
            *(str(row["months"]), _present(row["share"]), _count(row["gaps"]), _count(row["outages"])),
            *(str(row["files"]), decimal(row["bytes"]), *map(_count, counts)),
        )
    return table


def symbols_table(rows: Sequence[Row], title: str) -> Table:
    """One row a symbol, of the worst SHOWN_SYMBOLS."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("symbol", no_wrap=True)
    for column in ("first", "last", "rows", "expected", "present", "gaps", "missing", "largest gap"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for row in rows[:SHOWN_SYMBOLS]:
        largest = f"{row['largest_gap']} from {_minute(row['largest_from'])}" if row["largest_gap"] else ""
        table.add_row(
            *(row["symbol"], _minute(row["first"]), _minute(row["last"]), str(row["rows"]), _count(row["expected"])),
            *(_present(row["share"]), _count(row["gaps"]), _count(row["missing"]), largest, row["note"]),
        )
    return table


def _present(share: float | None) -> str:
    """Rounded down: only what is whole is 100 %."""
    return "" if share is None else f"{math.floor(share * 10_000) / 100:.2f} %"


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")


def as_csv(rows: Sequence[Row]) -> str:
    """Every row; a list within one is separated by spaces."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: " ".join(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows)
    return text.getvalue()


def remarks(holding: Holding) -> Iterator[str]:
    """Who answered by REST, files that are kept aside, with the reason, and the newest revisions."""
    for host, count in holding.rest().items():
        yield f"by REST: {holding.name}: {count} rows of {host}, until the archive has them"
    broken = holding.quarantined()
    for key, reason in broken.select("key", "reason").head(SHOWN).iter_rows():
        yield f"quarantined: {key}: {reason}"
    if broken.height > SHOWN:
        yield f"and {broken.height - SHOWN} more files of {holding.name} are quarantined"
    revisions = holding.revisions()
    for rows, restated in reversed(revisions[-SHOWN:]):
        yield f"revised: {holding.name}: {_revision(rows, restated)}"
    if len(revisions) > SHOWN:
        yield f"and {len(revisions) - SHOWN} older revisions of {holding.name}"


def _revision(rows: pl.DataFrame, restated: pl.DataFrame) -> str:
    """What changed, and because of which file."""
    before = rows.filter(pl.col("state") == "before")
    withdrawn = before.height - rows.filter(pl.col("state") == "after").height
    lost = f", {withdrawn} of them withdrawn" if withdrawn else ""
    changed = "no rows changed"
    if before.height:
        symbols = before["symbol"].n_unique()
        first: date = before.select(pl.nth(1).min()).item()
        changed = f"{before.height} rows of {symbols} symbols changed, the first of {first:%Y-%m-%d}{lost}"
    if not restated.height:
        return f"{changed}: a month's file differs from those of its days"
    more = f" and {restated.height - 1} more files" if restated.height > 1 else ""
    key, at = restated.row(0, named=True)["key"], restated["fetched_at"][0]
    return f"{changed}: {key}{more} restated, fetched {at[:16]}"
