"""A simulated market, for demonstrations and tests: no price in it was ever traded.

A factor model with regimes, fat tails and volatility clusters, and on it every trap that recorded
Binance bars set: listings, delistings, gaps, a redenomination, a reused ticker, pegged and wrapped
coins, a genuine jump above +500 % and a symbol too thin to hold.

Each random quantity has its own stream and is drawn day by day, so the bars up to one end are, to the
bit, the first bars of any longer run.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from sleevegraph.bars import BAR_SCHEMA, KEY
from sleevegraph.errors import ConfigurationError

START: Final = date(2021, 1, 1)
MIN_SYMBOLS: Final = 20

REGIMES: Final = ("bull", "bear", "crash")
STAY_OR_MOVE: Final = ((0.985, 0.012, 0.003), (0.014, 0.979, 0.007), (0.03, 0.12, 0.85))
"""Daily transition probabilities between REGIMES."""

DRIFT: Final = (0.003, -0.002, -0.012)
VOLATILITY: Final = (0.02, 0.025, 0.045)
SECTORS: Final = 5
SECTOR_VOLATILITY: Final = 0.015
TAIL_DEGREES: Final = 4
TAIL_LIMIT: Final = 6.0
"""Draws beyond so many standard deviations are cut: a jump above +500 % happens where it is planned."""

SIGNIFICANT_DIGITS: Final = 8

LATE_SHARE: Final = 0.3
DELISTED_SHARE: Final = 0.12
"""Of the coins that trade from the start."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Coin:
    """A symbol's life; days count from the market's start and `until` is the first day without it."""

    base: str
    kind: Literal["free", "benchmark", "pegged", "wrapped"] = "free"
    listed: int = 0
    until: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    moves: tuple[tuple[int, float], ...] = ()
    """(day, price ratio) traded within one day."""
    rescales: tuple[tuple[int, float], ...] = ()
    """(day, price ratio) between two bars, after a gap."""
    quote_volume: float | None = None


PLANNED: Final = (
    _Coin("BTC", "benchmark", quote_volume=2e9),
    _Coin("USDC", "pegged", quote_volume=3e8),
    _Coin("WBTC", "wrapped", quote_volume=1e7),
    _Coin("SIM001", gaps=((500, 508),), rescales=((508, 0.001),)),
    _Coin("SIM002", moves=((495, 0.2), (496, 0.2), (497, 0.1)), gaps=((499, 516),), rescales=((516, 2e4),)),
    _Coin("SIM003", moves=((620, 7.2),)),
    _Coin("SIM004", quote_volume=5e4),
    _Coin("SIM005", "pegged", quote_volume=2e7),
    _Coin("SIM006", gaps=((430, 433), (700, 860))),
)
"""The coins with a part to play: SIM005 is pegged although no list names it."""


def simulated_bars(end: date, *, seed: int = 7, symbols: int = 60, start: date = START) -> pl.DataFrame:
    """Daily bars of `symbols` simulated USDT pairs from `start` to `end`, both included.

    The same arguments give the same bars to the bit, and a later `end` only adds days. BINANCE:BTCUSDT
    trades on every day; names SIM001 … belong to no real coin.

    Returns
    -------
    polars.DataFrame
        BAR_SCHEMA, sorted by symbol and date. Quote volumes are given, not derived.

    Raises
    ------
    ConfigurationError
        Fewer symbols than the planned ones need, a negative seed, or an `end` before `start`.
    """
    if symbols < MIN_SYMBOLS:
        raise ConfigurationError(f"simulated market: symbols: expected at least {MIN_SYMBOLS}, found {symbols}")
    if seed < 0:
        raise ConfigurationError(f"simulated market: seed: expected 0 or more, found {seed}")
    if end < start:
        raise ConfigurationError(f"simulated market: end: expected {start} or later, found {end}")
    days = (end - start).days + 1
    streams = [Generator(PCG64(s)) for s in SeedSequence(seed).spawn(10)]
    coins = _coins(symbols, streams[0])
    earned = _ordinary_returns(coins, days, streams[1:6])
    draws = np.stack([stream.standard_normal((days, symbols)) for stream in streams[6:9]])
    price, turnover = _levels(coins, streams[9])
    dates = pl.date_range(start, end, eager=True)
    frames = [
        _life(coin, dates, earned[:, j], draws[:, :, j], price=float(price[j]), turnover=float(turnover[j]))
        for j, coin in enumerate(coins)
    ]
    return pl.concat(frames).sort(KEY)


def _coins(symbols: int, stream: Generator) -> tuple[_Coin, ...]:
    """The planned coins, then free ones of which some list later and some are delisted."""
    coins = list(PLANNED)
    first = len([c for c in PLANNED if c.base.startswith("SIM")]) + 1
    for number in range(first, first + symbols - len(PLANNED)):
        late, leaves, listed, left = stream.random(4)
        if late < LATE_SHARE:
            coins.append(_Coin(f"SIM{number:03d}", listed=int(30 + 770 * listed)))
        else:
            coins.append(_Coin(f"SIM{number:03d}", until=int(450 + 600 * left) if leaves < DELISTED_SHARE else None))
    return tuple(coins)


