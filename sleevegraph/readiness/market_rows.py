"""Daily bars as arrays, in the order that every question about them needs."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.bars import KEY, PRICES

Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class MarketRows:
    """Bars sorted by symbol and date, as arrays: row i is symbol `names[code[i]]` on `day[i]`."""

    names: tuple[str, ...]
    code: NDArray[np.int64]
    day: Days
    price: NDArray[np.float64]
    """One row for each of PRICES."""
    volume: NDArray[np.float64]

    @property
    def step(self) -> NDArray[np.int64]:
        """Days since the same symbol's bar before; one where there is none."""
        days = np.diff(self.day, prepend=self.day[:1]).astype(np.int64)
        first = np.diff(self.code, prepend=-1) != 0
        return np.where(first, 1, days)


def market_rows(bars: pl.DataFrame) -> MarketRows:
    """BAR_SCHEMA rows as arrays; sorts them only where they are not."""
    runs = bars["symbol"].rle_id()
    if bars["symbol"].n_unique() != int(runs[-1]) + 1 or not _dates_ascend(bars, runs):
        bars = bars.sort(KEY)
        runs = bars["symbol"].rle_id()
    code = runs.to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    return MarketRows(
        names=tuple(bars["symbol"].gather(starts).to_list()),
        code=code,
        day=bars["date"].to_numpy().astype("datetime64[D]"),
        price=np.stack([bars[c].to_numpy() for c in PRICES]),
        volume=bars["volume"].to_numpy(),
    )


def _dates_ascend(bars: pl.DataFrame, runs: pl.Series) -> bool:
    same = runs.diff() == 0
    return not ((bars["date"].diff() < timedelta()) & same).any()
