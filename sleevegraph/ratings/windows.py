"""Fixed windows over bars: matrices of shape (bars, symbols), unknown = NaN.

Every value is made of the same additions in the same order whatever stands in other columns or later
rows, so a bar's result is the same to the bit for one symbol or for a whole market.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sleevegraph.panel import Floats

Mask = NDArray[np.bool_]

TOLERANCE = 1e-10
"""Two values closer than this are equal; crossovers alone compare exactly."""


def above(left: Floats, right: Floats | float) -> Mask:
    """Left > right by more than the tolerance; False where either is unknown."""
    return (left - right) > TOLERANCE


def below(left: Floats, right: Floats | float) -> Mask:
    """Left < right by more than the tolerance; False where either is unknown."""
    return (right - left) > TOLERANCE


def known(*values: Floats) -> Mask:
    """Where all of the values are known."""
    mask = ~np.isnan(values[0])
    for value in values[1:]:
        mask &= ~np.isnan(value)
    return mask


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; unknown where the denominator is 0."""
    out = np.full_like(numerator, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator != 0.0)
    return out


def lag(values: Floats, bars: int = 1) -> Floats:
    """The value of `bars` bars ago."""
    out = np.full_like(values, np.nan)
    out[bars:] = values[:-bars]
    return out


def hold_last(values: Floats) -> Floats:
    """Unknown values after a known one replaced by the last known one."""
    out = values.copy()
    unknown = np.isnan(values)
    for bar in range(1, len(out)):
        np.copyto(out[bar], out[bar - 1], where=unknown[bar])
    return out


def window_sum(values: Floats, bars: int) -> Floats:
    """The sum of the last `bars` values; unknown when one of them is.

    Sums of 1, 2, 4, … bars are doubled and joined, about 2·log2(bars) additions instead of bars.
    """
    total: Floats | None = None
    joined = 0
    width, block = 1, values
    while True:
        if bars & width:
            total = block if total is None else _plus_older(total, block, joined)
            joined += width
        if joined == bars and total is not None:
            return total
        block = _plus_older(block, block, width)
        width *= 2


def _plus_older(newer: Floats, older: Floats, bars: int) -> Floats:
    out = np.full_like(newer, np.nan)
    np.add(newer[bars:], older[:-bars], out=out[bars:])
    return out


def sma(values: Floats, bars: int) -> Floats:
    """Simple moving average; of equal values it is exactly that value.

    A flat stretch must average to itself: rounding noise would be a crossover, or a deviation that
    is not 0.
    """
    mean = window_sum(values, bars) / bars
    unequal = np.ones(values.shape)
    unequal[1:] = values[1:] != values[:-1]
    np.copyto(mean, values, where=window_sum(unequal, bars - 1) == 0.0)
    return mean


def sma_of_known(values: Floats, bars: int) -> Floats:
    """Mean of the last `bars` known values, of this bar or before."""
    is_known = ~np.isnan(values)
    value = hold_last(values)
    total = value.copy()
    for _ in range(bars - 1):
        value = hold_last(np.where(is_known, lag(value), np.nan))
        total += value
    return total / bars


def wma(values: Floats, bars: int) -> Floats:
    """Linearly weighted moving average: weight `bars` on this bar down to 1."""
    total = bars * values
    for age in range(1, bars):
        total += (bars - age) * lag(values, age)
    return total / (bars * (bars + 1) // 2)


def highest(values: Floats, bars: int) -> Floats:
    """The highest known value of the last `bars` bars; unknown before there are so many bars."""
    return _extreme(values, bars, np.fmax)


def lowest(values: Floats, bars: int) -> Floats:
    """The lowest known value of the last `bars` bars; unknown before there are so many bars."""
    return _extreme(values, bars, np.fmin)


def _extreme(values: Floats, bars: int, pick: np.ufunc) -> Floats:
    out, width = values, 1
    while width < bars:
        step = min(width, bars - width)
        wider = out.copy()
        pick(out[step:], out[:-step], out=wider[step:])
        out, width = wider, width + step
    out[: bars - 1] = np.nan
    return out


def ema(values: Floats, bars: int) -> Floats:
    """Exponential moving average, weight 2 / (bars + 1); seed and unknown values as in `wilder`."""
    weight = 2.0 / (bars + 1)

    def step(average: Floats, last: Floats, value: Floats) -> None:
        np.subtract(value, last, out=average)
        average *= weight
        average += last

    return _smooth(values, bars, step)


def wilder(values: Floats, bars: int) -> Floats:
    """Wilder's moving average of at least two bars: (average[1]·(bars - 1) + value) / bars.

    Seeded with the mean of the first `bars` known values; unknown before. Between the first and the
    last known value of a column nothing may be unknown.
    """

    def step(average: Floats, last: Floats, value: Floats) -> None:
        np.multiply(last, bars - 1.0, out=average)
        average += value
        average /= bars

    return _smooth(values, bars, step)


def _smooth(values: Floats, bars: int, step: Callable[[Floats, Floats, Floats], None]) -> Floats:
    # The form of the step decides the last bit, and with it whether the RSI of a still price has a range.
    out = np.full_like(values, np.nan)
    seeds = _seeds(values, bars)
    for bar in range(1, len(out)):
        step(out[bar], out[bar - 1], values[bar])
        if bar in seeds:
            columns, seed = seeds[bar]
            out[bar, columns] = seed
    return out


def _seeds(values: Floats, bars: int) -> dict[int, tuple[NDArray[np.intp], Floats]]:
    """Bar -> (columns whose average begins there, their first value)."""
    first = np.argmax(~np.isnan(values), axis=0) if len(values) else np.zeros(values.shape[1], np.intp)
    columns = np.flatnonzero(first + bars <= len(values))
    total = np.zeros(len(columns))
    for bar in range(bars):
        total += values[first[columns] + bar, columns]
    last = first[columns] + bars - 1
    return {int(bar): (columns[last == bar], total[last == bar] / bars) for bar in np.unique(last)}
