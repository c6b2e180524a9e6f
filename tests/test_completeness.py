from datetime import date, timedelta

import polars as pl
import pytest

from sleevegraph.bars import canonical_bars
from sleevegraph.calendar import grid_dates
from sleevegraph.completeness import bars_complete
from sleevegraph.errors import BarsError
from sleevegraph.findings import Finding
from sleevegraph.manifest import CompletenessRules
from tests.markets import recorded_bars
from tests.shared import needs_shared

AT = date(2022, 3, 21)
"""A Monday, so that the day before it belongs to a weekend."""

DAYS = 60
RULES = CompletenessRules()
ONE = pl.col("symbol") == "BINANCE:AUSDT"


def market(symbols: str = "ABCDEFGHIJ", days: int = DAYS) -> pl.DataFrame:
    """Ten symbols with a bar on each of the sixty days before AT: nothing is wrong."""
    dates = [AT - timedelta(days=days - i) for i in range(days)]
    rows = [
        {"symbol": f"{s}USDT", "date": day, "open": 2.0, "high": 4.0, "low": 1.0, "close": 3.0, "volume": 5.0}
        for s in symbols
        for day in dates
    ]
    return canonical_bars(pl.DataFrame(rows), "market")


def on(days_before: int) -> pl.Expr:
    return pl.col("date") == AT - timedelta(days=days_before)


def planted(defect: pl.Expr, **values: float) -> pl.DataFrame:
    return market().with_columns(pl.when(defect).then(v).otherwise(pl.col(c)).alias(c) for c, v in values.items())


def judge(bars: pl.DataFrame) -> tuple[dict[str, Finding], dict[str, object]]:
    """Findings by code (each at most once here), and the figures."""
    findings, figures = bars_complete(bars, AT, RULES)
    by_code = {finding.code: finding for finding in findings}
    assert len(by_code) == len(findings)
    return by_code, figures


def test_a_market_with_every_bar_has_no_finding() -> None:
    found, figures = judge(market())
    assert not found
    assert figures == {
        "rows": 600,
        "symbols": 10,
        "newest": AT - timedelta(days=1),
        "fresh_share": 1.0,
        "gaps": 0,
        "sessions": 60,
        "sessions_missing": 0,
        "ohlc_violations": 0,
        "duplicates": 0,
    }


def test_no_bars_is_an_error_and_not_a_silence() -> None:
    found, figures = judge(market().clear())
    assert list(found) == ["NO_BARS"]
    assert found["NO_BARS"].level == "ERROR"
    assert "expected bars before 2022-03-21, found none" in found["NO_BARS"].message
    assert figures["rows"] == 0


def test_a_bar_at_the_rebalance_date_is_refused_as_looking_ahead() -> None:
    with pytest.raises(BarsError, match="expected bars before 2022-03-20, found one on 2022-03-20"):
        bars_complete(market(), AT - timedelta(days=1), RULES)


def test_a_repeated_bar_is_found() -> None:
    bars = market()
    found, figures = judge(pl.concat([bars, bars.filter(ONE & on(5))]))
    assert found["DUPLICATE_BAR"].level == "ERROR"
    assert found["DUPLICATE_BAR"].symbol == "BINANCE:AUSDT"
    assert "expected one bar a day, found several: 1 bars, first 2022-03-16" in found["DUPLICATE_BAR"].message
    assert figures["duplicates"] == 1


@pytest.mark.parametrize("values", [{"low": 2.5}, {"high": 2.5}, {"open": 5.0}, {"close": 0.5}])
def test_prices_out_of_order_are_found(values: dict[str, float]) -> None:
    found, figures = judge(planted(ONE & on(40), **values))
    assert list(found) == ["OHLC_ORDER"]
    assert found["OHLC_ORDER"].symbol == "BINANCE:AUSDT"
    assert "1 bars, first 2022-02-09" in found["OHLC_ORDER"].message
    assert figures["ohlc_violations"] == 1


def test_prices_that_touch_their_bounds_are_in_order() -> None:
    found, _ = judge(planted(ONE, low=2.0, high=3.0))
    assert not found


@pytest.mark.parametrize("values", [{"low": 0.0}, {"close": float("nan")}, {"volume": -1.0}, {"volume": float("inf")}])
def test_what_is_no_price_or_volume_is_found_once(values: dict[str, float]) -> None:
    found, _ = judge(planted(ONE & on(1), **values))
    assert list(found) == ["NOT_POSITIVE"]
    assert "expected prices > 0 and a volume >= 0: 1 bars, first 2022-03-20" in found["NOT_POSITIVE"].message


