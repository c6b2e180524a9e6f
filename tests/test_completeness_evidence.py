from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from sleevegraph import completeness
from sleevegraph.completeness import Verdict
from sleevegraph.errors import BarsError
from sleevegraph.findings import Finding
from sleevegraph.manifest import CompletenessRules
from sleevegraph.readiness.corroboration import corroborate
from sleevegraph.readiness.evidence import Evidence
from sleevegraph.readiness.recorded import from_rows, to_rows
from tests.markets import recorded_bars
from tests.shared import SHARED, needs_shared
from tests.test_completeness import AT, market, on

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RULES = CompletenessRules()
HOST = "https://api.binance.com"
TICKERS = tuple(f"{s}USDT" for s in "ABCDEFGHIJ")
FIRST = AT - 60 * DAY


def bars_complete(bars: pl.DataFrame, at: date, rules: CompletenessRules, evidence: Evidence | None = None) -> Verdict:
    """The verdict by way of the rows that the evidence is kept as."""
    beside = None if evidence is None else corroborate(bars, at, rules.max_defect_share, evidence)
    return completeness.bars_complete(bars, at, rules, from_rows(to_rows(beside)))


def judge(bars: pl.DataFrame, evidence: Evidence, rules: CompletenessRules = RULES) -> dict[str, Finding]:
    """Findings by code; each at most once here."""
    findings, _ = bars_complete(bars, AT, rules, evidence)
    by_code = {finding.code: finding for finding in findings}
    assert len(by_code) == len(findings)
    return by_code


def figures(bars: pl.DataFrame, evidence: Evidence) -> dict[str, object]:
    return bars_complete(bars, AT, RULES, evidence)[1]


def calendar(status: str = "stored", first: date = FIRST, last: date = AT, of: Sequence[str] = TICKERS) -> pl.DataFrame:
    return pl.DataFrame([{"symbol": s, "first": first, "last": last, "status": status} for s in of])


def klines(bars: pl.DataFrame) -> pl.DataFrame:
    """The same bars as the exchange gives them."""
    return bars.select(
        pl.col("symbol").str.strip_prefix("BINANCE:"),
        pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time"),
        *("open", "high", "low", "close", "volume", "quote_volume"),
        trades=pl.lit(24, pl.Int64),
    )


def hourly(bars: pl.DataFrame) -> pl.DataFrame:
    """Twenty-four hours a day that add up to `bars`: all prices in each hour, a 24th of the volume."""
    hours = pl.DataFrame({"hour": range(24)})
    return (
        klines(bars)
        .join(hours, how="cross")
        .with_columns(
            open=pl.when(pl.col("hour") == 0).then("open").otherwise("close"),
            open_time=pl.col("open_time") + pl.duration(hours="hour"),
            volume=pl.col("volume") / 24,
            quote_volume=pl.col("quote_volume") / 24,
        )
        .drop("hour")
    )


def of(letters: str) -> pl.Expr:
    return pl.col("symbol").is_in([f"{s}USDT" for s in letters])


def days_before(days: int) -> pl.Expr:
    return pl.col("open_time").dt.date() == AT - days * DAY


def test_evidence_that_agrees_adds_figures_and_no_finding() -> None:
    bars = market()
    everything = Evidence(
        calendar(),
        pl.DataFrame({"symbol": TICKERS, "listed": [FIRST] * 10, "status": ["TRADING"] * 10}),
        hourly(bars),
        klines(bars),
        klines(bars.filter(pl.col("date") >= AT - 5 * DAY)).with_columns(host=pl.lit(HOST)),
    )
    findings, found = bars_complete(bars, AT, RULES, everything)
    assert not findings
    assert found == bars_complete(bars, AT, RULES)[1] | {
        "gap_table": [],
        "outages": [],
        "expected_sessions": 600,
        "sessions_without_bar": 0,
        "cross_checked": 50,
        "cross_check_differences": 0,
        "summed_days": 600,
        "interval_sum_differences": 0,
        "zero_volume_days": 0,
        "other_exchange_bars": 0,
    }


def test_without_evidence_no_figure_and_no_finding_is_new() -> None:
    bars = market().with_columns(volume=0.0)
    findings, found = bars_complete(bars, AT, RULES)
    assert not findings
    assert "gap_table" not in found
    assert list(judge(bars, Evidence())) == ["ZERO_VOLUME"]


