"""Tail antifragility of return streams: large gains that outweigh large losses."""

import numpy as np

from sleevegraph.panel import Floats

HALF = 0.5


def tail_skew(returns: Floats) -> Floats:
    """(q95 + q05 - 2 median) / (q95 - q05) of each column of finite returns (T, N); 0 where q95 = q05."""
    return _skew(np.sort(_columns(returns), axis=1))


def upper_tail_mean(returns: Floats) -> Floats:
    """Mean of the returns at or above q95, for each column of finite returns (T, N)."""
    return _tail_mean(np.sort(_columns(returns), axis=1))


def antifragility(returns: Floats) -> Floats:
    """Min-max scaled tail skew plus min-max scaled upper-tail mean (N,), in [0, 2], of finite returns (T, N)."""
    ordered = np.sort(_columns(returns), axis=1)
    return min_max(_skew(ordered)) + min_max(_tail_mean(ordered))


def _skew(ordered: Floats) -> Floats:
    low, median, high = (_quantile(ordered, share) for share in (0.05, 0.5, 0.95))
    width = high - low
    flat = width == 0.0
    skew = (high + low - 2.0 * median) / np.where(flat, 1.0, width)
    return np.where(flat, 0.0, skew)


def _tail_mean(ordered: Floats) -> Floats:
    high = _quantile(ordered, 0.95)
    above = int((ordered.shape[1] - 1) * 0.95) + 1
    # Beyond the place of q95 everything counts, before it only what is equal to q95.
    total, count = np.add.reduce(ordered[:, above:], axis=1), ordered.shape[1] - above
    if (ordered[:, above - 1] < high).all():
        return np.asarray(total / count, dtype=np.float64)
    equal = np.count_nonzero(ordered[:, :above] >= high[:, None], axis=1)
    return np.asarray((total + equal * high) / (count + equal), dtype=np.float64)


def _quantile(ordered: Floats, share: float) -> Floats:
    """The bits of `np.quantile`, from rows that are sorted already."""
    last = ordered.shape[1] - 1
    below, part = int(last * share), last * share % 1.0
    lower, upper = ordered[:, below], ordered[:, min(below + 1, last)]
    # From the nearer of the two, as numpy does.
    found = upper - (upper - lower) * (1.0 - part) if part >= HALF else lower + (upper - lower) * part
    return np.asarray(found, dtype=np.float64)


def _columns(returns: Floats) -> Floats:
    # One contiguous row per asset: its numbers then do not depend on what stands beside it.
    return np.ascontiguousarray(np.asarray(returns, dtype=np.float64).T)


def min_max(values: Floats) -> Floats:
    """Scale (N,) to [0, 1]; all 0 when every value is the same."""
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), dtype=np.float64)
