"""Section 3: who may be held at P, and for everybody else the first rule that says no."""

from collections.abc import Collection
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.calendar import ANNUAL_DAYS
from sleevegraph.errors import BarsError
from sleevegraph.listings import listing_starts
from sleevegraph.manifest import UniverseRules
from sleevegraph.panel import Floats, Panel

RELATIVE_VARIANCE_FLOOR = 1e-12
"""Of the median variance: rounding noise on a frozen price is not variance."""

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "base": pl.String(),
        "quote": pl.String(),
        "eligible": pl.Boolean(),
        "rule": pl.String(),
        "value": pl.Float64(),
        "returns": pl.Int64(),
        "median_quote_volume": pl.Float64(),
        "last_bar": pl.Date(),
        "missing_share": pl.Float64(),
        "max_return": pl.Float64(),
        "annual_volatility": pl.Float64(),
    }
)

DUPLICATE = "duplicate_base"
"""The rule on which sleeves with quotes of their own differ: the last, so that who fails it passes all others."""

OTHER_QUOTE = "other_quote"
"""Why a sleeve with quotes of its own may not hold what others may."""

Check = tuple[str, pl.Expr, pl.Expr]
"""A rule's name, whether a symbol fails it, and the value to record."""


def universe(known: Panel, at: date, rules: UniverseRules) -> pl.DataFrame:
    """Judge every symbol known before `at`; the first failing rule, in section 3's order, is recorded.

    Parameters
    ----------
    known
        `panel.before(at)`; windows are calendar days that end at P-1.
    at
        The rebalance date P.
    rules
        The manifest's thresholds.

    Returns
    -------
    pl.DataFrame
        [symbol, base, quote, eligible, rule, value, returns, median_quote_volume, last_bar, missing_share,
        max_return, annual_volatility], one row per symbol, sorted by symbol. `value` is what the rule
        measured; for `duplicate_base` it is the median quote volume of the symbol that was preferred among
        those that pass the rules on listing and trading.

    Raises
    ------
    BarsError
        When `known` reaches P: a decision at P must not see it.
    """
    if not known.symbols:
        return pl.DataFrame(schema=SCHEMA)
    if known.dates[-1] >= np.datetime64(at, "D"):
        raise BarsError(
            f"universe at {at}: expected bars before {at}, found {known.dates[-1]}, a look-ahead; pass panel.before({at})"
        )
    listed = _measures(known, at, rules)
    first = _tradable(rules)
    judged = listed.with_columns(passed=pl.all_horizontal(~fails for _, fails, _ in first))
    preferred = pl.col("symbol", "median_quote_volume").sort_by(
        "median_quote_volume", "symbol", descending=[True, False], nulls_last=True
    )
    judged = judged.with_columns(preferred.first().over("base", "passed").name.prefix("preferred_"))
    return _verdict(judged, [*first, *_returns_rules(rules), _duplicate()])


def passing(universe: pl.DataFrame) -> pl.DataFrame:
    """Rows of what `universe` returned that some sleeve may hold: eligible, but for another pair of their base."""
    return universe.filter(pl.col("eligible") | (pl.col("rule") == DUPLICATE))


def eligible_in(universe: pl.DataFrame, quotes: Collection[str]) -> pl.DataFrame:
    """Rows of what `universe` returned that a sleeve with these quotes may hold.

    Without quotes they are the eligible ones. With quotes they are, per base, the pair of the largest median quote
    volume, then the first symbol, among those quoted so that pass every rule but `duplicate_base`.
    """
    if not quotes:
        return universe.filter("eligible")
    quoted = passing(universe).filter(pl.col("quote").is_in(list(quotes)))
    liquid = quoted.sort("median_quote_volume", "symbol", descending=[True, False], nulls_last=True)
    return liquid.unique("base", keep="first").sort("symbol")


def passive_symbols(universe: pl.DataFrame, quotes: Collection[str], benchmark_symbols: Collection[str]) -> list[str]:
    """Benchmark symbols that are eligible for everybody or for a sleeve with these quotes, sorted.

    They are the manifest's, whatever the sleeve's quotes.
    """
    known = {*universe.filter("eligible")["symbol"], *eligible_in(universe, quotes)["symbol"]}
    return sorted(known.intersection(benchmark_symbols))


def _tradable(rules: UniverseRules) -> list[Check]:
    """Build the rules on listing and trading, before one symbol per base asset is chosen."""
    nothing = pl.lit(None, pl.Float64)
    base = pl.col("base")
    return [
        ("not_trading", ~pl.col("trading"), pl.col("days_since_bar").cast(pl.Float64)),
        ("min_days", pl.col("returns") < rules.min_days_floor, pl.col("returns").cast(pl.Float64)),
        ("liquidity", _fails_below("median_quote_volume", rules.liquidity_floor), pl.col("median_quote_volume")),
        *((f"base_{category}", base.is_in(list(bases)), nothing) for category, bases in rules.excluded_bases.items()),
        ("quote", ~pl.col("quote").is_in(list(rules.quotes)), nothing),
    ]