@pytest.mark.parametrize("name", ["hourly", "archive", "rest"])
def test_evidence_that_looks_ahead_is_refused(name: str) -> None:
    late = klines(market()).with_columns(pl.col("open_time") + DAY, host=pl.lit(HOST))
    with pytest.raises(BarsError, match=rf"bars_complete at 2022-03-21: {name}: expected bars before 2022-03-21"):
        bars_complete(market(), AT, RULES, Evidence(**{name: late}))


def test_what_the_archive_lists_of_later_days_changes_nothing() -> None:
    later = calendar("failed", AT, AT + 30 * DAY)
    assert not judge(market(), Evidence(calendar=pl.concat([calendar(), later])))
    across = calendar("failed", AT - DAY, AT + 30 * DAY)
    bars = market().filter(~on(1) | (pl.col("symbol") > "BINANCE:B"))
    message = judge(bars, Evidence(calendar=across))["MISSING_SESSION_FILE"].message
    assert "1 bars of 1 of 10 symbols (AUSDT), first AUSDT 2022-03-20: its file was not fetched" in message


@pytest.mark.parametrize(("symbols", "level"), [("A", "WARN"), ("AB", "ERROR")])
@pytest.mark.parametrize("status", ["quarantined", "failed"])
def test_lost_files_block_once_they_are_of_too_many_symbols(symbols: str, level: str, status: str) -> None:
    tickers = [f"{s}USDT" for s in symbols]
    lost = pl.col("symbol").is_in([f"BINANCE:{t}" for t in tickers]) & on(5)
    files = calendar(status, AT - 5 * DAY, AT - 5 * DAY, tickers)
    found = judge(market().filter(~lost), Evidence(calendar=files))["MISSING_SESSION_FILE"]
    assert found.level == level
    assert found.symbol == ("BINANCE:AUSDT" if symbols == "A" else "")
    assert f"{len(symbols)} bars of {len(symbols)} of 10 symbols" in found.message
    tolerant = CompletenessRules(max_defect_share=0.2)
    assert judge(market().filter(~lost), Evidence(calendar=files), tolerant)["MISSING_SESSION_FILE"].level == "WARN"


@pytest.mark.parametrize(("days", "level"), [(10, "ERROR"), (11, "WARN")])
def test_lost_files_block_only_the_rebalance_whose_window_they_are_in(days: int, level: str) -> None:
    files = calendar("failed", AT - days * DAY, AT - days * DAY)
    bars = market().filter(~(on(days) & (pl.col("symbol") < "BINANCE:E")))
    assert judge(bars, Evidence(calendar=files))["MISSING_SESSION_FILE"].level == level


def test_who_trades_by_the_exchange_and_has_no_bar_on_the_day_before_is_named() -> None:
    listed = pl.DataFrame(
        {"symbol": [*TICKERS, "ELSEEUR"], "listed": [None] * 11, "status": ["TRADING"] * 11},
        schema_overrides={"listed": pl.Date()},
    )
    bars = market().filter(~(on(1) & (pl.col("symbol") == "BINANCE:AUSDT")))
    found = judge(bars, Evidence(listings=listed))["MISSING_SESSION_FILE"]
    assert (found.level, found.symbol) == ("WARN", "BINANCE:AUSDT")
    assert "the exchange says TRADING" in found.message
    assert figures(bars, Evidence(listings=listed))["expected_sessions"] == 600
    assert figures(bars, Evidence(listings=listed))["sessions_without_bar"] == 1


@pytest.mark.parametrize(
    ("letters", "days", "level"), [("A", 3, "WARN"), ("AB", 3, "ERROR"), ("AB", 10, "ERROR"), ("ABCDE", 11, "WARN")]
)
def test_bars_that_the_two_sources_tell_differently_are_found(letters: str, days: int, level: str) -> None:
    archive = klines(market())
    rest = archive.with_columns(
        close=pl.when(of(letters) & days_before(days)).then(3.5).otherwise("close"), host=pl.lit(HOST)
    )
    found = judge(market(), Evidence(archive=archive, rest=rest))["CROSS_CHECK"]
    assert found.level == level
    assert f"first AUSDT {AT - days * DAY}: close: archive 3.0, {HOST} 3.5" in found.message
    numbers = figures(market(), Evidence(archive=archive, rest=rest))
    assert (numbers["cross_checked"], numbers["cross_check_differences"]) == (600, len(letters))


