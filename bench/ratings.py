"""Time the ratings of a whole market against two per-symbol ways, in one run on one machine.

    python -m bench.ratings [--bars PATH]

Without --bars the market is a seeded random walk: 411 symbols x 999 days. The pandas way computes the
indicators only, not the votes, so its ratio is a lower bound.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from sleevegraph.ratings import technical_ratings

ROUNDS = 3
LENGTHS = (10, 20, 30, 50, 100, 200)


def random_market(symbols: int = 411, days: int = 999, seed: int = 7) -> pl.DataFrame:
    """Bars of seeded random walks."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.04, (symbols, days)), axis=1)).ravel()
    opened = close * np.exp(rng.normal(0.0, 0.02, close.size))
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:03d}USDT" for i in range(symbols)], days),
            "date": np.tile(np.datetime64("2021-04-05", "D") + np.arange(days), symbols),
            "open": opened,
            "high": np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.01, close.size))),
            "low": np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.01, close.size))),
            "close": close,
            "volume": rng.lognormal(10.0, 1.0, close.size),
        }
    )


def symbol_by_symbol(bars: pl.DataFrame) -> None:
    """Our function, called once for each symbol."""
    for part in bars.partition_by("symbol"):
        technical_ratings(part)


def pandas_indicators(bars: pl.DataFrame) -> None:
    """Rolling and ewm calls on each symbol's columns."""
    for part in bars.partition_by("symbol"):
        high, low, close, volume = (pd.Series(part[name].to_numpy()) for name in ("high", "low", "close", "volume"))
        pd.DataFrame({**averages(close, volume), **oscillators(high, low, close)})


def ema(values: pd.Series, bars: int) -> pd.Series:
    """Exponential moving average, seeded with the first value."""
    return values.ewm(span=bars, adjust=False).mean()


def wilder(values: pd.Series, bars: int = 14) -> pd.Series:
    """Wilder's moving average, seeded with the first value."""
    return values.ewm(alpha=1 / bars, adjust=False).mean()


def wma(values: pd.Series, bars: int) -> pd.Series:
    """Linearly weighted moving average."""
    return sum((bars - age) * values.shift(age) for age in range(bars)) * 2 / (bars * (bars + 1))


def averages(close: pd.Series, volume: pd.Series) -> dict[str, pd.Series]:
    """The moving averages."""
    return {
        **{f"sma{bars}": close.rolling(bars).mean() for bars in LENGTHS},
        **{f"ema{bars}": ema(close, bars) for bars in LENGTHS},
        "hma9": wma(2 * wma(close, 4) - wma(close, 9), 3),
        "vwma20": (close * volume).rolling(20).sum() / volume.rolling(20).sum(),
    }


def oscillators(high: pd.Series, low: pd.Series, close: pd.Series) -> dict[str, pd.Series]:
    """The oscillators."""
    change, before, typical, median = close.diff(), close.shift(), (high + low + close) / 3, (high + low) / 2
    spread = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    pressure = close - np.minimum(low, before)
    up, down = high.diff(), -low.diff()
    plus = 100 * wilder(up.where((up > down) & (up > 0), 0.0)) / wilder(spread)
    minus = 100 * wilder(down.where((down > up) & (down > 0), 0.0)) / wilder(spread)
    rsi = 100 - 100 / (1 + wilder(change.clip(lower=0)) / wilder(-change.clip(upper=0)))
    macd = ema(close, 12) - ema(close, 26)
    stochastic = place(close, high, low, 8).rolling(3).mean()
    stochastic_rsi = place(rsi, rsi, rsi, 14).rolling(3).mean()
    deviation = sum((typical.shift(age) - typical.rolling(20).mean()).abs() for age in range(20)) / 20
    parts = [pressure.rolling(bars).sum() / spread.rolling(bars).sum() for bars in (7, 14, 28)]
    return {
        "rsi": rsi,
        "stoch_k": stochastic,
        "stoch_d": stochastic.rolling(3).mean(),
        "cci": (typical - typical.rolling(20).mean()) / (0.015 * deviation),
        "adx": wilder(100 * (plus - minus).abs() / (plus + minus)),
        "ao": median.rolling(5).mean() - median.rolling(34).mean(),
        "mom": close.diff(10),
        "macd": macd,
        "macd_signal": ema(macd, 9),
        "stochrsi_k": stochastic_rsi,
        "stochrsi_d": stochastic_rsi.rolling(3).mean(),
        "wr": place(close, high, low, 14) - 100,
        "bull": high - ema(close, 13),
        "bear": low - ema(close, 13),
        "uo": 100 * (4 * parts[0] + 2 * parts[1] + parts[2]) / 7,
    }


def place(source: pd.Series, high: pd.Series, low: pd.Series, bars: int) -> pd.Series:
    """Place in the range of the last bars, in per cent."""
    bottom = low.rolling(bars).min()
    return 100 * (source - bottom) / (high.rolling(bars).max() - bottom)


def seconds(task: Callable[[pl.DataFrame], object], bars: pl.DataFrame) -> float:
    """Median wall seconds of ROUNDS runs."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        task(bars)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=Path, help="Parquet with symbol, date, open, high, low, close, volume")
    path = parser.parse_args().bars
    bars = pl.read_parquet(path) if path else random_market()
    print(f"{bars['symbol'].n_unique()} symbols, {bars.height} bars, median of {ROUNDS} rounds")
    ways = {
        "whole market": technical_ratings,
        "symbol by symbol": symbol_by_symbol,
        "pandas, indicators only": pandas_indicators,
    }
    ours = 0.0
    for name, task in ways.items():
        taken = seconds(task, bars)
        ours = ours or taken
        print(f"{name:<24} {taken:8.3f} s {taken / ours:7.1f} x")


if __name__ == "__main__":
    main()