def test_two_broken_symbols_are_two_findings() -> None:
    findings, figures = bars_complete(planted(pl.col("symbol") <= "BINANCE:BUSDT", low=2.5), AT, RULES)
    assert [(f.level, f.code, f.symbol) for f in findings] == [
        (level, "OHLC_ORDER", symbol) for level in ("ERROR", "WARN") for symbol in ("BINANCE:AUSDT", "BINANCE:BUSDT")
    ]
    assert figures["ohlc_violations"] == 120


@pytest.mark.parametrize(("days_before", "level"), [(10, "ERROR"), (11, "WARN")])
def test_a_broken_bar_blocks_the_rebalance_after_it_and_warns_at_later_ones(days_before: int, level: str) -> None:
    found, _ = judge(planted(ONE & on(days_before), low=2.5))
    assert found["OHLC_ORDER"].level == level


def test_a_market_that_ends_early_is_stale() -> None:
    found, figures = judge(market().filter(~on(1)))
    assert found["STALE"].level == "ERROR"
    assert (
        "newest bar: expected 2022-03-20, found 2022-03-19; ingest the days up to 2022-03-20" in found["STALE"].message
    )
    assert figures["fresh_share"] == 0.0


@pytest.mark.parametrize(("absent", "stale"), [(2, False), (3, True)])
def test_too_few_fresh_symbols_are_stale_below_the_share_and_not_at_it(absent: int, *, stale: bool) -> None:
    missing = pl.col("symbol").is_in(market()["symbol"].unique().sort().head(absent).implode())
    found, figures = judge(market().filter(~(missing & on(1))))
    assert figures["fresh_share"] == pytest.approx(1 - absent / 10)
    assert ("STALE" in found) == stale
    assert not stale or "expected at least 0.8" in found["STALE"].message
    assert not stale or "found 7 of 10" in found["STALE"].message


@pytest.mark.parametrize(("last_bar", "share"), [(11, 0.9), (12, 1.0)])
def test_who_stopped_trading_before_the_last_ten_days_is_not_awaited(last_bar: int, share: float) -> None:
    ended = ONE & (pl.col("date") > AT - timedelta(days=last_bar))
    _, figures = judge(market().filter(~ended))
    assert figures["fresh_share"] == pytest.approx(share)


def test_bars_of_one_day_are_no_evidence_of_freshness() -> None:
    found, _ = judge(market().filter(on(1)))
    assert "found 0 of 0" in found["STALE"].message


def test_a_day_without_any_bar_is_a_missing_session() -> None:
    found, figures = judge(market().filter(~on(20)))
    assert found["SESSION_MISSING"].level == "WARN"
    assert "found 1 days" in found["SESSION_MISSING"].message
    assert "first 2022-03-01: 0 of 1 are Saturdays or Sundays" in found["SESSION_MISSING"].message
    assert figures["sessions_missing"] == 1


@pytest.mark.parametrize(("days_before", "level"), [(10, "ERROR"), (11, "WARN")])
def test_a_missing_session_blocks_only_the_rebalance_whose_window_it_is_in(days_before: int, level: str) -> None:
    found, _ = judge(market().filter(~on(days_before)))
    assert found["SESSION_MISSING"].level == level


@pytest.mark.parametrize(("lost", "level"), [(6, "WARN"), (7, "ERROR")])
def test_more_than_a_tenth_of_the_sessions_missing_blocks_wherever_they_are(lost: int, level: str) -> None:
    days = [AT - timedelta(days=15 + 5 * i) for i in range(lost)]
    found, _ = judge(market().filter(~pl.col("date").is_in(days)))
    assert found["SESSION_MISSING"].level == level


@pytest.mark.parametrize(("absent", "missing"), [(5, 0), (6, 1)])
def test_a_day_with_fewer_than_half_of_the_bars_is_a_missing_session(absent: int, missing: int) -> None:
    thin = pl.col("symbol").is_in(market()["symbol"].unique().sort().head(absent).implode())
    _, figures = judge(market().filter(~(thin & on(20))))
    assert figures["sessions_missing"] == missing


