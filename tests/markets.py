"""Markets for tests: small ones made of walks, and the recorded one."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from sleevegraph.bars import canonical_bars
from sleevegraph.panel import Panel, build_panel
from tests.shared import SHARED

RECORDED_NOT_CRYPTO = {
    "stable": ("AEUR", "BUSD", "FDUSD", "PAX", "SUSD", "TUSD", "USDC", "USDP", "UST", "USTC"),
    "fiat": ("AUD", "EUR", "GBP"),
    "wrapped": ("BETH", "PAXG", "WBETH", "WBTC"),
}
"""The seventeen bases that the recorded set's own description names."""


def walk(days: int, seed: int, scale: float = 0.03) -> np.ndarray:
    """Closes of a geometric random walk."""
    return 100.0 * np.cumprod(1.0 + np.clip(np.random.default_rng(seed).standard_normal(days) * scale, -0.5, 2.0))


def bars_of(
    closes: Mapping[str, Sequence[float]], end: date, volumes: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Daily bars up to and with `end`; keys are `BASE` or `BASE/QUOTE`, a close of NaN is a day without a bar.

    `volumes` are in quote units a day, 10 million unless told.
    """
    frames = []
    for key, prices in closes.items():
        base, _, quote = key.partition("/")
        quote = quote or "USDT"
        close = np.asarray(prices, dtype=np.float64)
        first = end - timedelta(days=len(close) - 1)
        money = (volumes or {}).get(key, 1e7)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": f"BINANCE:{base}{quote}",
                    "base": base,
                    "quote": quote,
                    "date": [first + timedelta(days=i) for i in range(len(close))],
                    **dict.fromkeys(("open", "high", "low", "close"), close),
                    "volume": money / close,
                    "quote_volume": money,
                }
            ).filter(pl.col("close").is_not_nan())
        )
    return pl.concat(frames)


@cache
def recorded_bars() -> pl.DataFrame:
    """The recorded daily set as bars; only where the shared folder is."""
    return canonical_bars(pl.read_parquet(SHARED / "market" / "spot_daily.parquet"), "spot_daily.parquet")


@cache
def recorded_panel() -> Panel:
    """The recorded daily set as a panel; only where the shared folder is."""
    return build_panel(recorded_bars())


def with_noise_from(bars: pl.DataFrame, at: date, seed: int = 7) -> pl.DataFrame:
    """The same bars with everything at or after `at` replaced by nonsense, and a symbol more."""
    rng = np.random.default_rng(seed)
    late = pl.col("date") >= at
    factor = pl.Series(rng.uniform(0.01, 50.0, bars.height))
    numbers = ("open", "high", "low", "close", "volume", "quote_volume")
    noisy = bars.with_columns(pl.when(late).then(pl.col(n) * factor).otherwise(pl.col(n)).alias(n) for n in numbers)
    newcomer = noisy.filter(late).head(20).with_columns(symbol=pl.lit("BINANCE:AAANEWUSDT"), base=pl.lit("AAANEW"))
    return pl.concat([noisy, newcomer.unique("date", maintain_order=True)])
