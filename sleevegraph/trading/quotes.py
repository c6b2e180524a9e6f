"""What the market says of a symbol before P: a price, and how much of it can be traded."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from sleevegraph.panel import Panel

VOLUME_DAYS: Final = 30

QUOTES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "quote": pl.String(),
        "price": pl.Float64(),
        "price_date": pl.Date(),
        "median_quote_volume": pl.Float64(),
    }
)


def market_quotes(panel: Panel, at: date) -> pl.DataFrame:
    """Last close and median daily quote volume of every symbol.

    Parameters
    ----------
    panel
        Bars; those dated `at` or later are not read.
    at
        The rebalance date P.

    Returns
    -------
    pl.DataFrame
        `QUOTES` sorted by symbol, both figures over the 30 days before P; null where there is no bar in them. A price
        that is not of P-1 values a position, but nobody trades at it.
    """
    known = panel.before(at, VOLUME_DAYS)
    known = known.last(int((known.dates >= np.datetime64(at, "D") - VOLUME_DAYS).sum()))
    traded = [np.flatnonzero(there) for there in np.isfinite(known.close).T]
    last = [int(days[-1]) if len(days) else None for days in traded]
    volumes = [known.quote_volume[days, i] for i, days in enumerate(traded)]
    return pl.DataFrame(
        {
            "symbol": known.symbols,
            "quote": known.quotes,
            "price": [None if day is None else float(known.close[day, i]) for i, day in enumerate(last)],
            "price_date": [None if day is None else known.dates[day].item() for day in last],
            "median_quote_volume": [_median(volume) for volume in volumes],
        },
        schema=QUOTES,
    )


def _median(volumes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    there = volumes[np.isfinite(volumes)]
    return float(np.median(there)) if len(there) else None
