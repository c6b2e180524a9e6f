"""Futures that never were: nonsense from P on, to find out who looks at it."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import polars as pl

from sleevegraph.bars import KEY, PRICES

DAYS = 90
"""Of noise after P in most draws, or as many as there are bars before it."""
FAR_DAYS = 3 * 365
"""Of noise in the draw for those who look further ahead: a year, and the return over the next one."""
NOBODY = "NOISEUSED"
"""Base of a symbol that is listed in the noise only."""

_AMOUNTS = ("volume", "quote_volume")
_SEED = 20200101


def futures(bars: pl.DataFrame, at: date) -> Iterator[tuple[str, pl.DataFrame]]:
    """Draws with their names, made one at a time: the bars before `at` as they are, and noise on the days from `at` on, sorted as bars are.

    Prices and volumes times random factors; the same for years; the same of every second symbol, the others being gone;
    the last days backwards; prices a million times higher and lower in turns. In each of them a symbol is listed that
    has no bar before `at`.
    """
    known = bars.filter(pl.col("date") < at)
    first, last = known["date"].min(), known["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return
    span = min((last - first).days + 1, DAYS)
    days = pl.col("date") - pl.lit(last)
    recent = known.filter(days > timedelta(days=-span))
    onwards = recent.with_columns(date=pl.lit(at) + days + timedelta(days=span - 1))
    years = (onwards.with_columns(pl.col("date") + timedelta(days=after)) for after in range(0, FAR_DAYS, span))
    turns = pl.when(pl.col("date").dt.ordinal_day() % 2 == 0).then(1e6).otherwise(1e-6)
    extreme = onwards.with_columns(pl.col(*PRICES) * turns, pl.col(*_AMOUNTS) / turns)
    yield "scaled", _market(known, _scaled(onwards))
    yield "scaled for years", _market(known, _scaled(pl.concat(years)))
    yield "half of the symbols gone", _market(known, _scaled(onwards.filter(pl.col("symbol").rank("dense") % 2 == 1)))
    yield "reversed", _market(known, recent.with_columns(date=pl.lit(at) - days))
    yield "extreme", _market(known, extreme)


def _market(known: pl.DataFrame, noise: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([known, _listing(noise)]).sort(KEY)


def _scaled(noise: pl.DataFrame) -> pl.DataFrame:
    factor = pl.Series(np.exp(np.random.default_rng(_SEED).uniform(-3.0, 3.0, noise.height)))
    return noise.with_columns(pl.col(*PRICES, *_AMOUNTS) * factor)


def _listing(noise: pl.DataFrame) -> pl.DataFrame:
    """The noise, and its first symbol a second time under the name of nobody."""
    first = noise.filter(pl.col("symbol") == pl.col("symbol").min())
    name = pl.col("symbol").str.split(":").list.first() + f":{NOBODY}" + pl.col("quote")
    return pl.concat([noise, first.with_columns(symbol=name, base=pl.lit(NOBODY))])


def scores_to_come(table: pl.DataFrame, at: date) -> pl.DataFrame:
    """Rows of a scores file: those before `at` as they are, and random ones on some days from `at` on."""
    known = table.filter(pl.col("date") < at)
    symbols = known["symbol"].unique().sort()
    rng = np.random.default_rng(_SEED)
    days = [at + timedelta(days=after) for after in (0, 1, DAYS, FAR_DAYS)]
    noise = [
        pl.DataFrame({"date": [day] * len(symbols), "symbol": symbols, "score": rng.normal(size=len(symbols)) * 1e3})
        for day in days
    ]
    late = pl.concat(noise).with_row_index("row").select(table.columns).cast(table.schema)
    return pl.concat([known, late]).sort("row", maintain_order=True)