@pytest.mark.parametrize(
    ("letters", "days", "level"), [("A", 3, "WARN"), ("AB", 3, "ERROR"), ("AB", 10, "ERROR"), ("ABCDE", 11, "WARN")]
)
def test_hours_that_do_not_add_up_to_the_day_are_found(letters: str, days: int, level: str) -> None:
    hours = hourly(market()).with_columns(
        high=pl.when(of(letters) & days_before(days)).then(4.5).otherwise("high"),
    )
    found = judge(market(), Evidence(hourly=hours))["INTERVAL_SUM"]
    assert found.level == level
    assert f"first AUSDT {AT - days * DAY}: high: 1h 4.5, 1d 4.0, 0 hours missing" in found.message
    assert figures(market(), Evidence(hourly=hours))["interval_sum_differences"] == len(letters)


def test_a_sum_that_lacks_hours_warns_and_never_blocks() -> None:
    one = pl.col("open_time").is_in([datetime.combine(AT - 3 * DAY, time(5), UTC)])
    found = judge(market(), Evidence(hourly=hourly(market()).filter(~(one & of("ABCDE")))))
    assert list(found) == ["INTERVAL_SUM"]
    assert found["INTERVAL_SUM"].level == "WARN"
    assert "1 hours missing" in found["INTERVAL_SUM"].message


def test_hours_without_most_symbols_are_listed_as_an_outage() -> None:
    hole = datetime.combine(AT - 3 * DAY, time(5), UTC)
    gone = (pl.col("open_time") == hole) & of("ABCDEF")
    bars = hourly(market()).filter(~gone)
    found = judge(market(), Evidence(hourly=bars))["OUTAGE"]
    assert found.level == "WARN"
    assert "1 outages" in found.message
    assert "2022-03-18 05:00 to 2022-03-18 05:00 (6 of 10 symbols)" in found.message
    assert figures(market(), Evidence(hourly=bars))["outages"] == [
        {
            "from": "2022-03-18 05:00",
            "to": "2022-03-18 05:00",
            "missing_steps": 1,
            "symbols_missing": 6,
            "symbols_expected": 10,
        }
    ]


def test_a_day_without_bars_in_stored_files_is_an_outage_and_no_missing_session() -> None:
    bars = market().filter(~on(5))
    assert judge(bars, Evidence())["SESSION_MISSING"].level == "ERROR"
    found = judge(bars, Evidence(calendar=calendar()))
    assert set(found) == {"OUTAGE", "GAPS"}
    assert "2022-03-16 00:00 to 2022-03-16 00:00 (10 of 10 symbols)" in found["OUTAGE"].message
    numbers = figures(bars, Evidence(calendar=calendar()))
    assert numbers["sessions_missing"] == 0
    table = numbers["gap_table"]
    assert isinstance(table, list)
    assert [(row["missing"], row["kind"]) for row in table] == [(1, "outage")] * 10


@pytest.mark.parametrize("stored", [5, 6])
def test_an_outage_is_believed_when_most_who_miss_it_have_a_file_of_the_day(stored: int) -> None:
    found = judge(market().filter(~on(5)), Evidence(calendar=calendar(of=TICKERS[:stored])))
    assert ("OUTAGE" in found) == (stored > 5)
    assert ("SESSION_MISSING" in found) == (stored <= 5)


def test_a_day_that_was_never_ingested_stays_a_missing_session_whatever_its_hours_say() -> None:
    bars = market().filter(~on(5))
    until = calendar(last=AT - 6 * DAY)
    found = judge(bars, Evidence(calendar=until, hourly=hourly(bars)))
    assert found["SESSION_MISSING"].level == "ERROR"
    assert found["OUTAGE"].level == "WARN"


