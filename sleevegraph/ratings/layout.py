"""From a long frame of bars to padded matrices (bar number, symbol) and back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.errors import BarsError
from sleevegraph.panel import Floats
from sleevegraph.ratings.ballot import Votes

PRICES = ("open", "high", "low", "close")
COLUMNS = ("symbol", "date", *PRICES, "volume")

BLOCK_CELLS = 1 << 18
"""Cells of one matrix (2 MiB): fewer cost time in the loops over bars, more cost memory and gain no time."""


def traded_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars with volume, values as Float64, sorted by (symbol, date).

    A missing column, a duplicate (symbol, date), a missing key, a price that is not finite or a
    negative or infinite volume is a BarsError.
    """
    missing = [column for column in COLUMNS if column not in bars.columns]
    if missing:
        raise BarsError(f"ratings: expected columns {list(COLUMNS)}, found {bars.columns}; add {missing}")
    values = [pl.col(column).cast(pl.Float64) for column in (*PRICES, "volume")]
    ordered = bars.select("symbol", "date", *values).sort("symbol", "date")
    repeated = (pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("date") == pl.col("date").shift())
    _refuse(ordered.filter(repeated), "one bar", "drop the second one")
    unnamed = pl.col("symbol").is_null() | pl.col("date").is_null()
    _refuse(ordered.filter(unnamed), "a symbol and a date", "drop or repair the row")
    traded = ordered.filter(pl.col("volume").fill_nan(None).fill_null(0.0) != 0.0)
    sound = pl.all_horizontal(pl.col(*PRICES, "volume").is_finite().fill_null(value=False), pl.col("volume") > 0.0)
    _refuse(traded.filter(~sound), "finite prices and a finite volume >= 0", "drop or repair the bar")
    return traded


def _refuse(offending: pl.DataFrame, expected: str, remedy: str) -> None:
    if offending.height:
        row = offending.row(0, named=True)
        found = ", ".join(f"{column} {row[column]}" for column in (*PRICES, "volume"))
        more = f" (the first of {offending.height} such rows)" if offending.height > 1 else ""
        raise BarsError(
            f"ratings: {row['symbol']} at {row['date']}: expected {expected}, found {found}{more}; {remedy}"
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Some symbols side by side: their rows of the frame and the cells of the matrix that these fill."""

    shape: tuple[int, int]
    rows: NDArray[np.intp]
    cells: NDArray[np.intp]

    def lay(self, values: Floats) -> Floats:
        """A matrix (bar number, symbol) of a column of the frame, NaN after a symbol's last bar."""
        matrix = np.full(self.shape, np.nan)
        matrix.ravel()[self.cells] = values[self.rows]
        return matrix

    def pick(self, matrix: Votes) -> Votes:
        """The cells of the block's rows, in the order of `rows`."""
        return matrix.ravel()[self.cells]


def blocks(symbols: pl.Series) -> Iterator[Block]:
    """Cut a sorted column of symbols into blocks of about BLOCK_CELLS cells, symbols of like length together."""
    lengths = symbols.rle().struct.field("len").to_numpy().astype(np.intp)
    starts = np.cumsum(lengths) - lengths
    by_length = np.argsort(-lengths, kind="stable")
    while len(by_length):
        depth = int(lengths[by_length[0]])
        width = max(1, BLOCK_CELLS // depth)
        members, by_length = by_length[:width], by_length[width:]
        sizes = lengths[members]
        column = np.repeat(np.arange(len(members)), sizes)
        bar = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield Block(
            shape=(depth, len(members)), rows=np.repeat(starts[members], sizes) + bar, cells=bar * len(members) + column
        )
