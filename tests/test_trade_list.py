"""Trade lists: what holds for every book, and each rule on one symbol."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import fsum, inf, nan
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

from sleevegraph.errors import ConfigurationError
from sleevegraph.trading.quantities import written
from sleevegraph.trading.totals import totals
from sleevegraph.trading.trade_list import SCHEMA, Terms
from tests.trading import COST, RATES, Book, books, listed, quote_of, terms, under

A = "BINANCE:AUSDT"
SOME = settings(max_examples=60, deadline=None)


def by_symbol(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault(row["symbol"], []).append(row)
    return found


def one(book: Book, found: Terms | None = None) -> dict[str, Any]:
    (row,) = listed(book, found).iter_rows(named=True)
    return row


def target_of(book: Book, symbol: str, found: Terms) -> Fraction:
    """What is aimed at, from the definition: weight x equity / price under the short policy and reduce-only."""
    value = Fraction(repr(book.prices[symbol])) * (RATES[quote_of(symbol)] or 1)
    quantity = Fraction(repr(book.wanted[symbol])) * Fraction(repr(found.equity)) / value
    quantity = max(quantity, Fraction(0)) if found.rules.short_policy == "drop" else quantity
    held = Fraction(book.held[symbol])
    if found.reduce_only and quantity * held <= 0:
        return Fraction(0)
    return (1 if held > 0 else -1) * min(abs(quantity), abs(held)) if found.reduce_only else quantity


@SOME
@given(books(), under())
def test_holdings_and_trades_make_the_target_to_one_step_or_say_why_not(book: Book, found: Terms) -> None:
    for symbol, rows in by_symbol(listed(book, found)).items():
        target, step = target_of(book, symbol, found), book.lots[symbol].step
        after = Fraction(book.held[symbol]) + sum(Fraction(row["trade_quantity"]) for row in rows)
        assert after == Fraction(rows[-1]["resulting_quantity"])
        if RATES[quote_of(symbol)] is None:
            assert [(row["reason"], row["trade_quantity"]) for row in rows] == [("no_conversion", 0)]
            continue
        stopped = any(row["status"] == "untradable" or "participation_clipped" in row["flags"] for row in rows)
        # The rate is a double, as it is stored.
        assert stopped or abs(after - target) < step + abs(target) * Fraction(1, 10**15)
        low, high = sorted([Fraction(book.held[symbol]), target])
        slack = step + abs(target) * Fraction(1, 10**15)
        assert low - slack < after < high + slack
        assert all(row["reason"] for row in rows if row["status"] == "untradable")


@SOME
@given(books(), under())
def test_every_trade_is_whole_steps_and_what_the_exchange_takes(book: Book, found: Terms) -> None:
    for row in listed(book, found).filter(pl.col("trade_quantity") != 0).iter_rows(named=True):
        lot, size = book.lots[row["symbol"]], abs(Fraction(row["trade_quantity"]))
        assert (size / lot.step).denominator == 1
        assert size * Fraction(repr(row["price"])) >= lot.min_notional
        assert size >= lot.min_quantity
        assert not lot.refusal


@SOME
@given(books(), under())
def test_no_symbol_trades_more_than_the_cap_on_participation(book: Book, found: Terms) -> None:
    frame = listed(book, found)
    for symbol, rows in by_symbol(frame).items():
        notional = fsum(row["notional"] for row in rows)
        assert notional <= found.rules.participation_cap * book.volumes[symbol] * (1 + 1e-12)
        shares = {row["participation"] for row in rows if row["participation"] is not None}
        assert all(share <= found.rules.participation_cap for share in shares)
        assert len(shares) <= 1


@SOME
@given(books(), under())
def test_costs_add_up_to_the_rate_times_turnover(book: Book, found: Terms) -> None:
    frame = listed(book, found)
    sums = totals(frame, found)
    traded = fsum(
        abs(float(row["trade_quantity"])) * row["price"] * float(RATES[quote_of(row["symbol"])] or 0)
        for row in frame.iter_rows(named=True)
        if row["trade_quantity"]
    )
    assert sums.cost == pytest.approx(COST * traded, rel=1e-12)
    assert sums.turnover * found.equity == pytest.approx(traded, rel=1e-12)
    assert sums.bought + sums.sold == pytest.approx(traded, rel=1e-12)


@SOME
@given(books(), under())
def test_exposures_and_new_shorts_are_those_of_the_net_positions_in_one_currency(book: Book, found: Terms) -> None:
    frame, worth = listed(book, found), {symbol: RATES[quote_of(symbol)] or Fraction(0) for symbol in book.held}
    values = {s: Fraction(repr(book.prices[s])) * worth[s] / Fraction(repr(found.equity)) for s in book.held}
    after = {s: Fraction(rows[-1]["resulting_quantity"]) for s, rows in by_symbol(frame).items()}
    sums = totals(frame, found)
    for held, exposure in ((book.held, sums.before), (after, sums.after)):
        shares = [float(Fraction(held[s]) * values[s]) for s in values]
        assert (exposure.net, exposure.gross) == pytest.approx(
            (fsum(shares), fsum(map(abs, shares))), abs=1e-9, rel=1e-9
        )
    new = sum(max(max(-after[s], 0) - max(-Fraction(book.held[s]), 0), 0) * values[s] for s in values)
    assert sums.sold_short == pytest.approx(float(new * Fraction(found.equity)), rel=1e-9, abs=1e-9)
    assert sums.sold_short <= sums.sold * (1 + 1e-12)
    unlent = [s for s, lot in book.lots.items() if lot.margin is False and found.rules.short_policy == "margin"]
    assert all(after[s] >= min(Fraction(book.held[s]), 0) for s in unlent)


@SOME
@given(books(), under())
def test_reduce_only_adds_to_nothing_and_turns_nothing(book: Book, found: Terms) -> None:
    frame = listed(book, replace(found, reduce_only=True))
    for symbol, rows in by_symbol(frame).items():
        held, after = Fraction(book.held[symbol]), Fraction(rows[-1]["resulting_quantity"])
        assert len(rows) == 1
        assert abs(after) <= abs(held)
        assert after * held >= 0


@SOME
@given(books(), under())
def test_without_targets_everything_that_trades_is_closed(book: Book, found: Terms) -> None:
    book.wanted = dict.fromkeys(book.wanted, 0.0)
    for symbol, (row,) in by_symbol(listed(book, found)).items():
        if row["status"] != "untradable" and "participation_clipped" not in row["flags"]:
            assert row["reason"] in {"", "below_one_step"}
            assert abs(Fraction(row["resulting_quantity"])) < book.lots[symbol].step


@SOME
@given(books(), under())
def test_what_is_held_already_is_not_traded(book: Book, found: Terms) -> None:
    first = by_symbol(listed(book, terms(found.equity)))
    book.held = {symbol: rows[-1]["resulting_quantity"] for symbol, rows in first.items()}
    for symbol, rows in by_symbol(listed(book, terms(found.equity))).items():
        stopped = [row for row in [*rows, *first[symbol]] if row["status"] == "untradable" or row["flags"]]
        assert stopped or not any(row["trade_quantity"] for row in rows)


@SOME
@given(books())
def test_dropped_shorts_leave_a_book_that_is_long_or_flat_where_it_was(book: Book) -> None:
    book.held = {symbol: abs(quantity) for symbol, quantity in book.held.items()}
    frame = listed(book, terms(short_policy="drop"))
    assert set(frame["route"]) <= {"spot"}
    assert all(quantity >= 0 for quantity in frame["resulting_quantity"])
    net = fsum(weight for weight in book.wanted.values() if weight > 0) - fsum(book.wanted.values())
    assert totals(frame, terms(short_policy="drop")).policy_on_net == pytest.approx(net, abs=1e-12)


@SOME
@given(books(), under())
def test_the_order_of_the_symbols_changes_no_bit(book: Book, found: Terms) -> None:
    frame = listed(book, found)
    names = list(book.wanted)[::-1]
    turned = Book(
        *({s: part[s] for s in names} for part in (book.wanted, book.held, book.prices, book.volumes, book.lots))
    )
    assert listed(turned, found).equals(frame)
    assert totals(listed(turned, found), found) == totals(frame, found)


def test_steps_are_exact_decimals() -> None:
    book = Book().add("BINANCE:BUSDT", 0.3, price=0.1, step="0.1").add("BINANCE:CUSDT", 0.1, price=3.0, step="1E-8")
    frame = listed(book, terms(10.0, min_notional=0.0))
    assert frame.schema == SCHEMA
    assert [written(quantity) for quantity in frame["trade_quantity"]] == ["0", "0"]  # below 5 of notional
    book = Book().add("BINANCE:BUSDT", 0.3, price=0.1, step="0.1").add("BINANCE:CUSDT", 0.1, price=3.0, step="1E-8")
    assert [written(quantity) for quantity in listed(book, terms(70.0))["trade_quantity"]] == ["210", "2.33333333"]


def test_a_position_below_one_step_cannot_be_opened_and_is_counted() -> None:
    assert one(Book().add(A, 0.00000006, step="0.001"))["status"] == "untradable"  # 0.0006 of nothing
    frame = listed(Book().add(A, 0.1, price=630_000.0, step="1"))  # 10,000 do not buy one
    (row,) = frame.rows(named=True)
    assert (row["status"], row["reason"], row["trade_quantity"]) == ("untradable", "below_one_step", 0)
    assert totals(frame, terms()).untradable == {"below_one_step": 1}
    closed, other = listed(Book().add(A, -0.00000003, "500.0004", step="0.001")).rows(named=True)
    assert (closed["status"], closed["trade_quantity"]) == ("trade", -500)
    assert (other["status"], other["reason"]) == ("untradable", "below_one_step")


def test_what_adds_is_rounded_down_and_what_reduces_is_rounded_up() -> None:
    assert one(Book().add(A, 0.00123456, step="0.1"))["resulting_quantity"] == Decimal("12.3")  # wanted 12.3456
    assert one(Book().add(A, 0.00123456, "20", step="0.1"))["resulting_quantity"] == Decimal("12.3")
    assert one(Book().add(A, -0.00123456, "-20", step="0.1"))["resulting_quantity"] == Decimal("-12.3")


def test_dust_stays_and_is_called_so() -> None:
    row = one(Book().add(A, 0.0, "3.1234567"))
    assert (row["trade_quantity"], row["resulting_quantity"]) == (Decimal("-3.123"), Decimal("0.0004567"))
    assert row["flags"] == ["dust"]
    row = one(Book().add(A, 0.0, "0.0004567"))
    assert (row["status"], row["reason"], row["flags"]) == ("keep", "below_one_step", ["dust"])
    row = one(Book().add(A, 0.00000006, "0.0004567"))  # 0.0006 wanted: no remainder of something closed
    assert (row["status"], row["reason"], row["flags"]) == ("keep", "below_one_step", [])


def test_a_position_below_the_minimum_notional_can_neither_be_opened_nor_closed() -> None:
    for book in (Book().add(A, 0.00004), Book().add(A, 0.0, "0.4")):
        row = one(book)
        assert (row["status"], row["reason"], row["trade_quantity"]) == ("untradable", "below_min_notional", 0)
    assert one(Book().add(A, 0.0, "0.5"))["status"] == "trade"  # exactly 5 is enough


def test_a_trade_above_the_warning_is_named_and_above_the_cap_clipped() -> None:
    flags = [one(Book().add(A, weight, volume=1e6))["flags"] for weight in (0.1, 0.11, 0.5, 0.6)]
    assert flags[:3] == [[], ["participation_warning"], ["participation_warning"]]
    assert flags[3] == ["participation_warning", "participation_clipped"]
    row = one(Book().add(A, 0.6, volume=1e6))
    assert (row["participation_wanted"], row["participation"]) == (0.06, 0.05)
    assert (row["trade_quantity"], row["status"]) == (5_000, "trade")


def test_clipping_comes_first_then_rounding_then_the_minimum_notional() -> None:
    row = one(Book().add(A, 0.5, volume=199.0, step="0.3"))  # the cap is 9.95: 0.995 units, 0.9 in steps, notional 9
    assert row["trade_quantity"] == Decimal("0.9")
    row = one(Book().add(A, 0.5, volume=199.0, step="0.3", least="9.5"))
    assert (row["status"], row["reason"]) == ("untradable", "below_min_notional")
    assert "participation_clipped" in row["flags"]
    row = one(Book().add(A, 0.5, volume=199.0, step="1"))
    assert (row["status"], row["reason"]) == ("untradable", "participation_clipped")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"volume": 0.0}, "no_volume"),
        ({"refusal": "not_trading"}, "not_trading"),
        ({"refusal": "not_listed"}, "not_listed"),
        ({"min_quantity": Fraction(2000)}, "below_min_quantity"),
    ],
)
def test_what_cannot_be_traded_says_why_and_keeps_its_holding(change: dict[str, Any], reason: str) -> None:
    row = one(Book().add(A, 0.1, "2", **change))
    assert (row["status"], row["reason"], row["resulting_quantity"]) == ("untradable", reason, 2)


def test_a_price_that_is_not_of_the_day_before_values_but_does_not_trade() -> None:
    book = Book(stale=frozenset({A})).add(A, 0.1, "2000")
    row = one(book)
    assert (row["reason"], row["price"], row["trade_quantity"]) == ("no_price", 10.0, 0)
    assert totals(listed(book), terms()).before.net == 0.2


def test_a_symbol_without_any_bar_is_untradable_and_its_holding_is_counted_as_unpriced() -> None:
    book = Book().add(A, 0.1, "2")
    book.prices, book.volumes = {}, {}
    row = one(book)
    assert (row["reason"], row["target_quantity"], row["price"], row["participation"]) == ("no_price", None, None, None)
    sums = totals(listed(book), terms())
    assert (sums.unpriced, sums.before.gross, sums.wanted.net) == (1, 0.0, 0.1)


@pytest.mark.parametrize(("policy", "route"), [("margin", "margin"), ("perpetual", "perpetual")])
def test_a_trade_through_zero_sells_what_is_held_and_then_sells_short(policy: str, route: str) -> None:
    first, second = listed(Book().add(A, -0.1, "500.0004"), terms(short_policy=policy)).iter_rows(named=True)
    assert (first["leg"], first["route"], first["trade_quantity"]) == (1, "spot", -500)
    assert (second["leg"], second["route"], second["side"]) == (2, route, "sell")
    assert second["holding_quantity"] == first["resulting_quantity"] == Decimal("0.0004")
    assert second["resulting_quantity"] == Decimal("-999.9996")  # the dust beside a short of whole steps
    assert ("rules_assumed" in second["flags"]) == (policy == "perpetual")
    assert "rules_assumed" not in first["flags"]


def test_a_trade_up_through_zero_buys_back_and_then_buys() -> None:
    rows = listed(Book().add(A, 0.1, "-500")).iter_rows(named=True)
    assert [(row["route"], row["side"], row["trade_quantity"]) for row in rows] == [
        ("margin", "buy", 500),
        ("spot", "buy", 1000),
    ]


def test_both_legs_share_one_cap() -> None:
    rows = listed(Book().add(A, -0.1, "500", volume=140_000.0)).rows(named=True)  # 7,000 of 15,000: 700 of 1,500 units
    assert [row["trade_quantity"] for row in rows] == [-500, -200]
    assert [row["participation"] for row in rows] == [0.05, 0.05]
    assert ["participation_clipped" in row["flags"] for row in rows] == [False, True]


def test_a_dropped_short_sells_the_long_and_moves_the_net_exposure() -> None:
    book = Book().add(A, -0.1, "500").add("BINANCE:BUSDT", 0.1).add("BINANCE:CUSDT", -0.05)
    found = terms(short_policy="drop")
    rows = by_symbol(listed(book, found))
    assert rows[A][0]["trade_quantity"] == -500
    assert "short_dropped" in rows[A][0]["flags"]
    assert (rows["BINANCE:CUSDT"][0]["status"], rows["BINANCE:CUSDT"][0]["reason"]) == ("untradable", "short_dropped")
    sums = totals(listed(book, found), found)
    assert (sums.wanted.net, sums.permitted.net, sums.after.net) == pytest.approx((-0.05, 0.1, 0.1))
    assert (sums.policy_on_net, sums.shorts_dropped) == (pytest.approx(0.15), 2)


@pytest.mark.parametrize(
    ("policy", "route", "after", "on_net"),
    [
        ("margin", "margin", (1.1, 0.5), 0.0),
        ("perpetual", "perpetual", (1.1, 0.5), 0.0),
        ("drop", None, (0.8, 0.8), 0.3),
    ],
)
def test_the_short_policy_on_a_book_computed_by_hand(
    policy: str, route: str | None, after: tuple[float, float], on_net: float
) -> None:
    """Equity 10,000: long 60 % at 20 and 20 % at 4, short 30 % at 5, of which 100 are held long."""
    book = Book().add(A, 0.6, price=20.0).add("BINANCE:BUSDT", -0.3, "100", price=5.0)
    book.add("BINANCE:CUSDT", 0.2, "500", price=4.0)
    found = terms(10_000.0, short_policy=policy)
    frame = listed(book, found)
    made = [(row["symbol"][8], row["route"], int(row["trade_quantity"])) for row in frame.iter_rows(named=True)]
    sold = [("B", "spot", -100), *([("B", route, -600)] if route else [])]
    assert made == [("A", "spot", 300), *sold, ("C", "spot", 0)]
    sums = totals(frame, found)
    assert (sums.before.gross, sums.before.net) == pytest.approx((0.25, 0.25))
    assert (sums.wanted.gross, sums.wanted.net) == pytest.approx((1.1, 0.5))
    assert (sums.permitted.gross, sums.permitted.net) == pytest.approx(after)
    assert (sums.after.gross, sums.after.net) == pytest.approx(after)
    assert sums.policy_on_net == pytest.approx(on_net)
    assert sums.sold_short == (3_000.0 if route else 0.0)


@pytest.mark.parametrize("policy", ["margin", "perpetual"])
def test_what_could_not_be_closed_stays_beside_a_short_that_is_larger_by_it(policy: str) -> None:
    frame = listed(
        Book().add(A, -0.1, "0.3"), terms(short_policy=policy)
    )  # 0.3 at 10 are below the least notional of 5
    first, second = frame.rows(named=True)
    assert (first["status"], first["reason"], first["resulting_quantity"]) == (
        "untradable",
        "below_min_notional",
        Decimal("0.3"),
    )
    assert (second["route"], second["trade_quantity"], second["resulting_quantity"]) == (
        policy,
        Decimal("-1000.3"),
        -1000,
    )
    sums = totals(frame, terms(short_policy=policy))
    assert (sums.sold, sums.sold_short) == (10_003.0, 10_000.0)
    assert (sums.after.net, sums.after.gross) == (-0.1, 0.1)


def test_reduce_only_names_what_it_kept_from_its_target() -> None:
    row = one(Book().add(A, 0.1, "500"), terms(reduce_only=True))
    assert (row["status"], row["reason"], row["permitted_quantity"]) == ("untradable", "reduce_only", 500)
    row = one(Book().add(A, -0.1, "500"), terms(reduce_only=True))
    assert (row["trade_quantity"], row["flags"]) == (-500, ["reduce_only"])
    assert one(Book().add(A, 0.02, "500"), terms(reduce_only=True))["trade_quantity"] == -300


def test_an_order_above_the_maximum_is_one_row_and_flagged() -> None:
    row = one(Book().add(A, -0.1, max_quantity=Fraction(900)))
    assert (row["status"], row["trade_quantity"], row["flags"]) == ("trade", -1000, ["above_max_quantity"])


@pytest.mark.parametrize(
    ("held", "weight", "trades", "after"),
    [
        ("0", -0.1, [("untradable", 0)], 0),
        ("-500", -0.1, [("untradable", 0)], -500),
        ("500", -0.1, [("trade", -500), ("untradable", 0)], 0),
        ("-500", -0.02, [("trade", 300)], -200),
        ("-500", 0.0, [("trade", 500)], 0),
        ("-500", 0.1, [("trade", 500), ("trade", 1000)], 1000),
    ],
)
def test_a_short_that_nobody_lends_is_closed_and_reduced_but_never_opened_or_added_to(
    held: str, weight: float, trades: list[tuple[str, int]], after: int
) -> None:
    frame = listed(Book().add(A, weight, held, margin=False))
    assert frame.select("status", "trade_quantity").rows() == trades
    assert frame["resulting_quantity"][-1] == after
    refused = frame.filter(pl.col("status") == "untradable")
    assert set(refused["reason"]) <= {"no_margin_listed"}
    sums, opened = totals(frame, terms()), after if refused.height else weight * 10_000
    assert (sums.wanted.net, sums.permitted.net) == pytest.approx((weight, opened / 10_000))
    assert (sums.after.net, sums.policy_on_net) == pytest.approx((after / 10_000, opened / 10_000 - weight))
    for other in (None, True):
        assert set(listed(Book().add(A, weight, held, margin=other))["status"]) == {"trade"}
    assert set(listed(Book().add(A, weight, held, margin=False), terms(short_policy="perpetual"))["status"]) == {
        "trade"
    }


def test_equity_in_one_currency_buys_in_several_computed_by_hand() -> None:
    """10,000 USDT: a tenth each in USDT at 10, in TRY at 340.7 (34.07 TRY a USDT), in BTC at 0.001 (63,250.17 USDT)."""
    in_try, in_btc, in_usdc = "BINANCE:BTRY", "BINANCE:CBTC", "BINANCE:DUSDC"
    book = Book().add(A, 0.1).add(in_try, 0.1, price=340.7).add(in_btc, -0.1, price=0.001, least="0.0001")
    book.add(in_usdc, 0.1, "7", price=1.0)
    frame = listed(book, terms(10_000.0))
    made = {row["symbol"]: row for row in frame.iter_rows(named=True)}
    assert [made[s]["trade_quantity"] for s in (A, in_try, in_usdc)] == [100, 100, 0]
    assert made[in_btc]["trade_quantity"] == Decimal("-15810.227") + Decimal("15794.417")  # 1,000 / 63.25017 = 15.8102
    assert [made[s]["quote"] for s in (A, in_try, in_btc, in_usdc)] == ["USDT", "TRY", "BTC", "USDC"]
    assert [made[s]["rate"] for s in (A, in_try, in_btc, in_usdc)] == [1.0, 1 / 34.07, 63_250.17, None]
    assert set(frame["currency"]) == {"USDT"}
    assert made[in_try]["notional"] == pytest.approx(34_070.0)
    assert made[in_try]["cost"] == pytest.approx(1.4)
    assert made[in_btc]["cost"] == pytest.approx(0.0014 * 15.81 * 63.25017)
    assert (made[in_usdc]["status"], made[in_usdc]["reason"]) == ("untradable", "no_conversion")
    assert made[in_usdc]["resulting_quantity"] == 7
    sums = totals(frame, terms(10_000.0))
    assert (sums.bought, sums.sold, sums.sold_short) == pytest.approx((2000.0, 999.985188, 999.985188), rel=1e-6)
    assert (sums.turnover, sums.cost) == pytest.approx((0.2999985, 4.19998), rel=1e-6)
    assert (sums.after.gross, sums.after.net) == pytest.approx((0.2999985, 0.1000015), rel=1e-6)
    assert sums.wanted.net == pytest.approx(0.2)


def test_an_old_pair_converts_nothing() -> None:
    book = Book(stale=frozenset({"BINANCE:USDTTRY"})).add("BINANCE:BTRY", 0.1, price=340.7)
    assert (one(book)["reason"], one(book)["rate"]) == ("no_conversion", None)


def test_the_currency_may_be_another_than_the_quote_of_every_row() -> None:
    row = one(Book().add(A, 0.1), terms(340_700.0, currency="TRY"))
    assert (row["rate"], row["currency"], row["notional"]) == (34.07, "TRY", pytest.approx(1000.0, abs=0.01))
    assert row["cost"] == pytest.approx(0.0014 * 34_070.0, rel=1e-5)


@pytest.mark.parametrize("equity", [0.0, -1.0, nan, inf])
def test_an_equity_that_is_no_positive_amount_is_refused(equity: float) -> None:
    with pytest.raises(ConfigurationError, match="equity: expected a positive, finite amount, found"):
        terms(equity)


def test_numbers_that_are_not_finite_or_too_large_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=f"{A}: expected finite weights"):
        listed(Book().add(A, nan))
    with pytest.raises(ConfigurationError, match=f"{A}: expected finite weights"):
        listed(Book().add(A, 0.1, "NaN"))
    with pytest.raises(ConfigurationError, match="expected quantities below 1e20"):
        listed(Book().add(A, 0.1, price=1e-9), terms(1e15))
