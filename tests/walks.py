"""Seeded walks of bars, and the one recursion that plain definitions share."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl


def walk(symbol: str, days: int, seed: int, tick: float = 0.01) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.03, days))) / tick) * tick
    opened = np.concatenate([[100.0], close[:-1]])
    return pl.DataFrame(
        {
            "symbol": [symbol] * days,
            "date": [date(2022, 1, 1) + timedelta(days=i) for i in range(days)],
            "open": opened,
            "high": np.maximum(opened, close) + tick * rng.integers(0, 200, days),
            "low": np.minimum(opened, close) - tick * rng.integers(0, 200, days),
            "close": close,
            "volume": rng.lognormal(8, 1, days),
        }
    )


def still(days: int, price: float) -> pl.DataFrame:
    return walk("STILL", days, 1).with_columns(pl.lit(price).alias(c) for c in ("open", "high", "low", "close"))


def plain_ema(values: list[float], n: int, weight: float) -> list[float]:
    out = [math.nan] * (n - 1) + [sum(values[:n]) / n]
    for value in values[n:]:
        out.append(out[-1] + weight * (value - out[-1]))
    return out
