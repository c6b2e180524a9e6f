"""What a trade list knows of the market and of the exchange's filters."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any

import polars as pl
import pytest

from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.manifest import MarketProfile, TradingRules, UniverseRules
from sleevegraph.market_data.exchange_info import SCHEMA as INFO
from sleevegraph.market_data.exchange_info import exchange_info
from sleevegraph.panel import build_panel
from sleevegraph.physical import POSITIONS_SCHEMA, PhysicalBook, drifted
from sleevegraph.track_record import market_window
from sleevegraph.trading.lots import Lot, lots
from sleevegraph.trading.model import Facts, model_trades
from sleevegraph.trading.quotes import QUOTES, market_quotes
from sleevegraph.trading.reconciliation import reconciliation
from sleevegraph.trading.totals import totals
from sleevegraph.trading.trade_list import Terms, trade_list
from tests.markets import recorded_panel
from tests.shared import SHARED, needs_shared
from tests.trading import AT

A, B, C = (f"BINANCE:{base}USDT" for base in "ABC")
RULES = TradingRules(quantity_step=0.01, min_notional=7.0)


def bars(*rows: tuple[str, date, float, float]) -> pl.DataFrame:
    """[symbol, date, close, quote volume] as bars."""
    whole = [
        (symbol, symbol[8], "USDT", day, close, close, close, close, volume / close, volume, False)
        for symbol, day, close, volume in rows
    ]
    return pl.DataFrame(whole, schema=BAR_SCHEMA, orient="row")


def days(symbol: str, first: int, last: int) -> list[tuple[str, date, float, float]]:
    """Bars from so many days before P to so many days before P; each day its own price and volume."""
    return [(symbol, AT - timedelta(days=i), 100.0 + i, 1000.0 * (i * 7 % 31)) for i in range(first, last - 1, -1)]


def test_price_is_the_last_close_and_volume_the_median_of_thirty_days() -> None:
    known = [*days(A, 60, 1), *days(B, 20, 3), *days(C, 90, 31)]
    found = market_quotes(build_panel(bars(*known)), AT, "USDT")
    assert found.schema == QUOTES
    expected = [
        (A, "A", "USDT", 101.0, AT - timedelta(days=1), median(row[3] for row in days(A, 30, 1)), 1.0),
        (B, "B", "USDT", 103.0, AT - timedelta(days=3), median(row[3] for row in days(B, 20, 3)), 1.0),
        (C, "C", "USDT", None, None, None, 1.0),
    ]
    assert found.rows() == expected


def test_bars_of_the_rebalance_date_and_later_change_no_bit() -> None:
    known = [*days(A, 60, 1), *days(B, 20, 3)]
    later = [(A, AT, 1e6, 1e12), (A, AT + timedelta(days=5), 1.0, 1.0), (B, AT, 9.0, 9.0)]
    made = market_quotes(build_panel(bars(*known, *later)), AT, "USDT")
    assert made.equals(market_quotes(build_panel(bars(*known)), AT, "USDT"))


def money(*pairs: tuple[str, str, int, float]) -> pl.DataFrame:
    """[base, quote, last bar so many days before P, close] beside a symbol in TRY, as quotes in USDT."""
    found = [("A", "TRY", 1, 100.0), *pairs]
    rows = [
        (f"BINANCE:{base}{quote}", base, quote, AT - timedelta(days=i), *[close] * 4, 1.0, 1.0, False)
        for base, quote, last, close in found
        for i in range(9, last - 1, -1)
    ]
    return market_quotes(build_panel(pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")), AT, "USDT")


@pytest.mark.parametrize(
    ("pairs", "rate"),
    [
        ([], None),
        ([("TRY", "USDT", 1, 0.03)], 0.03),
        ([("USDT", "TRY", 1, 32.0)], 0.03125),
        ([("USDT", "TRY", 1, 32.0), ("TRY", "USDT", 1, 0.03)], 0.03),
        ([("USDT", "TRY", 1, 32.0), ("TRY", "USDT", 2, 0.03)], 0.03125),
        ([("USDT", "TRY", 2, 32.0)], None),
        ([("USDT", "TRY", 0, 32.0)], 0.03125),  # the bar of P itself is not read, the one before is
        ([("USDC", "TRY", 1, 32.0), ("USDC", "USDT", 1, 1.0)], None),
    ],
)
def test_a_rate_is_the_close_of_the_day_before_of_a_pair_or_one_over_it(
    pairs: list[tuple[str, str, int, float]], rate: float | None
) -> None:
    found = dict(money(*pairs).select("symbol", "rate").iter_rows())
    assert found["BINANCE:ATRY"] == rate


def test_the_equity_is_in_the_first_quote_of_the_universe() -> None:
    assert MarketProfile().currency == "USDT"
    assert MarketProfile(universe=UniverseRules(quotes=("USDC", "USDT"))).currency == "USDC"


def test_the_least_notional_of_the_manifest_is_in_the_currency_of_the_equity() -> None:
    quotes = money(("USDT", "TRY", 1, 32.0))
    assert lots(None, ["BINANCE:ATRY"], RULES, quotes)["BINANCE:ATRY"].min_notional == 7 * 32


def test_bars_that_end_long_before_the_rebalance_give_no_price() -> None:
    found = market_quotes(build_panel(bars(*days(A, 90, 40))), AT, "USDT")
    assert found.select("price", "median_quote_volume").row(0) == (None, None)


def redenominated(first: int) -> pl.DataFrame:
    """A trades at 0.01 until 9 days before P, is away, and is a listing of a thousand times the price from `first` on."""
    old = [(A, AT - timedelta(days=i), 0.01, 1e6) for i in range(60, 8, -1)]
    new = [(A, AT - timedelta(days=i), 10.0, 1e6) for i in range(first, 0, -1)]
    return bars(*old, *new, *((B, AT - timedelta(days=i), 5.0, 1e6) for i in range(60, 0, -1)))


def terms_of(equity: float) -> Terms:
    return Terms(AT, equity, "USDT", 0.0014, RULES)


def quotes_of(*symbols: str) -> pl.DataFrame:
    return market_quotes(build_panel(bars(*(row for symbol in symbols for row in days(symbol, 9, 1)))), AT, "USDT")


@pytest.mark.parametrize("first", [0, 1, 3])
def test_weights_held_before_a_listing_began_anew_are_cash(first: int) -> None:
    panel = build_panel(redenominated(first))
    decided = AT - timedelta(days=10)
    rows = [(symbol, 0.5, 0.5, []) for symbol in (A, B)]
    before = PhysicalBook(pl.DataFrame(rows, schema=POSITIONS_SCHEMA, orient="row"), 0.0, 0.0)
    held = drifted(before, market_window(panel.before(AT, 10), decided, 10)).positions
    nets = dict(held.select("symbol", "net").iter_rows())
    assert set(nets) == {B}
    facts = Facts({B: nets[B]}, nets, market_quotes(panel, AT, "USDT"), None, terms_of(1000.0))
    assert model_trades(facts).rows(named=True)[0]["trade_quantity"] == 0
    assert set(model_trades(facts)["symbol"]) == {B}


@pytest.mark.parametrize(("first", "price", "traded"), [(0, 0.01, 0), (1, 10.0, -50), (3, 10.0, -50)])
def test_nobody_trades_at_the_price_of_an_older_listing(first: int, price: float, traded: int) -> None:
    quotes = market_quotes(build_panel(redenominated(first)), AT, "USDT")
    filters = lots(None, [A], RULES, quotes)
    (row,) = trade_list({A: 0.5}, {A: Decimal(100)}, quotes, filters, terms_of(1000.0)).iter_rows(named=True)
    assert (row["price"], row["trade_quantity"]) == (price, traded)
    assert (row["status"], row["reason"]) == (("trade", "") if traded else ("untradable", "no_price"))


def info(*changes: dict[str, Any]) -> pl.DataFrame:
    """A snapshot of symbols A, B, ... with changed entries."""
    filters = [
        {"filterType": "LOT_SIZE", "minQty": "0.10", "maxQty": "9000.00", "stepSize": "0.10000000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ]
    entries = [
        {
            "symbol": f"{base}USDT",
            "status": "TRADING",
            "baseAsset": base,
            "quoteAsset": "USDT",
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filters,
            **change,
        }
        for base, change in zip("ABC", changes, strict=False)
    ]
    return exchange_info({"symbols": entries}, datetime(2024, 9, 10, tzinfo=UTC))


def test_filters_are_the_exchanges_own_decimals() -> None:
    found = lots(info({}), [A], RULES, quotes_of(A))[A]
    assert found == Lot(Fraction(1, 10), Fraction(1, 10), Fraction(9000), Fraction(5))


def test_of_margin_only_a_snapshot_says_anything_in_which_something_may_be_borrowed() -> None:
    alone, beside = info({}), info({}, {"isMarginTradingAllowed": True})
    assert [lot.margin for lot in lots(alone, [A, B], RULES, quotes_of(A, B)).values()] == [None, None]
    assert [lot.margin for lot in lots(beside, [A, B], RULES, quotes_of(A, B)).values()] == [False, True]


def test_what_the_exchange_does_not_say_is_assumed_and_marked() -> None:
    assumed = Lot(Fraction(1, 100), Fraction(0), None, Fraction(7), assumed=True)
    assert lots(None, [A, B], RULES, quotes_of(A, B)) == {A: assumed, B: assumed}
    zero = [{"filterType": "LOT_SIZE", "stepSize": "0.00000000", "minQty": "0.0", "maxQty": "0.0"}]
    for change in ({"filters": []}, {"filters": zero}):
        found = lots(info(change), [A], RULES, quotes_of(A))[A]
        assert (found.step, found.min_notional, found.max_quantity, found.assumed) == (*assumed_of(assumed), True)


def assumed_of(lot: Lot) -> tuple[Fraction, Fraction, None]:
    return lot.step, lot.min_notional, None


def test_a_symbol_that_is_not_listed_or_does_not_trade_takes_no_orders() -> None:
    found = lots(info({"status": "BREAK"}, {"isSpotTradingAllowed": False}), [A, B, C], RULES, quotes_of(A, B))
    assert {symbol: lot.refusal for symbol, lot in found.items()} == {
        A: "not_trading",
        B: "not_trading",
        C: "not_listed",
    }


@needs_shared
@pytest.mark.parametrize("policy", ["margin", "perpetual", "drop"])
def test_recorded_bars_and_the_recorded_filters_give_a_list_that_reconciles(policy: str) -> None:
    info = pl.read_parquet(SHARED / "market" / "spot_symbols.parquet").with_columns(
        as_of=pl.lit(AT).cast(INFO["as_of"])
    )
    panel = recorded_panel()
    at = panel.dates[-1].item() + timedelta(days=1)
    quotes = market_quotes(panel, at, "USDT")
    # The thinnest and the most traded, long and short in turn; held before the other way round.
    fresh = quotes.drop_nulls().filter(pl.col("price_date") == at - timedelta(days=1))
    liquid = fresh.sort("median_quote_volume", "symbol")
    names = [*liquid["symbol"].head(40), *liquid["symbol"].tail(40)]
    wanted = {symbol: (-1) ** i * 0.0125 for i, symbol in enumerate(names)}
    held = {symbol: -0.7 * weight for symbol, weight in wanted.items()}
    terms = Terms(at, 3_000_000.0, "USDT", 0.0014, TradingRules(short_policy=policy))
    facts = Facts(wanted, held, quotes, info, terms)
    trades = model_trades(facts)
    assert reconciliation(trades, facts) == []
    steps = dict(info.select("symbol", "step_size").iter_rows())
    for symbol, size in trades.filter(pl.col("trade_quantity") != 0).select("symbol", "trade_quantity").iter_rows():
        assert size % Decimal(steps[symbol.partition(":")[2]]) == 0
    found = totals(trades, terms)
    assert found.clipped > 0
    assert found.trades > 60
    assert not info["is_margin"].any()  # as recorded: of a host without margin, which says nothing of others
    assert (found.policy_on_net > 0.4) == (policy == "drop")
    assert "no_margin_listed" not in found.untradable


@needs_shared
def test_of_recorded_symbols_those_that_the_exchange_lends_alone_are_sold_short_on_margin() -> None:
    info = pl.read_parquet(SHARED / "market" / "spot_symbols.parquet").with_columns(
        as_of=pl.lit(AT).cast(INFO["as_of"]), is_margin=pl.col("symbol").str.contains("^[A-M]")
    )
    panel = recorded_panel()
    at = panel.dates[-1].item() + timedelta(days=1)
    quotes = market_quotes(panel, at, "USDT")
    listed = (pl.lit("BINANCE:") + info.filter(pl.col("status") == "TRADING")["symbol"]).implode()
    fresh = quotes.drop_nulls().filter(pl.col("price_date") == at - timedelta(days=1), pl.col("symbol").is_in(listed))
    names = fresh.sort("median_quote_volume", "symbol")["symbol"].tail(40).to_list()
    facts = Facts(dict.fromkeys(names, -0.025), {}, quotes, info, Terms(at, 1e5, "USDT", 0.0014, TradingRules()))
    trades = model_trades(facts)
    assert reconciliation(trades, facts) == []
    refused = trades.filter(pl.col("reason") == "no_margin_listed")["symbol"].to_list()
    assert sorted(refused) == sorted(name for name in names if not "A" <= name.partition(":")[2][0] <= "M")
    assert 0 < len(refused) < len(names)