def _duplicate() -> Check:
    other = pl.col("passed") & (pl.col("symbol") != pl.col("preferred_symbol"))
    return DUPLICATE, other, pl.col("preferred_median_quote_volume")


def _returns_rules(rules: UniverseRules) -> list[Check]:
    """Build the rules on what the returns look like."""
    variance_floor = RELATIVE_VARIANCE_FLOOR * pl.col("variance").median()
    annual_volatility, missing_share = pl.col("annual_volatility"), pl.col("missing_share")
    return [
        ("toxicity", pl.col("max_return") > rules.max_return, pl.col("max_return")),
        ("zero_variance", ~(pl.col("variance") > variance_floor).fill_null(value=False), pl.col("variance")),
        ("pegged", annual_volatility < rules.min_annual_volatility, annual_volatility),
        ("missing_days", missing_share > rules.max_missing_share, missing_share),
        ("broken_bars", pl.col("broken_bars") > 0, pl.col("broken_bars").cast(pl.Float64)),
    ]


def _fails_below(column: str, floor: float) -> pl.Expr:
    """Whether a value is under its floor; an unknown one is."""
    return ~(pl.col(column) >= floor).fill_null(value=False)


def _verdict(judged: pl.DataFrame, checks: list[Check]) -> pl.DataFrame:
    rule = pl.coalesce(pl.when(fails).then(pl.lit(name)) for name, fails, _ in checks)
    measured = pl.coalesce(pl.when(pl.col("rule") == name).then(value) for name, _, value in checks)
    judged = judged.with_columns(rule=rule).with_columns(value=measured, eligible=pl.col("rule").is_null())
    return judged.select(SCHEMA.names()).cast(SCHEMA).sort("symbol")


def _measures(known: Panel, at: date, rules: UniverseRules) -> pl.DataFrame:
    """Everything that a rule compares, one row per symbol; unknown is null."""
    yesterday = np.datetime64(at, "D") - 1
    own = np.arange(len(known.dates))[:, None] > listing_starts(known.close, rules.max_return)
    returns = np.where(own, known.returns, np.nan)
    lookback = _window(returns, known, at, rules.lookback_days)
    train = _window(returns, known, at, rules.train_days)
    bars = np.isfinite(known.close)
    last_bar = known.dates[len(known.dates) - 1 - bars[::-1].argmax(axis=0)]
    variance = _variance(train)
    lowest, highest = np.fmin(known.open, known.close), np.fmax(known.open, known.close)
    broken = np.where((known.low > lowest) | (known.high < highest), 1.0, 0.0)
    return pl.DataFrame(
        {
            "symbol": known.symbols,
            "base": known.bases,
            "quote": known.quotes,
            "trading": (known.volume[-1] > 0) & (known.dates[-1] == yesterday),
            "days_since_bar": (yesterday + 1 - last_bar).astype(np.int64),
            "last_bar": last_bar,
            "returns": np.isfinite(lookback).sum(axis=1),
            "median_quote_volume": _median(_window(known.quote_volume, known, at, rules.liquidity_days)),
            "missing_share": 1.0 - np.isfinite(train).sum(axis=1) / rules.train_days,
            "max_return": _largest(lookback),
            "broken_bars": _window(broken, known, at, rules.lookback_days).sum(axis=1),
            "variance": variance,
            "annual_volatility": np.sqrt(variance * ANNUAL_DAYS),
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


def _window(matrix: Floats, known: Panel, at: date, days: int) -> Floats:
    """The days [P - days, P) as one contiguous row per symbol.

    A reduction along a contiguous row gives the same bits whatever symbols stand beside it.
    """
    start = np.searchsorted(known.dates, np.datetime64(at, "D") - days)
    return np.ascontiguousarray(matrix[start:].T)


def _largest(rows: Floats) -> Floats:
    largest: Floats = np.where(np.isnan(rows), -np.inf, rows).max(axis=1, initial=-np.inf)
    return np.where(np.isneginf(largest), np.nan, largest)


def _variance(rows: Floats) -> Floats:
    """Sample variance of each row's known values; NaN with fewer than two."""
    there: NDArray[np.bool_] = np.isfinite(rows)
    count = there.sum(axis=1)
    mean = np.where(there, rows, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = np.where(there, rows - mean[:, None], 0.0) ** 2
    return np.where(count > 1, squares.sum(axis=1) / np.maximum(count - 1, 1), np.nan)


def _median(rows: Floats) -> Floats:
    """Median of each row's known values; NaN with none."""
    ordered = np.sort(np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan), axis=1)  # NaN goes last
    count = np.isfinite(rows).sum(axis=1)
    middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2], axis=1)
    both: Floats = np.take_along_axis(ordered, middle, axis=1)
    return 0.5 * (both[:, 0] + both[:, 1])
