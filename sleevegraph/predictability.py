"""How far a stream is from noise: permutation entropy, Hurst exponent, efficiency ratio.

Every function takes a matrix (T, N) with NaN for missing, closes each column's holes first, and reads
columns independently, so that a result does not depend on which columns stand beside it. A measure that
a column cannot give (too few values, 0/0) is NaN.
"""

from itertools import combinations
from math import factorial, log

import numpy as np

from sleevegraph.panel import Floats

SHORTEST_WINDOW = 8
"""Smallest R/S window, in bars. With half-octave steps up to n/2 it gives the calibration below."""


def compact(streams: Floats) -> Floats:
    """Transpose (T, N) to contiguous rows (N, T) with each row's known values moved to its end, in order."""
    rows = np.ascontiguousarray(streams.T)
    known = ~np.isnan(rows)
    if known.all():
        return rows
    return np.take_along_axis(rows, np.argsort(known, axis=1, kind="stable"), axis=1)


def permutation_entropy(streams: Floats, order: int = 5) -> Floats:
    """Normalised permutation entropy (N,) of (T, N) streams, delay 1; ties rank by time.

    Biased by the window's length: white noise has mean 0.88 over 120 bars, 0.974 over 500 at order 5.

    References
    ----------
    Bandt, Pompe (2002), Permutation entropy: a natural complexity measure for time series.
    """
    rows = compact(streams)
    symbols, length = rows.shape
    windows = length - order + 1
    if windows < 1:
        return np.full(symbols, np.nan)
    # One bit per pair: "the earlier value is larger". The bits determine the pattern and cost no sort.
    code = np.zeros((symbols, windows), dtype=np.intp)
    for i, j in combinations(range(order), 2):
        code = 2 * code + (rows[:, i : i + windows] > rows[:, j : j + windows])
    codes = 2 ** (order * (order - 1) // 2)
    code += codes * np.arange(symbols)[:, None]
    known = ~np.isnan(rows[:, :windows])
    counts = np.bincount(code[known], minlength=symbols * codes).reshape(symbols, codes)
    total = known.sum(axis=1)
    sizes = np.arange(windows + 1)
    spread = (sizes * np.log(np.maximum(sizes, 1)))[counts].sum(axis=1)
    entropy = np.log(np.maximum(total, 1)) - spread / np.maximum(total, 1)
    return np.where(total > 0, np.clip(entropy / log(factorial(order)), 0.0, 1.0), np.nan)


def max_permutation_entropy(length: int, order: int = 5) -> float:
    """Highest value that `permutation_entropy` can give over `length` bars.

    The bars give length - order + 1 windows; the entropy is highest when they fall on the order!
    patterns as evenly as whole numbers allow.
    """
    windows, patterns = length - order + 1, factorial(order)
    if windows < 1:
        return float("nan")
    each, extra = divmod(windows, patterns)
    shares = [(extra, (each + 1) / windows), (patterns - extra, each / windows)]
    return -sum(n * share * log(share) for n, share in shares if share > 0) / log(patterns)


def hurst_rs(streams: Floats) -> Floats:
    """Hurst exponent (N,) of (T, N) returns by rescaled range.

    The slope of log mean(R/S) on log w over windows w = 8, 11, 16, 23, … (half octaves) up to half of the
    values. Windows do not overlap and end at the last value; R is the range of the cumulated deviations
    from the window's mean, S its population standard deviation; a window without variance is left out.

    Not centred on 0.5: white noise has mean 0.59 over 120 values, 0.58 over 252 and 0.57 over 500
    (5-95 %: 0.44-0.74, 0.48-0.68, 0.49-0.65).

    References
    ----------
    Mandelbrot, Wallis (1969), Robustness of the rescaled range R/S.
    """
    rows = compact(streams)
    length = np.isfinite(rows).sum(axis=1)
    sizes = _window_sizes(rows.shape[1])
    if not sizes:
        return np.full(rows.shape[0], np.nan)
    scaled = np.stack([_mean_rescaled_range(rows, w) for w in sizes], axis=1)
    usable = (scaled > 0) & (length[:, None] >= 2 * np.array(sizes))
    count = np.maximum(usable.sum(axis=1), 1)[:, None]
    x = np.broadcast_to(np.log(sizes), scaled.shape)
    y = np.log(np.where(usable, scaled, 1.0))
    x = np.where(usable, x - np.where(usable, x, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    squares = (x * x).sum(axis=1)
    return np.where(squares > 0, (x * y).sum(axis=1) / np.where(squares > 0, squares, 1.0), np.nan)


def _window_sizes(length: int) -> list[int]:
    """Half octaves from `SHORTEST_WINDOW` to half of the length."""
    halves = range(2 * length.bit_length())
    return [w for k in halves if (w := round(SHORTEST_WINDOW * 2 ** (k / 2))) <= length // 2]


def _mean_rescaled_range(rows: Floats, window: int) -> Floats:
    """Mean R/S (N,) over each row's complete windows that have variance; 0 with none."""
    symbols, length = rows.shape
    blocks = rows[:, length % window :].reshape(symbols, length // window, window)
    complete = ~np.isnan(blocks[:, :, 0])
    blocks = np.where(complete[:, :, None], blocks, 0.0)
    deviations = blocks - blocks.mean(axis=2, keepdims=True)
    path = deviations.cumsum(axis=2)
    spread = np.sqrt((deviations * deviations).mean(axis=2))
    moved = complete & (blocks.max(axis=2) > blocks.min(axis=2))
    scaled = np.where(moved, (path.max(axis=2) - path.min(axis=2)) / np.where(moved, spread, 1.0), 0.0)
    mean: Floats = scaled.sum(axis=1) / np.maximum(moved.sum(axis=1), 1)
    return mean


def efficiency_ratio(streams: Floats) -> Floats:
    """Kaufman's efficiency ratio |Σr| / Σ|r| (N,) of (T, N) returns: 1 is a straight line."""
    rows = np.nan_to_num(compact(streams), nan=0.0)
    path = np.abs(rows).sum(axis=1)
    return np.where(path > 0, np.abs(rows.sum(axis=1)) / np.where(path > 0, path, 1.0), np.nan)
