"""What the market says of a symbol before P: a price, how much of it can be traded, and what its quote is worth."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from sleevegraph.panel import Panel

VOLUME_DAYS: Final = 30

QUOTES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "base": pl.String(),
        "quote": pl.String(),
        "price": pl.Float64(),
        "price_date": pl.Date(),
        "median_quote_volume": pl.Float64(),
        "rate": pl.Float64(),
    }
)
"""Price and volume are in the quote; `rate` is what one unit of the quote is worth in the currency of the equity."""


def market_quotes(panel: Panel, at: date, currency: str) -> pl.DataFrame:
    """Last close and median daily quote volume of every symbol, and the rate of its quote.

    Parameters
    ----------
    panel
        Bars; those dated `at` or later are not read.
    at
        The rebalance date P.
    currency
        Of the equity.

    Returns
    -------
    pl.DataFrame
        `QUOTES` sorted by symbol, price and volume over the 30 days before P; null where there is no bar in them. A
        price that is not of P-1 values a position, but nobody trades at it. The rate is 1 for the currency itself, else
        the close of P-1 of the exchange's pair QUOTE/CURRENCY, else one over that of CURRENCY/QUOTE, else null: no
        money is taken for another, stablecoins neither.
    """
    known = panel.before(at, VOLUME_DAYS)
    known = known.last(int((known.dates >= np.datetime64(at, "D") - VOLUME_DAYS).sum()))
    traded = [np.flatnonzero(there) for there in np.isfinite(known.close).T]
    last = [int(days[-1]) if len(days) else None for days in traded]
    volumes = [known.quote_volume[days, i] for i, days in enumerate(traded)]
    found = pl.DataFrame(
        {
            "symbol": known.symbols,
            "base": known.bases,
            "quote": known.quotes,
            "price": [None if day is None else float(known.close[day, i]) for i, day in enumerate(last)],
            "price_date": [None if day is None else known.dates[day].item() for day in last],
            "median_quote_volume": [_median(volume) for volume in volumes],
        },
        schema={name: kind for name, kind in QUOTES.items() if name != "rate"},
    )
    return found.with_columns(pl.Series("rate", rates(found, currency, at), pl.Float64()))


def rates(quotes: pl.DataFrame, currency: str, at: date) -> list[float | None]:
    """The column `rate` of quotes that have the others."""
    eve = quotes.filter(pl.col("price_date") == at - timedelta(days=1))
    closes = {
        (_exchange(symbol), base, quote): price
        for symbol, base, quote, price in eve.select("symbol", "base", "quote", "price").iter_rows()
        if currency in {base, quote}
    }
    names = quotes.select("symbol", "quote").iter_rows()
    return [_rate(_exchange(symbol), quote, currency, closes) for symbol, quote in names]


def _rate(exchange: str, quote: str, currency: str, closes: Mapping[tuple[str, str, str], float]) -> float | None:
    if quote == currency:
        return 1.0
    direct, inverse = closes.get((exchange, quote, currency)), closes.get((exchange, currency, quote))
    return direct or (1.0 / inverse if inverse else None)


def _exchange(symbol: str) -> str:
    return symbol.partition(":")[0]


def _median(volumes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    there = volumes[np.isfinite(volumes)]
    return float(np.median(there)) if len(there) else None
