"""Scores that somebody computed elsewhere: rows of (date, symbol, score), of which each rebalance takes the newest day."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from sleevegraph.errors import SignalError
from sleevegraph.signals.contract import SCHEMA, Score, printable

COLUMNS = ("date", "symbol", "score")
TABLE = pl.Schema({"row": pl.Int64(), "date": pl.Date(), "symbol": pl.String(), "score": pl.Float64()})
"""`row` counts as the file does: a CSV's lines with its header, a Parquet's rows from 1."""

_WRITTEN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
"""A year of two digits would be one of the first century."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A signal that stands in a file."""

    where: str
    """Whose it is and which file, as it stands in errors."""
    unit: str
    """What `row` counts: line or row."""
    read: Callable[[], pl.DataFrame]
    """`TABLE` rows as they are now; SignalError where there are none."""
    max_age_days: int

    @property
    def rules(self) -> Mapping[str, Any]:
        """How old scores may be; of the rows only those before P decide, so they are no rule."""
        return {"signal.max_age_days": self.max_age_days}

    def opened(self) -> Score:
        """Read the file."""
        return self.over(self.read())

    def over(self, table: pl.DataFrame) -> Score:
        """Scores out of other rows than the file has."""

        def score(bars: pl.DataFrame, at: date) -> pl.DataFrame:
            return self._newest(table, bars, at)

        return score

    def _newest(self, table: pl.DataFrame, bars: pl.DataFrame, at: date) -> pl.DataFrame:
        """The rows of the newest day before `at`, which alone are judged: later ones have no say, not even broken ones."""
        earlier = table.filter(pl.col("date") < at)
        newest = earlier["date"].max()
        if not isinstance(newest, date):
            raise SignalError(f"{self.where}: expected scores dated before {at}, found only later ones")
        age = (at - newest).days
        if age > self.max_age_days:
            raise SignalError(
                f"{self.where}: expected scores of at most {self.max_age_days} days before {at}, found the newest of "
                f"{newest}, {age} days old; add newer ones or raise signal.max_age_days"
            )
        rows = earlier.filter(pl.col("date") == newest)
        finite = pl.col("symbol").is_not_null() & pl.col("score").is_finite().fill_null(value=False)
        self._refuse(rows.filter(~finite), "a symbol and a finite score", "correct or drop it")
        self._refuse(rows.filter(~pl.col("symbol").is_first_distinct()), "one score a day", "keep one of them")
        known = bars.lazy().filter(pl.col("date") < at).select("symbol").unique().collect()
        unknown = rows.join(known, on="symbol", how="anti", maintain_order="left")
        self._refuse(unknown, f"a symbol with a bar before {at}", "name symbols as the bars do: BINANCE:BTCUSDT")
        return rows.select(SCHEMA.names()).sort("symbol")

    def _refuse(self, broken: pl.DataFrame, expected: str, remedy: str) -> None:
        if broken.height:
            row, day, symbol, score = broken.row(0)
            value = "without a number" if score is None else repr(score)
            found = f"{printable(str(symbol))} {value} on {day}"
            more = f" (and {broken.height - 1} more)" if broken.height > 1 else ""
            raise SignalError(f"{self.where}: {self.unit} {row}: expected {expected}, found {found}{more}; {remedy}")


def table_of(raw: pl.DataFrame, rows: pl.Series, where: str, unit: str) -> pl.DataFrame:
    """`TABLE` rows of a file's rows, in file order; a score that is no number is null and refused when its day is used.

    `rows` are the places of the rows in the file.

    Raises
    ------
    SignalError
        A missing column or one of a wrong type, no row, or a row that has no date.
    """
    require_columns(raw.columns, where)
    kind = raw.schema["score"]
    if raw.schema["symbol"] != pl.String or not (kind.is_numeric() or kind == pl.String):
        found = f"{raw.schema['symbol']} and {kind}"
        raise SignalError(f"{where}: expected symbols as text and scores as numbers, found {found}; cast the columns")
    table = raw.select(
        rows.alias("row"),
        _day(raw.schema["date"], where),
        pl.col("symbol"),
        pl.col("score").cast(pl.Float64, strict=False),
        written=pl.col("date").cast(pl.String),
        blank=pl.all_horizontal(pl.all().is_null()),
    ).filter(~pl.col("blank"))  # as an empty line of a CSV is
    if table.is_empty():
        raise SignalError(f"{where}: expected rows of {', '.join(COLUMNS)}, found none; add scores")
    undated = table.filter(pl.col("date").is_null())
    if undated.height:
        row, found = undated.select("row", "written").row(0)
        raise SignalError(f"{where}: {unit} {row}: expected a date such as 2023-12-21, found {found!r}; correct it")
    return table.select(TABLE.names()).cast(TABLE)


def require_columns(names: Sequence[str], where: str) -> None:
    """Raise SignalError for a column that is not there."""
    for name in COLUMNS:
        if name not in names:
            found = printable(", ".join(names))
            commas = name in re.split(r"[^a-z]+", found) and "separate columns by commas without blanks"
            raise SignalError(f"{where}: {name}: expected a column of that name, found {found}; {commas or 'add it'}")


def _day(kind: pl.DataType, where: str) -> pl.Expr:
    """The day whose close a row knows. A time of day would be another day's somewhere, so only dates are taken."""
    if kind == pl.Date:
        day = pl.col("date")
    elif kind == pl.String:
        written = pl.when(pl.col("date").str.contains(_WRITTEN)).then("date")
        day = written.str.to_date("%Y-%m-%d", strict=False).alias("date")
    else:
        raise SignalError(f"{where}: date: expected dates, found type {kind}; cast the column")
    return pl.when(day.is_between(date.min, date.max)).then(day)  # polars knows years that Python does not
