"""The stored trade lists of a home: what they are made from, what is not read, and who judges them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Any

import polars as pl
import pytest

from assets.trades import SCHEMA, filters_before
from definitions import build_definitions
from resources.binance.source import EXCHANGE_INFO
from sleevegraph.manifest import RISK_PROFILES, MarketProfile
from sleevegraph.market_data.exchange_info import SCHEMA as INFO_SCHEMA
from tests.command_homes import change
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, cause, small_manifest, small_market

LIST, FLAT, CHECK = (META, "trade_list"), (META, "flattened_weights"), "trade_list_reconciles"
AT = KEYS[2]
EQUITY = 100_000.0


def closes() -> dict[tuple[str, date], float]:
    return {(symbol, day): close for symbol, day, close in small_market().select("symbol", "date", "close").iter_rows()}


def nets(home: TemporaryHome, key: str, profile: str) -> dict[str, float]:
    rows = home.read(FLAT, key).filter((pl.col("profile") == profile) & ~pl.col("dust") & (pl.col("symbol") != "CASH"))
    return {symbol: net for symbol, net in rows.select("symbol", "net").iter_rows() if net}


def drifted(before: dict[str, float], decided: str, at: str) -> dict[str, float]:
    """Net x price ratio over what the book has become; a symbol that lacks a day is cash from there on."""
    close, first, end = closes(), date.fromisoformat(decided), date.fromisoformat(at)
    days = [first + timedelta(days=i) for i in range(-1, (end - first).days)]
    wealth, held = 1.0, {}
    for symbol, net in before.items():
        traded = list(takewhile(lambda day, symbol=symbol: (symbol, day) in close, days))
        ratio = close[symbol, traded[-1]] / close[symbol, traded[0]]
        wealth += net * (ratio - 1.0)
        if traded == days:
            held[symbol] = net * ratio
    return {symbol: value / wealth for symbol, value in held.items()}


@pytest.mark.parametrize("profile", ["hrp", "benchmark"])
def test_trades_lead_from_the_drifted_weights_before_to_those_decided(home: TemporaryHome, profile: str) -> None:
    frame = home.read(LIST, AT).filter(pl.col("profile") == profile)
    wanted, held = nets(home, AT, profile), drifted(nets(home, KEYS[1], profile), KEYS[1], AT)
    assert set(frame["symbol"]) == {*wanted, *held}
    close, eve = closes(), date.fromisoformat(AT) - timedelta(days=1)
    for (symbol,), rows in frame.group_by("symbol", maintain_order=True):
        price = close[str(symbol), eve]
        before = float(rows["holding_quantity"][0])
        assert before == pytest.approx(held.get(str(symbol), 0.0) * EQUITY / price, abs=2e-8)
        after = before + sum(map(float, rows["trade_quantity"]))
        skipped = 5.0 / price if "untradable" in rows["status"] else 0.0
        assert after == pytest.approx(wanted.get(str(symbol), 0.0) * EQUITY / price, rel=1e-12, abs=2e-8 + skipped)
        assert set(rows["price"]) == {price}


def test_every_profile_of_every_meta_is_listed_judged_and_described(home: TemporaryHome) -> None:
    for meta in (META, NESTED):
        for key in KEYS:
            frame = home.read((meta, "trade_list"), key)
            assert frame.schema == SCHEMA
            assert set(frame["profile"]) <= set(RISK_PROFILES)
            receipt = home.receipt((meta, "trade_list"), CHECK, key)
            assert (receipt.passed, receipt.findings) == (True, [])
            metadata = home.metadata((meta, "trade_list"), key)
            assert all(f"| {profile} |" in metadata["totals"] for profile in RISK_PROFILES)
            assert metadata["filters"].startswith("assumed")
            assert metadata["equity"] == "100,000.00 USDT"
            assert set(frame["currency"]) == {"USDT"}
            assert set(frame["rate"].drop_nulls()) == {1.0}
    assert "daily_bars" in home.receipt(LIST, CHECK, AT).inputs
    assert f"{META}/flattened_weights@{KEYS[1]}" in home.receipt(LIST, CHECK, AT).inputs


def test_an_equity_in_another_currency_is_converted_at_the_close_before_and_judged(
    home: TemporaryHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    usdt = home.read(LIST, AT)
    home.run(AT, assets=[], checks=[(LIST, CHECK)])
    assert home.receipt(LIST, CHECK, AT).passed
    # The first quote of another universe; that universe itself would be another home.
    monkeypatch.setattr(MarketProfile, "currency", property(lambda _: "BTC"))
    in_btc = replace(home, defs=build_definitions(small_manifest()))
    in_btc.run(AT, assets=[], checks=[(LIST, CHECK)])
    assert any("ERROR CONVERSION BINANCE:" in finding for finding in home.receipt(LIST, CHECK, AT).findings)
    assert in_btc.run(AT, assets=[LIST], checks=[(LIST, CHECK)]).success
    assert home.receipt(LIST, CHECK, AT).passed
    assert home.metadata(LIST, AT)["equity"] == "100,000.00 BTC"
    frame, bitcoin = home.read(LIST, AT), closes()["BINANCE:BTCUSDT", date.fromisoformat(AT) - timedelta(days=1)]
    assert set(frame["rate"]) == {1 / bitcoin}
    both = usdt.join(frame, on=["profile", "symbol", "leg"], suffix="_btc").filter(pl.col("target_quantity") != 0)
    assert both.height > 50
    for before, after in both.select("target_quantity", "target_quantity_btc").iter_rows():
        assert float(after) == pytest.approx(float(before) * bitcoin, rel=1e-12)
    for row in frame.iter_rows(named=True):
        assert row["cost"] == pytest.approx(0.0014 * row["notional"] / bitcoin, rel=1e-12)


def test_the_first_list_buys_from_cash(home: TemporaryHome) -> None:
    assert set(home.read(LIST, KEYS[0])["holding_quantity"]) == {Decimal(0)}


def test_bars_from_the_rebalance_date_on_change_no_bit(home: TemporaryHome) -> None:
    before = home.read(LIST, AT)
    late = pl.col("date") >= date.fromisoformat(AT)
    noise = [
        (pl.when(late).then(pl.col(name) * 3.0).otherwise(pl.col(name))).alias(name)
        for name in ("open", "high", "low", "close", "volume", "quote_volume")
    ]
    assert home.ingest(small_market().with_columns(noise)).success
    assert home.run(AT, assets=[LIST]).success
    assert home.read(LIST, AT).equals(before)


def snapshot(home: TemporaryHome, day: date, change: Callable[[str], dict[str, Any]]) -> None:
    """Store what the exchange said on a day: steps of 0.01 and a minimum notional of 10, but for what is changed."""
    symbols = sorted(symbol.partition(":")[2] for symbol in small_market()["symbol"].unique())
    rows = [
        {"symbol": symbol, "status": "TRADING", "step_size": "0.01000000", "min_qty": "0.01", "min_notional": "10.0"}
        | change(symbol)
        for symbol in symbols
    ]
    frame = pl.DataFrame([row for row in rows if row["symbol"]], schema=INFO_SCHEMA)
    stamped = frame.with_columns(
        as_of=pl.lit(datetime.combine(day, datetime.min.time(), UTC)).cast(INFO_SCHEMA["as_of"])
    )
    home.store.lake.write(EXCHANGE_INFO, str(day), stamped)


def test_a_snapshot_of_the_day_itself_or_later_changes_no_bit(home: TemporaryHome) -> None:
    before, at = home.read(LIST, AT), date.fromisoformat(AT)
    for day in (at, at + timedelta(days=3)):
        snapshot(home, day, lambda _: {"status": "BREAK"})
    assert filters_before(home.store, at) == (None, "")
    assert home.run(AT, assets=[LIST]).success
    assert home.read(LIST, AT).equals(before)


def test_filters_of_an_earlier_snapshot_are_kept_and_untradable_symbols_named(home: TemporaryHome) -> None:
    first, second = sorted(set(home.read(LIST, AT)["symbol"]))[:2]
    changes = {first.partition(":")[2]: {"status": "BREAK"}, second.partition(":")[2]: {"symbol": None}}
    snapshot(home, date.fromisoformat(AT) - timedelta(days=1), lambda symbol: changes.get(symbol, {}))
    assert home.run(AT, assets=[LIST], checks=[(LIST, CHECK)]).success
    frame = home.read(LIST, AT)
    assert all(quantity % Decimal("0.01") == 0 for quantity in frame["trade_quantity"])
    assert frame.filter(pl.col("status") == "trade")["notional"].min() >= 10.0
    reasons = {symbol: set(frame.filter(pl.col("symbol") == symbol)["reason"]) for symbol in (first, second)}
    assert reasons == {first: {"not_trading"}, second: {"not_listed"}}
    assert not frame.filter(~pl.col("symbol").is_in([first, second]))["flags"].list.contains("rules_assumed").any()
    receipt, known = home.receipt(LIST, CHECK, AT), f"exchange_info@{date.fromisoformat(AT) - timedelta(days=1)}"
    assert receipt.passed
    assert known in receipt.inputs
    metadata = home.metadata(LIST, AT)
    assert metadata["filters"].startswith("of the exchange, ")
    assert metadata["untradable"]["hrp"]["not_trading"] == 1
    snapshot(home, date.fromisoformat(AT) - timedelta(days=1), lambda _: {"min_notional": "20.0"})
    state, reason = home.store.receipts.state(LIST, CHECK, AT)
    assert (state.value, known in reason) == ("STALE", True)


def opened(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that end with more than was held, or on the other side."""
    held, after = pl.col("holding_quantity"), pl.col("resulting_quantity")
    return frame.filter((after.abs() > held.abs()) | (after * held < 0))


