"""The eleven oscillator votes, one indicator and one vote function each."""

import numpy as np

from sleevegraph.panel import Floats
from sleevegraph.ratings.ballot import Candles, Votes, ballot
from sleevegraph.ratings.trend import directional_index, true_range
from sleevegraph.ratings.windows import (
    TOLERANCE,
    above,
    below,
    ema,
    highest,
    known,
    lag,
    lowest,
    ratio,
    sma,
    sma_of_known,
    wilder,
    window_sum,
)

NAMES = (
    "v_rsi",
    "v_stoch",
    "v_cci",
    "v_adx",
    "v_ao",
    "v_mom",
    "v_macd",
    "v_stochrsi",
    "v_wr",
    "v_bbp",
    "v_uo",
)


def oscillator_votes(candles: Candles) -> tuple[Votes, ...]:
    """One matrix of votes per name in NAMES, in that order."""
    high, low, close = candles.high, candles.low, candles.close
    rsi14, trend = rsi(close, 14), ema(close, 50)
    return (
        reversal_vote(rsi14, 30.0, 70.0),
        stochastic_vote(high, low, close),
        reversal_vote(cci20((high + low + close) / 3.0), -100.0, 100.0),
        adx_vote(high, low, close),
        awesome_vote((high + low) / 2.0),
        momentum_vote(close),
        macd_vote(close),
        stochastic_rsi_vote(rsi14, close, trend),
        reversal_vote(williams14(high, low, close), -80.0, -20.0),
        bull_bear_vote(high, low, close, trend),
        ultimate_vote(high, low, close),
    )


def reversal_vote(value: Floats, oversold: float, overbought: float) -> Votes:
    """Buy an oversold value that rises, sell an overbought one that falls."""
    before = lag(value)
    return ballot(
        below(value, oversold) & above(value, before),
        above(value, overbought) & below(value, before),
        known(value, before),
    )


def rsi(close: Floats, bars: int) -> Floats:
    """Relative strength index; 100 where the average loss is 0."""
    change = close - lag(close)
    gain, loss = wilder(np.maximum(change, 0.0), bars), wilder(np.maximum(-change, 0.0), bars)
    lossless = loss <= TOLERANCE
    value = 100.0 - 100.0 / (1.0 + gain / np.where(lossless, 1.0, loss))
    value[lossless] = 100.0
    return value


def stochastic(high: Floats, low: Floats, source: Floats, bars: int) -> tuple[Floats, Floats]:
    """%K and %D: the place of `source` in its range of `bars`, smoothed over 3 and again over 3."""
    bottom = lowest(low, bars)
    place = 100.0 * ratio(source - bottom, highest(high, bars) - bottom)
    k = sma_of_known(place, 3)
    return k, sma(k, 3)


def stochastic_vote(high: Floats, low: Floats, close: Floats) -> Votes:
    """Stochastic 8, 3, 3."""
    k, d = stochastic(high, low, close, 8)
    return ballot(
        below(k, 20.0) & below(d, 20.0) & above(k, d),
        above(k, 80.0) & above(d, 80.0) & below(k, d),
        known(k, d, lag(k), lag(d)),
    )


def stochastic_rsi_vote(rsi14: Floats, close: Floats, trend: Floats) -> Votes:
    """Stochastic RSI 3, 3, 14, 14, taken against the trend of EMA 50."""
    k, d = stochastic(rsi14, rsi14, rsi14, 14)
    return ballot(
        below(close, trend) & below(k, 20.0) & below(d, 20.0) & above(k, d),
        above(close, trend) & above(k, 80.0) & above(d, 80.0) & below(k, d),
        known(k, d, lag(k), lag(d)),
    )


def cci20(typical: Floats) -> Floats:
    """Commodity channel index: distance from the mean in 0.015 mean absolute deviations."""
    mean = sma(typical, 20)
    deviation = np.abs(typical - mean)
    for age in range(1, 20):
        deviation[age:] += np.abs(typical[:-age] - mean[age:])
    return ratio(typical - mean, 0.015 * (deviation / 20.0))


def adx_vote(high: Floats, low: Floats, close: Floats) -> Votes:
    """ADX above 20 and rising: the side of the larger directional indicator."""
    adx, plus, minus = directional_index(high, low, close)
    strong = above(adx, 20.0) & above(adx, lag(adx))
    return ballot(
        strong & above(plus, minus),
        strong & below(plus, minus),
        known(adx, plus, minus, lag(plus), lag(minus)),
    )


def awesome_vote(median: Floats) -> Votes:
    """Awesome oscillator: a crossing of 0, exact, or a turn back to the side where it is (a saucer)."""
    value = sma(median, 5) - sma(median, 34)
    before = lag(value)
    earlier = lag(before)
    up = above(value, 0.0) & above(before, 0.0) & above(value, before) & below(before, earlier)
    down = below(value, 0.0) & below(before, 0.0) & below(value, before) & above(before, earlier)
    return ballot(
        up | ((value > 0.0) & (before <= 0.0)),
        down | ((value < 0.0) & (before >= 0.0)),
        known(value, before),
    )


def momentum_vote(close: Floats) -> Votes:
    """Momentum 10, rising or falling."""
    value = close - lag(close, 10)
    before = lag(value)
    return ballot(above(value, before), below(value, before), known(value, before))


def macd_vote(close: Floats) -> Votes:
    """MACD 12/26 against its signal 9."""
    macd = ema(close, 12) - ema(close, 26)
    signal = ema(macd, 9)
    return ballot(above(macd, signal), below(macd, signal), known(signal))


def williams14(high: Floats, low: Floats, close: Floats) -> Floats:
    """Williams %R, from -100 to 0."""
    top = highest(high, 14)
    return 100.0 * ratio(close - top, top - lowest(low, 14))


def bull_bear_vote(high: Floats, low: Floats, close: Floats, trend: Floats) -> Votes:
    """Bull Bear power 13: buy weakening bears above EMA 50, sell weakening bulls below it."""
    average = ema(close, 13)
    bull, bear = high - average, low - average
    return ballot(
        above(close, trend) & below(bear, 0.0) & above(bear, lag(bear)),
        below(close, trend) & above(bull, 0.0) & below(bull, lag(bull)),
        known(bull, bear, lag(bull), lag(bear)),
    )


def ultimate_oscillator(high: Floats, low: Floats, close: Floats) -> Floats:
    """Ultimate oscillator 7/14/28: buying pressure over true range, weights 4, 2, 1."""
    pressure = close - np.minimum(low, lag(close))
    spread = true_range(high, low, close)
    fast, middle, slow = (ratio(window_sum(pressure, bars), window_sum(spread, bars)) for bars in (7, 14, 28))
    return 100.0 * (4.0 * fast + 2.0 * middle + slow) / 7.0


def ultimate_vote(high: Floats, low: Floats, close: Floats) -> Votes:
    """Above 70 buys and below 30 sells, as the scanner has it."""
    value = ultimate_oscillator(high, low, close)
    return ballot(above(value, 70.0), below(value, 30.0), known(value))
