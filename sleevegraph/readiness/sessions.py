"""Whether the market as a whole is fresh and has a bar on every day."""

from collections.abc import Collection
from datetime import date
from typing import Final

import numpy as np

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.findings import Finding
from sleevegraph.readiness.market_rows import Days, Flags, MarketRows

SESSION_LOOKBACK_DAYS: Final = 500
ACTIVE_DAYS: Final = 10
"""A symbol that traded in this many days before P-1 is expected on P-1."""

NEIGHBOUR_DAYS: Final = 3
"""A symbol with bars within this many days on both sides is expected in between; bridges a weekend."""

MIN_SESSION_SHARE: Final = 0.5
MAX_MISSING_SESSIONS: Final = 0.1
"""Of the sessions looked back at; a calendar without weekends misses 0.29."""

LARGEST_GAPS: Final = 10


def stale(rows: MarketRows, at: date, min_fresh_share: float, figures: dict[str, object]) -> list[Finding]:
    """STALE unless enough of the symbols that traded lately have a bar on P-1. Sets `fresh_share`."""
    last = np.datetime64(at, "D") - 1
    recent = (rows.day >= last - ACTIVE_DAYS) & (rows.day < last)
    active = np.unique(rows.code[recent])
    fresh = np.intersect1d(active, rows.code[rows.day == last])
    # Nobody active before P-1 is no evidence of freshness, so it counts as none.
    share = len(fresh) / len(active) if len(active) else 0.0
    figures["fresh_share"] = share
    newest = rows.day.max()
    if newest != last:
        message = f"newest bar: expected {last}, found {newest}; ingest the days up to {last}"
    elif share < min_fresh_share:
        message = (
            f"fresh_share: expected at least {min_fresh_share:g} of the symbols that traded in the "
            f"{ACTIVE_DAYS} days before to have a bar on {last}, found {len(fresh)} of {len(active)}; ingest the rest"
        )
    else:
        return []
    return [Finding("ERROR", "STALE", "", message)]


def missing_sessions(
    rows: MarketRows, at: date, outage_days: Collection[date], figures: dict[str, object]
) -> list[Finding]:
    """SESSION_MISSING for days within the lookback on which the market, or most of it, has no bar.

    A day of `outage_days` is none: there is nothing to ingest. Sets `sessions` and `sessions_missing`.
    """
    last = np.datetime64(at, "D") - 1
    first = max(rows.day.min(), last + 1 - SESSION_LOOKBACK_DAYS)
    traded = np.zeros((int((last - first).astype(np.int64)) + 1, len(rows.names)), dtype=np.bool_)
    inside = rows.day >= first
    traded[(rows.day[inside] - first).astype(np.int64), rows.code[inside]] = True
    expected = _within(traded) & _within(traded[::-1])[::-1]
    thin = (traded & expected).sum(axis=1) < MIN_SESSION_SHARE * expected.sum(axis=1)
    days = first + np.arange(len(traded))
    missing = days[thin | ~traded.any(axis=1)]
    missing = missing[~np.isin(missing, np.array(sorted(outage_days), dtype="datetime64[D]"))]
    figures["sessions"] = len(days)
    figures["sessions_missing"] = len(missing)
    if not len(missing):
        return []
    message = (
        f"expected bars on every day from {first} to {last}, found {len(missing)} days on which fewer than half of "
        f"the symbols trading around them have one, first {missing[0]}: {_weekends(missing, days)}; ingest those days"
    )
    now = bool((missing > last - STEP_DAYS).any())
    many = len(missing) > MAX_MISSING_SESSIONS * len(days)
    return [Finding("ERROR" if now or many else "WARN", "SESSION_MISSING", "", message)]


def _within(traded: Flags) -> Flags:
    """Whether each symbol has a bar on one of the NEIGHBOUR_DAYS rows before."""
    seen = np.zeros_like(traded)
    for lag in range(1, NEIGHBOUR_DAYS + 1):
        seen[lag:] |= traded[:-lag]
    return seen


def _weekends(missing: Days, days: Days) -> str:
    """Say when a business-day calendar is the likely cause."""
    weekend = int((~np.is_busday(missing)).sum())
    if weekend < len(missing):
        return f"{weekend} of {len(missing)} are Saturdays or Sundays"
    every = weekend == int((~np.is_busday(days)).sum())
    return "all weekends missing" if every else "all of them Saturdays or Sundays"


def largest_gaps(rows: MarketRows, figures: dict[str, object]) -> list[Finding]:
    """GAPS, a warning that lists the largest. Sets `gaps`."""
    lost = rows.step - 1
    gaps = np.flatnonzero(lost > 0)
    figures["gaps"] = len(gaps)
    if not len(gaps):
        return []
    largest = gaps[np.argsort(-lost[gaps], kind="stable")][:LARGEST_GAPS]
    listed = ", ".join(f"{rows.names[rows.code[i]]} {lost[i]} days before {rows.day[i]}" for i in largest)
    return [Finding("WARN", "GAPS", "", f"{len(gaps)} gaps between bars of one symbol; the largest: {listed}")]
