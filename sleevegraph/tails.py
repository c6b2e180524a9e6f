"""Tail antifragility of return streams: large gains that outweigh large losses."""

import numpy as np

from sleevegraph.panel import Floats


def tail_skew(returns: Floats) -> Floats:
    """(q95 + q05 - 2 median) / (q95 - q05) of each column of finite returns (T, N); 0 where q95 = q05."""
    low, median, high = np.quantile(_columns(returns), [0.05, 0.5, 0.95], axis=1)
    width = high - low
    flat = width == 0.0
    skew = (high + low - 2.0 * median) / np.where(flat, 1.0, width)
    return np.where(flat, 0.0, skew)


def upper_tail_mean(returns: Floats) -> Floats:
    """Mean of the returns at or above q95, for each column of finite returns (T, N)."""
    columns = _columns(returns)
    tail = columns >= np.quantile(columns, 0.95, axis=1)[:, None]
    return np.asarray(np.where(tail, columns, 0.0).sum(axis=1) / tail.sum(axis=1), dtype=np.float64)


def antifragility(returns: Floats) -> Floats:
    """Min-max scaled tail skew plus min-max scaled upper-tail mean (N,), in [0, 2], of finite returns (T, N)."""
    return min_max(tail_skew(returns)) + min_max(upper_tail_mean(returns))


def _columns(returns: Floats) -> Floats:
    # One contiguous row per asset: its numbers then do not depend on what stands beside it.
    return np.ascontiguousarray(np.asarray(returns, dtype=np.float64).T)


def min_max(values: Floats) -> Floats:
    """Scale (N,) to [0, 1]; all 0 when every value is the same."""
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), dtype=np.float64)