def test_a_business_day_calendar_is_named() -> None:
    weekend = pl.col("date").dt.weekday() > 5
    found, figures = judge(market().filter(~weekend))
    assert "all weekends missing" in found["SESSION_MISSING"].message
    assert figures["sessions_missing"] == market().filter(weekend)["date"].n_unique()


def test_weekends_missing_for_most_symbols_are_found_too() -> None:
    weekend = (pl.col("date").dt.weekday() > 5) & ~on(1)
    found, figures = judge(market().filter(~(weekend & (pl.col("symbol") > "BINANCE:BUSDT"))))
    assert figures["sessions_missing"] == market().filter(weekend)["date"].n_unique()
    assert "all of them Saturdays or Sundays" in found["SESSION_MISSING"].message


def test_a_session_missing_longer_ago_than_the_lookback_is_history() -> None:
    bars = market(days=520)
    assert judge(bars)[1]["sessions_missing"] == 0
    assert judge(bars.filter(~on(500)))[1]["sessions_missing"] == 1
    assert judge(bars.filter(~on(501)))[1]["sessions_missing"] == 0


def test_gaps_of_single_symbols_are_listed_and_do_not_block() -> None:
    short = ONE & pl.col("date").is_between(AT - timedelta(days=30), AT - timedelta(days=28))
    long = (pl.col("symbol") == "BINANCE:BUSDT") & pl.col("date").is_between(
        AT - timedelta(days=30), AT - timedelta(days=12)
    )
    found, figures = judge(market().filter(~short & ~long))
    assert list(found) == ["GAPS"]
    assert found["GAPS"].level == "WARN"
    assert "2 gaps" in found["GAPS"].message
    assert "BINANCE:BUSDT 19 days before 2022-03-10, BINANCE:AUSDT 3 days before 2022-02-22" in found["GAPS"].message
    assert figures["gaps"] == 2


def test_only_the_ten_largest_gaps_are_listed() -> None:
    found, figures = judge(
        market("ABCDEFGHIJKL").filter(~((pl.col("date").dt.day() % 7 == 1) & (pl.col("symbol") < "BINANCE:F")))
    )
    assert figures["gaps"] > 10
    assert found["GAPS"].message.count(" days before ") == 10


def test_the_order_of_rows_does_not_change_the_verdict() -> None:
    bars = planted(ONE & on(7), low=2.5).filter(~on(20))
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=1)
    assert bars_complete(shuffled, AT, RULES) == bars_complete(bars, AT, RULES)
    interleaved = bars.sort("date", "symbol")
    assert bars_complete(interleaved, AT, RULES) == bars_complete(bars, AT, RULES)


@needs_shared
def test_recorded_bars_are_complete_at_every_rebalance_date() -> None:
    bars = recorded_bars()
    dates = grid_dates(date(2021, 12, 21), date(2023, 12, 21))
    assert len(dates) == 74
    for at in dates:
        findings, _ = bars_complete(bars.filter(pl.col("date") < at), at, RULES)
        assert [f for f in findings if f.level == "ERROR"] == [], at


@needs_shared
def test_figures_of_recorded_bars_are_what_a_group_by_gives() -> None:
    at = date(2023, 12, 21)
    bars = recorded_bars().filter(pl.col("date") < at)
    findings, figures = bars_complete(bars, at, RULES)
    step = bars.with_columns(lost=pl.col("date").diff().over("symbol").dt.total_days() - 1).filter(pl.col("lost") > 0)
    last = at - timedelta(days=1)
    active = set(bars.filter(pl.col("date").is_between(at - timedelta(days=11), at - timedelta(days=2)))["symbol"])
    fresh = active & set(bars.filter(pl.col("date") == last)["symbol"])
    assert figures["gaps"] == step.height
    assert figures["fresh_share"] == len(fresh) / len(active) < 1.0
    assert figures["symbols"] == bars["symbol"].n_unique()
    largest = step.sort("lost", descending=True).row(0, named=True)
    assert f"the largest: {largest['symbol']} {largest['lost']} days before {largest['date']}" in findings[0].message


@needs_shared
def test_recorded_bars_without_weekends_are_refused() -> None:
    at = date(2023, 12, 21)
    bars = recorded_bars().filter((pl.col("date") < at) & (pl.col("date").dt.weekday() <= 5))
    findings, _ = bars_complete(bars, at, RULES)
    assert [f.code for f in findings if f.level == "ERROR"] == ["SESSION_MISSING"]
    assert "all weekends missing" in findings[0].message
