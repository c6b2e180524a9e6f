"""Section 5: what is measured of each candidate, all of it on the synthetic stream."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sleevegraph.calendar import ANNUAL_DAYS
from sleevegraph.errors import MissingFeatureError
from sleevegraph.panel import Floats
from sleevegraph.predictability import compact, efficiency_ratio, hurst_rs, permutation_entropy
from sleevegraph.ratings import close_only_adx
from sleevegraph.tails import min_max, tail_skew, upper_tail_mean

FEATURES = (
    "momentum",
    "stability",
    "entropy",
    "efficiency",
    "hurst",
    "hurst_exponent",
    "adx",
    "rating",
    "liquidity",
    "cvar",
    "skew",
    "kurtosis",
    "antifragility",
    "annual_volatility",
)

TAIL_IN = 20
"""CVaR 5 % is the mean of the worst one in twenty returns, rounded up."""


def features(
    stream: Floats, symbols: Sequence[str], *, rating: Floats, liquidity: Floats, hurst_centre: float
) -> pl.DataFrame:
    """Measure the candidates over the train window.

    Parameters
    ----------
    stream
        Synthetic returns (T, N), NaN where missing; holes are closed before anything is measured.
    symbols
        N names, in the order of the columns.
    rating
        (N,), signed so that positive is favourable to the sleeve's direction.
    liquidity
        (N,), median daily quote volume.
    hurst_centre
        The Hurst exponent of noise over this window; the feature is the distance from it.

    Returns
    -------
    pl.DataFrame
        `symbol` and `FEATURES`: momentum 365 x mean, stability 1 / annual volatility, CVaR as a (negative)
        mean return, skew and excess kurtosis of the population, antifragility scaled across the candidates.

    Raises
    ------
    MissingFeatureError
        When a feature of a candidate cannot be measured.
    """
    if not symbols:
        return pl.DataFrame(schema={"symbol": pl.String(), **dict.fromkeys(FEATURES, pl.Float64())})
    rows = compact(stream)
    exponent = hurst_rs(stream)
    measured = {
        **_moments(rows),
        "entropy": permutation_entropy(stream),
        "efficiency": efficiency_ratio(stream),
        "hurst": np.abs(exponent - hurst_centre),
        "hurst_exponent": exponent,
        "adx": close_only_adx(stream),
        "rating": rating,
        "liquidity": liquidity,
        "cvar": _cvar(rows),
        "antifragility": _antifragility(rows),
    }
    frame = pl.DataFrame({"symbol": list(symbols), **{name: measured[name] for name in FEATURES}})
    require_features(frame, FEATURES)
    return frame


def require_features(frame: pl.DataFrame, names: Sequence[str]) -> None:
    """Raise MissingFeatureError at the first of `names` that is absent, or unknown for a symbol."""
    for name in names:
        if name not in frame.columns:
            raise MissingFeatureError(f"features: {name}: expected a column of that name, found {frame.columns}")
        unknown = frame.filter(~pl.col(name).is_finite().fill_null(value=False))
        if unknown.height:
            symbol, value = unknown.select("symbol", name).row(0)
            raise MissingFeatureError(
                f"features: {symbol}: {name}: expected a finite number, found {value} ({unknown.height} of "
                f"{frame.height} candidates); look at the symbol's bars in the train window"
            )


def _moments(rows: Floats) -> dict[str, Floats]:
    """Mean, volatility, skew and kurtosis of compacted rows (N, T); NaN without variance."""
    known = ~np.isnan(rows)
    count = known.sum(axis=1)
    mean = _ratio(np.where(known, rows, 0.0).sum(axis=1), count)
    deviation = np.where(known, rows - mean[:, None], 0.0)
    square = deviation * deviation
    second = _ratio(square.sum(axis=1), count)
    volatility = np.sqrt(_ratio(square.sum(axis=1), count - 1) * ANNUAL_DAYS)
    return {
        "momentum": mean * ANNUAL_DAYS,
        "annual_volatility": volatility,
        "stability": _ratio(np.ones_like(volatility), volatility),
        "skew": _ratio(_ratio((square * deviation).sum(axis=1), count), second * np.sqrt(second)),
        "kurtosis": _ratio(_ratio((square * square).sum(axis=1), count), second * second) - 3.0,
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with NaN where the denominator is not positive: 0/0 is unknown."""
    sound = denominator > 0
    return np.where(sound, numerator / np.where(sound, denominator, 1.0), np.nan)


def _cvar(rows: Floats) -> Floats:
    count = np.isfinite(rows).sum(axis=1)
    worst = -(-count // TAIL_IN)
    ordered = np.sort(rows, axis=1)  # NaN goes last
    tail = np.arange(rows.shape[1]) < worst[:, None]
    return _ratio(np.where(tail, ordered, 0.0).sum(axis=1), worst)


def _antifragility(rows: Floats) -> Floats:
    """Scaled tail skew plus scaled upper-tail mean; rows of one length are measured together."""
    count = np.isfinite(rows).sum(axis=1)
    skew, tail = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for length in np.unique(count[count > 0]):
        alike = count == length
        returns = rows[alike, -length:].T
        skew[alike], tail[alike] = tail_skew(returns), upper_tail_mean(returns)
    return min_max(skew) + min_max(tail)