def _ordinary_returns(coins: tuple[_Coin, ...], days: int, streams: list[Generator]) -> Floats:
    """Log returns that a holder earns, (days, coins): market, sector and own shocks."""
    chain, shocks, sector_shocks, own_shocks, loadings = streams
    market = _market(days, chain, shocks)
    sectors = SECTOR_VOLATILITY * _tails(sector_shocks, (days, SECTORS))
    own = _tails(own_shocks, (days, len(coins)))
    returns = np.empty((days, len(coins)))
    for j, coin in enumerate(coins):
        beta, volatility = loadings.uniform(0.6, 1.5), loadings.uniform(0.02, 0.05)
        sector = int(loadings.integers(SECTORS))
        if coin.kind == "benchmark":
            returns[:, j] = market + 0.004 * own[:, j]
        elif coin.kind == "pegged":
            returns[:, j] = np.diff(0.0003 * own[:, j], prepend=0.0)
        elif coin.kind == "wrapped":
            returns[:, j] = returns[:, 0] + np.diff(0.0005 * own[:, j], prepend=0.0)
        else:
            returns[:, j] = beta * market + sectors[:, sector] + volatility * own[:, j]
        for day, ratio in coin.moves:
            returns[day : day + 1, j] = np.log(ratio)
    return returns


def _market(days: int, chain: Generator, shocks: Generator) -> Floats:
    """The market factor: a Markov chain of regimes, and volatility that clusters within them."""
    draws, tails, calm = chain.random(days), _tails(shocks, (days, 1))[:, 0], 0.0
    thresholds = np.cumsum(STAY_OR_MOVE, axis=1)
    state, market = 0, np.empty(days)
    for day in range(days):
        state = min(int(np.searchsorted(thresholds[state], draws[day], side="right")), len(REGIMES) - 1)
        market[day] = DRIFT[state] + VOLATILITY[state] * np.exp(calm) * tails[day]
        calm = 0.93 * calm + 0.12 * (abs(tails[day]) - 0.7)
    return market


def _levels(coins: tuple[_Coin, ...], stream: Generator) -> tuple[Floats, Floats]:
    """First price and typical daily quote volume of each coin."""
    fixed = {"benchmark": 29_000.0, "wrapped": 29_000.0, "pegged": 1.0}
    price, turnover = np.empty(len(coins)), np.empty(len(coins))
    for j, coin in enumerate(coins):
        free, volume = np.exp(stream.uniform(np.log((0.05, 4e6)), np.log((200.0, 2e8))))
        price[j] = fixed.get(coin.kind, free)
        turnover[j] = coin.quote_volume or volume
    return price, turnover


def _tails(stream: Generator, shape: tuple[int, int]) -> Floats:
    """Student-t draws of unit variance."""
    draws: Floats = stream.standard_t(TAIL_DEGREES, shape) / np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2))
    return draws.clip(-TAIL_LIMIT, TAIL_LIMIT)


def _life(
    coin: _Coin, dates: pl.Series, earned: Floats, draws: Floats, *, price: float, turnover: float
) -> pl.DataFrame:
    """Bars of one coin on the days on which it trades.

    `earned` (days,) are its log returns; `draws` (3, days) move the high, the low and the volume.
    """
    size = np.abs(earned)
    closes = np.log(price) + np.cumsum(earned + _jumps(coin, len(dates)))
    opens = closes - earned
    spread = 0.35 * size + (0.0002 if coin.kind == "pegged" else 0.008)
    highs = np.maximum(opens, closes) + spread * np.abs(draws[0])
    lows = np.minimum(opens, closes) - spread * np.abs(draws[1])
    quote_volume = turnover * np.exp(0.4 * draws[2] + 5.0 * size.clip(max=0.3))
    decimals = SIGNIFICANT_DIGITS - math.floor(math.log10(price))
    close = _ticks(closes, decimals)
    columns = {
        "symbol": pl.repeat(f"BINANCE:{coin.base}USDT", len(dates), eager=True),
        "base": pl.repeat(coin.base, len(dates), eager=True),
        "quote": pl.repeat("USDT", len(dates), eager=True),
        "date": dates,
        "open": _ticks(opens, decimals),
        "high": _ticks(highs, decimals),
        "low": _ticks(lows, decimals),
        "close": close,
        "volume": np.round(quote_volume / close, 3),
        "quote_volume": np.round(quote_volume, 2),
        "quote_volume_derived": np.zeros(len(dates), dtype=np.bool_),
    }
    return pl.DataFrame(columns, schema=BAR_SCHEMA).filter(pl.Series(_trades(coin, len(dates))))


def _jumps(coin: _Coin, days: int) -> Floats:
    """Log price changes that nobody earns: another unit or another coin under the same name."""
    jumps = np.zeros(days)
    for day, ratio in coin.rescales:
        jumps[day : day + 1] = np.log(ratio)
    return jumps


def _trades(coin: _Coin, days: int) -> NDArray[np.bool_]:
    day = np.arange(days)
    trades = (day >= coin.listed) & (day < (days if coin.until is None else coin.until))
    for first, reopened in coin.gaps:
        trades &= (day < first) | (day >= reopened)
    return trades


def _ticks(log_price: Floats, decimals: int) -> Floats:
    """Prices on a grid, as an exchange quotes them; monotone, so the order of a bar's prices is kept."""
    prices: Floats = np.exp(log_price)
    return prices.round(decimals).clip(min=10.0**-decimals)
