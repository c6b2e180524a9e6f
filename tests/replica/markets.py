"""Frames for the replica: a small made market, and the recorded ones."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.replica.build import build
from tests.shared import SHARED

SMALL_NOW = datetime(2025, 2, 10, 13, 30, tzinfo=UTC)
"""Where a replica of the small market begins; its bars go on to SMALL_END, so that a test can play the days between."""
SMALL_ARCHIVE_UNTIL = date(2025, 2, 8)
SMALL_DAILY_FROM = date(2025, 1, 1)
SMALL_FIRST, SMALL_END = date(2024, 11, 1), date(2025, 3, 5)
SMALL_SYMBOLS = {
    "BTCUSDT": (SMALL_FIRST, SMALL_END),
    "ETHUSDT": (SMALL_FIRST, SMALL_END),
    "GONEUSDT": (SMALL_FIRST, date(2025, 1, 20)),
    "NEWUSDT": (date(2024, 12, 12), SMALL_END),
    "币安人生USDT": (SMALL_FIRST, SMALL_END),
    "SPLITUSDT": (SMALL_FIRST, SMALL_END),
}
"""First and last day. GONE is delisted; SPLIT pauses for SPLIT_PAUSE and comes back at a thousandth of its price."""
SPLIT_PAUSE = (date(2024, 12, 20), date(2024, 12, 22))

RECORDED_NOW = datetime(2023, 12, 30, 12, tzinfo=UTC)
RECORDED_ARCHIVE_UNTIL = date(2023, 12, 27)

SUMMED = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def small_market(seed: int = 5) -> dict[str, pl.DataFrame]:
    """Six spot symbols (1h, and 1d summed from it) and two perpetuals (1d, funding, ten days of metrics)."""
    hourly = pl.concat([_hours(symbol, *days, seed + i) for i, (symbol, days) in enumerate(SMALL_SYMBOLS.items())])
    daily = summed(hourly, "1d")
    perpetuals = daily.filter(pl.col("symbol").is_in(["BTCUSDT", "ETHUSDT"]))
    return {
        "spot_klines_1h": hourly,
        "spot_klines_1d": daily,
        "um_klines_1d": perpetuals,
        "um_funding_rates": _funding(["BTCUSDT", "ETHUSDT"], seed),
        "um_metrics": _metrics(["BTCUSDT", "ETHUSDT"], seed),
    }


def build_small(folder: Path) -> None:
    """The small market with files to the end of its bars; a replica starts at that end, its clock is for the test."""
    end = datetime.combine(SMALL_END + timedelta(days=1), datetime.min.time(), UTC)
    build(folder, small_market(), now=end, daily_from=SMALL_DAILY_FROM)


def build_recorded(folder: Path) -> None:
    """The 411 recorded symbols at RECORDED_NOW."""
    build(folder, {"spot_klines_1d": recorded_daily()}, now=RECORDED_NOW, packed=True)


def summed(bars: pl.DataFrame, interval: str) -> pl.DataFrame:
    """Bars of a longer interval: first open, highest high, lowest low, last close, sums rounded to eight decimals."""
    return (
        bars.sort("symbol", "open_time")
        .group_by("symbol", pl.col("open_time").dt.truncate(interval), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *(pl.col(name).sum().round(8) if name != "trades" else pl.col(name).sum() for name in SUMMED),
        )
    )


def _hours(symbol: str, first: date, last: date, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    count = ((last - first).days + 1) * 24
    start = datetime.combine(first, datetime.min.time(), UTC)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0, 0.005, count))), 4)
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + rng.uniform(0, 0.004, count)), 4)
    low = np.round(np.minimum(opened, close) * (1 - rng.uniform(0, 0.004, count)), 4)
    volume = np.round(rng.lognormal(8, 1, count), 3)
    taken = np.round(volume * rng.uniform(0.3, 0.7, count), 3)
    frame = pl.DataFrame(
        {
            "symbol": symbol,
            "open_time": pl.datetime_range(start, start + timedelta(hours=count - 1), "1h", time_unit="us", eager=True),
            "open": opened,
            "high": np.maximum.reduce([opened, close, high]),
            "low": np.minimum.reduce([opened, close, low]),
            "close": close,
            "volume": volume,
            "quote_volume": np.round(volume * (opened + close) / 2, 7),
            "trades": rng.integers(1, 5000, count),
            "taker_buy_volume": taken,
            "taker_buy_quote_volume": np.round(taken * (opened + close) / 2, 7),
        }
    )
    return _redenominated(frame) if symbol == "SPLITUSDT" else frame


def _redenominated(frame: pl.DataFrame) -> pl.DataFrame:
    """After the pause a thousand new units stand for an old one."""
    day = pl.col("open_time").dt.date()
    after = day > SPLIT_PAUSE[1]
    prices = [
        pl.when(after).then((pl.col(n) / 1000).round(7)).otherwise(pl.col(n)) for n in ("open", "high", "low", "close")
    ]
    units = [
        pl.when(after).then(pl.col(n) * 1000).otherwise(pl.col(n)).round(3) for n in ("volume", "taker_buy_volume")
    ]
    return frame.filter(~day.is_between(*SPLIT_PAUSE)).with_columns(*prices, *units)


def _times(first: date, last: date, every: str) -> pl.Series:
    bounds = (datetime.combine(day, datetime.min.time(), UTC) for day in (first, last + timedelta(days=1)))
    return pl.datetime_range(*bounds, every, time_unit="us", closed="left", eager=True)


def _funding(symbols: list[str], seed: int) -> pl.DataFrame:
    """Every eight hours, a few milliseconds late as the real ones are."""
    times = _times(SMALL_FIRST, SMALL_END, "8h")
    rng = np.random.default_rng(seed)
    return pl.concat(
        pl.DataFrame(
            {
                "symbol": symbol,
                "funding_time": times + pl.Series(rng.integers(0, 12, len(times)) * 1000).cast(pl.Duration("us")),
                "funding_interval_hours": pl.repeat(8, len(times), dtype=pl.Int64, eager=True),
                "funding_rate": np.round(rng.normal(1e-4, 5e-5, len(times)), 8),
            }
        )
        for symbol in symbols
    )


def _metrics(symbols: list[str], seed: int) -> pl.DataFrame:
    """Every five minutes of ten days; the labels are the periods' ends, so the first is 00:05."""
    times = _times(date(2025, 1, 25), date(2025, 2, 3), "5m") + timedelta(minutes=5)
    rng = np.random.default_rng(seed)
    return pl.concat(
        pl.DataFrame(
            {
                "symbol": symbol,
                "time": times,
                "open_interest": np.round(rng.lognormal(10, 0.1, len(times)), 3),
                "open_interest_value": np.round(rng.lognormal(15, 0.1, len(times)), 2),
                "top_trader_count_ratio": np.round(rng.uniform(0.5, 2, len(times)), 4),
                "top_trader_position_ratio": np.round(rng.uniform(0.5, 2, len(times)), 4),
                "account_ratio": np.round(rng.uniform(0.5, 2, len(times)), 4),
                "taker_volume_ratio": pl.Series(rng.uniform(0.5, 2, len(times)).round(4)).set(
                    pl.Series(rng.uniform(size=len(times)) < 0.01), None
                ),
            }
        )
        for symbol in symbols
    )


