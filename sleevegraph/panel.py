"""Bars as aligned matrices: one row per calendar day, one column per symbol, missing = NaN.

`Panel.before` is the only way a decision gets market data: it cuts every matrix at P, so what happens
at or after P cannot be read.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.errors import BarsError

Floats = NDArray[np.float64]

VALUES = ("open", "high", "low", "close", "volume", "quote_volume")


@dataclass(frozen=True, slots=True)
class Panel:
    """Market data with dates strictly increasing by one day and symbols sorted.

    Every matrix is C-contiguous of shape (len(dates), len(symbols)).
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    bases: tuple[str, ...]
    quotes: tuple[str, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats
    returns: Floats
    """Simple close-to-close returns; NaN unless both this day and the day before have a bar."""
    first_bar: NDArray[np.intp]
    """Row of each symbol's first bar; negative when it lies before the first row."""

    def before(self, at: date, days: int | None = None) -> "Panel":
        """Only what was known before `at`: rows dated < `at`, symbols with at least one such bar.

        With `days`, no more than that many of the newest rows; the symbols are the same.
        """
        rows = int(np.searchsorted(self.dates, np.datetime64(at, "D")))
        known = np.flatnonzero(self.first_bar < rows)
        return self._cut(slice(0 if days is None else max(rows - days, 0), rows), known)

    def last(self, days: int) -> "Panel":
        """The last `days` calendar days (all of them when there are fewer), every symbol kept."""
        return self._cut(slice(max(len(self.dates) - days, 0), len(self.dates)), np.arange(len(self.symbols)))

    def select(self, symbols: tuple[str, ...]) -> "Panel":
        """Those symbols, in that order; an unknown one is a BarsError."""
        position = {s: i for i, s in enumerate(self.symbols)}
        unknown = [s for s in symbols if s not in position]
        if unknown:
            raise BarsError(f"panel: expected symbols with bars, found none for {unknown[:5]}")
        return self._cut(slice(0, len(self.dates)), np.array([position[s] for s in symbols], dtype=np.intp))

    def _cut(self, rows: slice, columns: NDArray[np.intp]) -> "Panel":
        def take(matrix: Floats) -> Floats:
            return np.ascontiguousarray(matrix[rows][:, columns])

        return Panel(
            dates=self.dates[rows],
            symbols=tuple(self.symbols[i] for i in columns),
            bases=tuple(self.bases[i] for i in columns),
            quotes=tuple(self.quotes[i] for i in columns),
            open=take(self.open),
            high=take(self.high),
            low=take(self.low),
            close=take(self.close),
            volume=take(self.volume),
            quote_volume=take(self.quote_volume),
            returns=take(self.returns),
            first_bar=self.first_bar[columns] - rows.start,
        )


def build_panel(bars: pl.DataFrame) -> Panel:
    """Pivot bars [symbol, base, quote, date, open … volume, quote_volume] to a Panel.

    The calendar runs from the first to the last date without holes; (symbol, date) must be unique.
    """
    if bars.is_empty():
        raise BarsError("panel: expected bars, found none; ingest bars that begin before the first rebalance date")
    days = bars["date"].to_numpy().astype("datetime64[D]")
    dates = np.arange(days.min(), days.max() + 1)
    names = bars.select("symbol", "base", "quote").unique("symbol", keep="any").sort("symbol")
    symbols = tuple(names["symbol"].to_list())
    row = (days - dates[0]).astype(np.intp)
    column = np.searchsorted(np.array(symbols), bars["symbol"].to_numpy().astype(str))
    matrices = {}
    for value in VALUES:
        matrix = np.full((len(dates), len(symbols)), np.nan)
        matrix[row, column] = bars[value].to_numpy()
        matrices[value] = matrix
    returns = np.full_like(matrices["close"], np.nan)
    returns[1:] = matrices["close"][1:] / matrices["close"][:-1] - 1.0
    return Panel(
        dates=dates,
        symbols=symbols,
        bases=tuple(names["base"].to_list()),
        quotes=tuple(names["quote"].to_list()),
        returns=returns,
        first_bar=np.isfinite(matrices["close"]).argmax(axis=0),
        **matrices,
    )
