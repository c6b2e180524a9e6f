"""What the evidence says of the daily bars, as findings and figures of `bars_complete`."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from sleevegraph.bars import PRICES
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.findings import Finding
from sleevegraph.market_data.hosts import FOREIGN_HOSTS
from sleevegraph.readiness.cross_check import KEY, cross_check
from sleevegraph.readiness.defect_window import LISTED_SYMBOLS, DefectWindow, listed_names
from sleevegraph.readiness.evidence import DAY, Evidence, by_ticker, confirmed_outages
from sleevegraph.readiness.expected_sessions import expected_sessions
from sleevegraph.readiness.gap_table import gap_table
from sleevegraph.readiness.interval_sums import interval_sums
from sleevegraph.readiness.outages import outages
from sleevegraph.readiness.zero_volume import zero_volume

HOUR: Final = timedelta(hours=1)
LISTED_ROWS: Final = 50

NO_FILES: Final = pl.DataFrame(
    schema={"symbol": pl.String(), "first": pl.Date(), "last": pl.Date(), "status": pl.String()}
)
NO_LISTINGS: Final = pl.DataFrame(schema={"symbol": pl.String(), "listed": pl.Date(), "status": pl.String()})

Judged = tuple[list[Finding], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Corroboration:
    """Findings and figures that evidence adds, and the days on which there was nothing to ingest."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    outage_days: frozenset[date] = frozenset()


def corroborate(known_bars: pl.DataFrame, at: date, max_defect_share: float, evidence: Evidence) -> Corroboration:
    """Judge the bars before `at` by what else is known; the parameters are those of `bars_complete`."""
    evidence = evidence.before(at)
    bars = by_ticker(known_bars)
    times = bars.select("symbol", "open_time")
    calendar = NO_FILES if evidence.calendar is None else evidence.calendar
    closed = confirmed_outages(times, calendar)
    days = closed.select(pl.date_ranges(pl.col("from").dt.date(), pl.col("to").dt.date())).to_series().explode()
    outage_days: frozenset[date] = frozenset(days.drop_nulls().to_list())
    since = at - STEP_DAYS * DAY
    active = bars.filter(pl.col("date") >= since)["symbol"].unique()
    window = DefectWindow(known_bars["symbol"][0].split(":")[0], since, active, max_defect_share)
    parts = (
        _gaps(times, closed),
        _outages(closed, evidence.hourly),
        _missing_files(bars, calendar, evidence.listings, at, outage_days, window),
        _cross_checked(evidence, window),
        _summed(bars, evidence.hourly, window),
        _zero_volume(bars),
        _other_exchange(evidence),
    )
    figures = {name: value for _, named in parts for name, value in named.items()}
    return Corroboration([finding for found, _ in parts for finding in found], figures, outage_days)


def _gaps(times: pl.DataFrame, closed: pl.DataFrame) -> Judged:
    return [], {"gap_table": _plain(gap_table(times, DAY, closed).head(LISTED_ROWS))}


def _outages(closed: pl.DataFrame, hourly: pl.DataFrame | None) -> Judged:
    spans = closed if hourly is None else pl.concat([outages(hourly, HOUR), closed]).sort("from")
    latest = _plain(spans.tail(LISTED_ROWS).reverse())
    if not latest:
        return [], {"outages": latest}
    listed = ", ".join(
        f"{o['from']} to {o['to']} ({o['symbols_missing']} of {o['symbols_expected']} symbols)"
        for o in latest[:LISTED_SYMBOLS]
    )
    message = f"{spans.height} outages, in which most symbols have no bar; the latest: {listed}"
    return [Finding("WARN", "OUTAGE", "", message)], {"outages": latest}


def _missing_files(
    bars: pl.DataFrame,
    calendar: pl.DataFrame,
    listings: pl.DataFrame | None,
    at: date,
    outage_days: frozenset[date],
    window: DefectWindow,
) -> Judged:
    known = bars.select("symbol", "date")
    missing = expected_sessions(calendar, NO_LISTINGS if listings is None else listings, known, at, outage_days)
    reasons = {
        "quarantined": "its file is quarantined; ingest again once the archive has corrected it",
        "failed": "its file was not fetched; ingest again",
        "trading": "the exchange says TRADING; ingest again",
    }
    defects = missing.with_columns(certain=pl.lit(value=True), what=pl.col("why").replace(reasons))
    figures: dict[str, object] = {"expected_sessions": known.height + missing.height}
    figures["sessions_without_bar"] = missing.height
    return window.findings("MISSING_SESSION_FILE", "expected bars that are not there", defects), figures