def _recorded(name: str, time: str = "open_time") -> pl.DataFrame:
    frame = pl.read_parquet(SHARED / "market" / name)
    return frame.with_columns(pl.col(time).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))


def recorded_daily() -> pl.DataFrame:
    """411 spot symbols, 2021-04-05 to 2023-12-29."""
    return _recorded("spot_daily.parquet", "date").rename({"date": "open_time"}).drop("n_hours")


def recorded_hourly() -> pl.DataFrame:
    """23 spot symbols, 2021-04-04 20:00 to 2023-12-30 18:00."""
    return _recorded("spot_hourly.parquet")


def recorded_15m() -> pl.DataFrame:
    """Eight spot symbols, 2024-01-01 to 2024-09-07."""
    return _recorded("spot_15m.parquet")


def recorded_perpetuals() -> dict[str, pl.DataFrame]:
    """BTCUSDT and ETHUSDT: bars and funding from 2020-06, open interest from 2021-12, to 2025-07."""
    funding = _recorded("perp_long/funding.parquet", "funding_time").with_columns(
        funding_interval_hours=pl.lit(8, pl.Int64)
    )
    bars = _recorded("perp_long/bars_15m.parquet")
    return {
        "um_klines_15m": bars,
        "um_funding_rates": funding,
        "um_metrics": _recorded("perp_long/open_interest_5m.parquet", "time"),
    }
