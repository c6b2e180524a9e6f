"""Single bars that cannot be: repeated, without a price, or with prices out of order."""

from datetime import date

import numpy as np

from sleevegraph.bars import PRICES
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.findings import Finding, Level
from sleevegraph.readiness.market_rows import Flags, MarketRows


def bar_defects(rows: MarketRows, at: date, figures: dict[str, object]) -> list[Finding]:
    """One finding per symbol with the first offender: of the window that ends at P-1, then of older ones.

    Sets `duplicates` and `ohlc_violations` in `figures`.
    """
    repeated = rows.step == 0
    positive = (np.isfinite(rows.price) & (rows.price > 0)).all(axis=0) & np.isfinite(rows.volume) & (rows.volume >= 0)
    opened, high, low, close = rows.price
    ordered = (low <= np.minimum(opened, close)) & (np.maximum(opened, close) <= high)
    disordered = positive & ~ordered
    figures["duplicates"] = int(repeated.sum())
    figures["ohlc_violations"] = int(disordered.sum())
    recent = rows.day >= np.datetime64(at, "D") - STEP_DAYS
    found: list[Finding] = []
    ages: tuple[tuple[Level, Flags], ...] = (("ERROR", recent), ("WARN", ~recent))
    for level, when in ages:
        found += _per_symbol(rows, repeated & when, level, "DUPLICATE_BAR", "expected one bar a day, found several")
        found += _per_symbol(rows, ~positive & when, level, "NOT_POSITIVE", "expected prices > 0 and a volume >= 0")
        found += _per_symbol(rows, disordered & when, level, "OHLC_ORDER", "expected low <= open, close <= high")
    return found


def _per_symbol(rows: MarketRows, broken: Flags, level: Level, code: str, expected: str) -> list[Finding]:
    index = np.flatnonzero(broken)
    symbols, first, counts = np.unique(rows.code[index], return_index=True, return_counts=True)
    found = []
    for symbol, position, count in zip(symbols, first, counts, strict=True):
        i = index[position]
        values = ", ".join(f"{c} {rows.price[k, i]:g}" for k, c in enumerate(PRICES))
        message = f"{expected}: {count} bars, first {rows.day[i]}: {values}, volume {rows.volume[i]:g}; correct them"
        found.append(Finding(level, code, rows.names[symbol], message))
    return found
