"""Whether the market's bars before a rebalance date are complete enough to decide on.

One verdict for the market as a whole; what is wrong with a single symbol and can be left out is a
matter of the universe. Judged only on bars before P, so a late revision cannot rescue an old verdict.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.bars import KEY, PRICES
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.errors import BarsError
from sleevegraph.findings import Finding, Level
from sleevegraph.manifest import CompletenessRules

SESSION_LOOKBACK_DAYS: Final = 500
ACTIVE_DAYS: Final = 10
"""A symbol that traded in this many days before P-1 is expected on P-1."""

NEIGHBOUR_DAYS: Final = 3
"""A symbol with bars within this many days on both sides is expected in between; bridges a weekend."""

MIN_SESSION_SHARE: Final = 0.5
MAX_MISSING_SESSIONS: Final = 0.1
"""Of the sessions looked back at; a calendar without weekends misses 0.29."""

LARGEST_GAPS: Final = 10

Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]
Verdict = tuple[list[Finding], dict[str, object]]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Bars sorted by symbol and date, as arrays: row i is symbol `names[code[i]]` on `day[i]`."""

    names: tuple[str, ...]
    code: NDArray[np.int64]
    day: Days
    price: NDArray[np.float64]
    volume: NDArray[np.float64]

    @property
    def step(self) -> NDArray[np.int64]:
        """Days since the same symbol's bar before; one where there is none."""
        days = np.diff(self.day, prepend=self.day[:1]).astype(np.int64)
        first = np.diff(self.code, prepend=-1) != 0
        return np.where(first, 1, days)


def bars_complete(known_bars: pl.DataFrame, at: date, rules: CompletenessRules) -> Verdict:
    """Findings and figures on the bars known at rebalance date `at`.

    Parameters
    ----------
    known_bars
        BAR_SCHEMA rows dated before `at`; fastest when sorted by symbol and date.
    at
        The rebalance date P.
    rules
        What share of the symbols must be fresh.

    Returns
    -------
    findings : list of Finding
        ERROR: NO_BARS, DUPLICATE_BAR, NOT_POSITIVE, OHLC_ORDER, STALE, SESSION_MISSING. WARN: GAPS, and what is older
        than the window that ends at P-1: it blocked its own rebalance, the universe leaves symbols with broken bars out
        for as long as they can be looked back at, and a session lost for good must not stop the desk for good.
        Findings on the market as a whole have an empty symbol.
    figures : dict
        rows, symbols, newest, fresh_share, gaps, sessions, sessions_missing, ohlc_violations, duplicates.

    Raises
    ------
    BarsError
        A bar dated at or after `at`: the caller looks ahead.
    """
    newest = known_bars["date"].max()
    figures: dict[str, object] = {"rows": known_bars.height, "symbols": 0, "newest": newest, "fresh_share": 0.0}
    figures |= dict.fromkeys(("gaps", "sessions", "sessions_missing", "ohlc_violations", "duplicates"), 0)
    if not isinstance(newest, date):
        message = f"expected bars before {at}, found none; ingest bars first"
        return [Finding("ERROR", "NO_BARS", "", message)], figures
    if newest >= at:
        raise BarsError(f"bars_complete at {at}: expected bars before {at}, found one on {newest}; cut them at P")
    rows = _as_rows(known_bars)
    figures["symbols"] = len(rows.names)
    findings = _row_findings(rows, at, figures)
    findings += _stale(rows, at, rules, figures)
    findings += _sessions(rows, at, figures)
    findings += _gaps(rows, figures)
    return findings, figures


def _as_rows(bars: pl.DataFrame) -> _Rows:
    runs = bars["symbol"].rle_id()
    if bars["symbol"].n_unique() != int(runs[-1]) + 1 or not _dates_ascend(bars, runs):
        bars = bars.sort(KEY)
        runs = bars["symbol"].rle_id()
    code = runs.to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    return _Rows(
        names=tuple(bars["symbol"].gather(starts).to_list()),
        code=code,
        day=bars["date"].to_numpy().astype("datetime64[D]"),
        price=np.stack([bars[c].to_numpy() for c in PRICES]),
        volume=bars["volume"].to_numpy(),
    )


def _dates_ascend(bars: pl.DataFrame, runs: pl.Series) -> bool:
    same = runs.diff() == 0
    return not ((bars["date"].diff() < timedelta()) & same).any()


def _row_findings(rows: _Rows, at: date, figures: dict[str, object]) -> list[Finding]:
    """Defects of single bars, one finding per symbol with the first offender: of this window, then of older ones."""
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


def _per_symbol(rows: _Rows, broken: Flags, level: Level, code: str, expected: str) -> list[Finding]:
    index = np.flatnonzero(broken)
    symbols, first, counts = np.unique(rows.code[index], return_index=True, return_counts=True)
    found = []
    for symbol, position, count in zip(symbols, first, counts, strict=True):
        i = index[position]
        values = ", ".join(f"{c} {rows.price[k, i]:g}" for k, c in enumerate(PRICES))
        message = f"{expected}: {count} bars, first {rows.day[i]}: {values}, volume {rows.volume[i]:g}; correct them"
        found.append(Finding(level, code, rows.names[symbol], message))
    return found


def _stale(rows: _Rows, at: date, rules: CompletenessRules, figures: dict[str, object]) -> list[Finding]:
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
    elif share < rules.min_fresh_share:
        message = (
            f"fresh_share: expected at least {rules.min_fresh_share:g} of the symbols that traded in the "
            f"{ACTIVE_DAYS} days before to have a bar on {last}, found {len(fresh)} of {len(active)}; ingest the rest"
        )
    else:
        return []
    return [Finding("ERROR", "STALE", "", message)]


def _sessions(rows: _Rows, at: date, figures: dict[str, object]) -> list[Finding]:
    """Days within the lookback on which the market, or most of it, has no bar."""
    last = np.datetime64(at, "D") - 1
    first = max(rows.day.min(), last + 1 - SESSION_LOOKBACK_DAYS)
    traded = np.zeros((int((last - first).astype(np.int64)) + 1, len(rows.names)), dtype=np.bool_)
    inside = rows.day >= first
    traded[(rows.day[inside] - first).astype(np.int64), rows.code[inside]] = True
    expected = _within(traded) & _within(traded[::-1])[::-1]
    thin = (traded & expected).sum(axis=1) < MIN_SESSION_SHARE * expected.sum(axis=1)
    days = first + np.arange(len(traded))
    missing = days[thin | ~traded.any(axis=1)]
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


def _gaps(rows: _Rows, figures: dict[str, object]) -> list[Finding]:
    lost = rows.step - 1
    gaps = np.flatnonzero(lost > 0)
    figures["gaps"] = len(gaps)
    if not len(gaps):
        return []
    largest = gaps[np.argsort(-lost[gaps], kind="stable")][:LARGEST_GAPS]
    listed = ", ".join(f"{rows.names[rows.code[i]]} {lost[i]} days before {rows.day[i]}" for i in largest)
    return [Finding("WARN", "GAPS", "", f"{len(gaps)} gaps between bars of one symbol; the largest: {listed}")]