@pytest.mark.parametrize(
    ("asset", "check"),
    [
        ((LONG, "risk_weights"), "weight_sanity"),
        ((SHORT, "solver_cells"), "solver_failure_rate"),
        ((META, "meta_weights"), "child_weights"),
    ],
)
def test_a_refusal_anywhere_below_makes_every_list_above_reduce_only(
    home: TemporaryHome, asset: tuple[str, str], check: str
) -> None:
    above = ((NESTED, "trade_list"), LIST)
    assert all(opened(home.read(path, AT)).height for path in above)
    change(home.store.receipts.path(asset, check, AT), passed=False, findings=["ERROR PLANTED: planted"])
    # Without what a meta's own gate judged, a run of its list alone is refused.
    beside = [asset] if asset[0] == META else []
    assert home.run(AT, assets=[*beside, *above], checks=[(path, CHECK) for path in above]).success
    for path in above:
        assert opened(home.read(path, AT)).is_empty()
        assert (
            home.metadata(path, AT)["reduce_only"]
            == f"{check} of {'/'.join(asset)} at {AT} failed: ERROR PLANTED: planted"
        )
        assert home.receipt(path, CHECK, AT).passed


def test_a_list_that_opens_although_a_sleeve_is_refused_is_caught(home: TemporaryHome) -> None:
    change(
        home.store.receipts.path((LONG, "risk_weights"), "weight_sanity", AT), passed=False, findings=["ERROR PLANTED"]
    )
    home.run(AT, assets=[], checks=[(LIST, CHECK)])
    receipt = home.receipt(LIST, CHECK, AT)
    assert not receipt.passed
    assert any(finding.startswith("ERROR REDUCE_ONLY BINANCE:") for finding in receipt.findings)


def test_a_list_that_was_tampered_with_is_caught(home: TemporaryHome) -> None:
    home.plant(LIST, AT, (pl.col("trade_quantity") * 2).cast(SCHEMA["trade_quantity"]))
    home.run(AT, assets=[], checks=[(LIST, CHECK)])
    receipt = home.receipt(LIST, CHECK, AT)
    assert not receipt.passed
    assert any(finding.startswith("ERROR LEGS BINANCE:") for finding in receipt.findings)
    assert any(finding.startswith("ERROR BEYOND_TARGET") or "NOTIONAL" in finding for finding in receipt.findings)


def test_a_list_from_weights_that_nobody_judged_is_refused(home: TemporaryHome) -> None:
    home.store.receipts.path(FLAT, "conservation", KEYS[1]).unlink()
    result = home.run(AT, assets=[LIST])
    assert not result.success
    assert f"conservation of {META}/flattened_weights at {KEYS[1]}: no receipt" in cause(result)
