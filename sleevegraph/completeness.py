"""Whether the market's bars before a rebalance date are complete enough to decide on.

One verdict for the market as a whole; what is wrong with a single symbol and can be left out is a
matter of the universe. Judged only on what is known before P.
"""

from datetime import date
from typing import Final

import polars as pl

from sleevegraph.errors import BarsError
from sleevegraph.findings import Finding
from sleevegraph.manifest import CompletenessRules
from sleevegraph.readiness.bar_defects import bar_defects
from sleevegraph.readiness.corroboration import Corroboration
from sleevegraph.readiness.market_rows import market_rows
from sleevegraph.readiness.sessions import largest_gaps, missing_sessions, stale

NO_EVIDENCE: Final = Corroboration()

Verdict = tuple[list[Finding], dict[str, object]]


def bars_complete(
    known_bars: pl.DataFrame, at: date, rules: CompletenessRules, beside: Corroboration = NO_EVIDENCE
) -> Verdict:
    """Findings and figures on the bars known at rebalance date `at`.

    Parameters
    ----------
    known_bars
        BAR_SCHEMA rows dated before `at`; fastest when sorted by symbol and date.
    at
        The rebalance date P.
    rules
        What share of the symbols must be fresh.
    beside
        What else is known says of these bars (`corroborate`); without it they are judged by themselves.

    Returns
    -------
    findings : list of Finding
        ERROR: NO_BARS, DUPLICATE_BAR, NOT_POSITIVE, OHLC_ORDER, STALE, SESSION_MISSING. WARN: GAPS, and what is older
        than the window that ends at P-1: it blocked its own rebalance, the universe leaves symbols with broken bars out
        for as long as they can be looked back at, and a session lost for good must not stop the desk for good.
        With evidence also MISSING_SESSION_FILE, CROSS_CHECK and INTERVAL_SUM, ERROR only in that window and only of more
        than one symbol and more than `max_defect_share` of them (INTERVAL_SUM of prices or volume only); WARN: OUTAGE, ZERO_VOLUME, OTHER_EXCHANGE.
        Findings on the market as a whole have an empty symbol.
    figures : dict
        rows, symbols, newest, fresh_share, gaps, sessions, sessions_missing, ohlc_violations, duplicates. With evidence
        also gap_table and outages (dicts, of the 50 largest gaps and the 50 latest outages), expected_sessions,
        sessions_without_bar, cross_checked, cross_check_differences (bars), summed_days, interval_sum_differences
        (days), zero_volume_days and other_exchange_bars.

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
    rows = market_rows(known_bars)
    figures["symbols"] = len(rows.names)
    found = bar_defects(rows, at, figures)
    found += stale(rows, at, rules.min_fresh_share, figures)
    found += missing_sessions(rows, at, beside.outage_days, figures)
    found += largest_gaps(rows, figures)
    return found + beside.findings, figures | beside.figures