def _cross_checked(evidence: Evidence, window: DefectWindow) -> Judged:
    figures: dict[str, object] = {"cross_checked": 0, "cross_check_differences": 0}
    archive, rest = evidence.archive, evidence.rest
    if archive is None or rest is None:
        return [], figures
    rest = rest.filter(~pl.col("host").str.contains(FOREIGN_HOSTS))  # another market has other prices
    differing = cross_check(archive, rest)
    figures["cross_checked"] = archive.join(rest, on=KEY, how="semi").height
    figures["cross_check_differences"] = differing.n_unique(KEY)
    what = pl.format("{}: archive {}, {} {}", "field", "archive", "host", "rest")
    expected = "expected the archive and the REST API to agree"
    return window.findings("CROSS_CHECK", expected, _defects(differing, what, pl.lit(value=True))), figures


def _summed(bars: pl.DataFrame, hourly: pl.DataFrame | None, window: DefectWindow) -> Judged:
    figures: dict[str, object] = {"summed_days": 0, "interval_sum_differences": 0}
    if hourly is None:
        return [], figures
    differing = interval_sums(hourly, bars, HOUR, DAY)
    days = hourly.select("symbol", pl.col("open_time").dt.truncate(DAY)).unique()
    figures["summed_days"] = days.join(bars, on=KEY, how="semi").height
    figures["interval_sum_differences"] = differing.n_unique(KEY)
    what = pl.format("{}: 1h {}, 1d {}, {} hours missing", "field", "fine", "coarse", "fine_missing")
    expected = "expected hourly bars to add up to the daily one"
    # Hours that are not there may be what the sum lacks, and what is neither price nor volume decides nothing by itself.
    certain = (pl.col("fine_missing") == 0) & pl.col("field").is_in([*PRICES, "volume"])
    return window.findings("INTERVAL_SUM", expected, _defects(differing, what, certain)), figures


def _zero_volume(bars: pl.DataFrame) -> Judged:
    quiet = zero_volume(bars)
    days = int(quiet["days"].sum())
    if not days:
        return [], {"zero_volume_days": 0}
    listed = listed_names([f"{symbol} {count}" for symbol, count in quiet.select("symbol", "days").rows()])
    message = f"{days} days without volume of {quiet.height} symbols: {listed}"
    return [Finding("WARN", "ZERO_VOLUME", "", message)], {"zero_volume_days": days}


def _other_exchange(evidence: Evidence) -> Judged:
    """Bars that stand as another exchange served them: those that the archive has replaced do not."""
    if evidence.rest is None:
        return [], {"other_exchange_bars": 0}
    foreign = evidence.rest.filter(pl.col("host").str.contains(FOREIGN_HOSTS))
    if evidence.archive is not None:
        foreign = foreign.join(evidence.archive, on=KEY, how="anti")
    figures: dict[str, object] = {"other_exchange_bars": foreign.height}
    if not foreign.height:
        return [], figures
    symbols = foreign["symbol"].unique().sort().to_list()
    message = (
        f"expected bars of one exchange, found {foreign.height} of {len(symbols)} symbols served by "
        f"{listed_names(foreign['host'].unique().sort().to_list())}, a market of its own: {listed_names(symbols)}; "
        "ingest again once the archive has these days"
    )
    return [Finding("WARN", "OTHER_EXCHANGE", "", message)], figures


def _defects(differing: pl.DataFrame, what: pl.Expr, certain: pl.Expr) -> pl.DataFrame:
    return differing.select(
        "symbol", pl.col("open_time").dt.date().alias("date"), certain.alias("certain"), what.alias("what")
    )


def _plain(rows: pl.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON has them: a moment is text, to the minute."""
    return rows.with_columns(pl.col("from", "to").dt.strftime("%Y-%m-%d %H:%M")).to_dicts()