def test_days_without_volume_are_counted_and_do_not_block() -> None:
    quiet = (pl.col("symbol") == "BINANCE:BUSDT") & (pl.col("date") >= AT - 3 * DAY)
    bars = market().with_columns(volume=pl.when(quiet).then(0.0).otherwise("volume"))
    found = judge(bars, Evidence())["ZERO_VOLUME"]
    assert found.level == "WARN"
    assert "3 days without volume of 1 symbols: BUSDT 3" in found.message
    assert figures(bars, Evidence())["zero_volume_days"] == 3


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("https://api.binance.us", True),
        ("api.binance.us", True),
        ("https://api.binance.us:443/api", True),
        ("https://api.binance.com", False),
        ("https://data-api.binance.vision", False),
        ("https://binance.usable.org", False),
    ],
)
def test_bars_of_another_exchange_are_named(host: str, *, found: bool) -> None:
    rest = klines(market().filter(on(1) | on(2))).with_columns(host=pl.lit(host))
    by_code = judge(market(), Evidence(rest=rest))
    assert ("OTHER_EXCHANGE" in by_code) == found
    if found:
        assert by_code["OTHER_EXCHANGE"].level == "WARN"
        assert f"found 20 of 10 symbols served by {host}" in by_code["OTHER_EXCHANGE"].message
    archive = klines(market().filter(~on(1)))
    assert figures(market(), Evidence(archive=archive, rest=rest))["other_exchange_bars"] == (10 if found else 0)


def test_a_derived_quote_volume_is_not_compared() -> None:
    hours = hourly(market()).with_columns(quote_volume=1.0)
    assert market()["quote_volume_derived"].all()
    assert not judge(market(), Evidence(hourly=hours))
    given = market().with_columns(quote_volume_derived=pl.lit(value=False))
    findings, _ = bars_complete(given, AT, RULES, Evidence(hourly=hours))
    assert [(f.level, f.code) for f in findings] == [("WARN", "INTERVAL_SUM")] * 2  # of prices it would block
    assert all("quote_volume: 1h 24.0, 1d 15.0" in f.message for f in findings)


def test_the_gap_table_holds_the_fifty_largest() -> None:
    holes = (pl.col("date").dt.day() % 4 == 1) & (pl.col("symbol") < "BINANCE:F")
    long = (pl.col("symbol") == "BINANCE:JUSDT") & (on(8) | on(7))
    table = figures(market().filter(~holes & ~long), Evidence())["gap_table"]
    assert isinstance(table, list)
    assert [row["missing"] for row in table] == [2] + [1] * 49


@needs_shared
def test_recorded_hours_and_days_agree_and_their_outages_are_listed() -> None:
    at = date(2023, 12, 21)
    bars = recorded_bars().filter(pl.col("date") < at)
    hours = pl.read_parquet(SHARED / "market" / "spot_hourly.parquet").with_columns(
        pl.col("open_time").dt.replace_time_zone("UTC")
    )
    hours = hours.filter(pl.col("open_time") < datetime.combine(at, time(), UTC))
    findings, numbers = bars_complete(bars, at, RULES, Evidence(hourly=hours))
    assert [(f.level, f.code) for f in findings] == [("WARN", "GAPS"), ("WARN", "OUTAGE")]
    assert "5 outages" in findings[1].message
    assert numbers["interval_sum_differences"] == 0
    assert (
        numbers["summed_days"]
        == bars.filter(pl.col("symbol").str.strip_prefix("BINANCE:").is_in(hours["symbol"].unique().implode())).height
    )
    table = numbers["gap_table"]
    assert isinstance(table, list)
    assert len(table) == numbers["gaps"]
    assert table[0]["symbol"] == "FTTUSDT"
    assert [row["missing"] for row in table] == sorted((row["missing"] for row in table), reverse=True)


def test_bars_of_another_exchange_are_not_held_against_the_archive() -> None:
    archive = klines(market().filter(on(1) | on(2)))
    rest = archive.with_columns(close=pl.col("close") * 1.01)
    ours, theirs = (rest.with_columns(host=pl.lit(host)) for host in (HOST, "https://api.binance.us"))
    assert judge(market(), Evidence(archive=archive, rest=ours))["CROSS_CHECK"].level == "ERROR"
    assert "CROSS_CHECK" not in judge(market(), Evidence(archive=archive, rest=theirs))


def test_a_symbol_whose_bars_ended_long_ago_is_not_expected_however_often_it_is_called_trading() -> None:
    ended = pl.col("symbol").is_in(["BINANCE:AUSDT", "BINANCE:BUSDT"])
    listings = pl.DataFrame({"symbol": TICKERS, "listed": [None] * 10, "status": ["TRADING"] * 10})
    listings = listings.cast({"listed": pl.Date})
    for days, missing in ((11, False), (5, True)):
        bars = market().filter(~ended | (pl.col("date") < AT - days * DAY))
        assert ("MISSING_SESSION_FILE" in judge(bars, Evidence(listings=listings))) == missing
