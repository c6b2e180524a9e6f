"""The judge of trade lists: it passes what is right, and catches every planted defect."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

from sleevegraph.market_data.exchange_info import SCHEMA as INFO_SCHEMA
from sleevegraph.trading.model import Facts, model_trades
from sleevegraph.trading.quantities import QUANTITY
from sleevegraph.trading.reconciliation import reconciliation
from sleevegraph.trading.trade_list import Terms
from tests.trading import RATES, Book, books, quote_of, terms, under

A, B, C, D = (f"BINANCE:{base}USDT" for base in "ABCD")
HELD = {A: 0.05, B: 0.1, C: 0.02, D: 0.3}


def info(book: Book) -> pl.DataFrame:
    """The filters of a book as a snapshot of the exchange."""
    rows = [
        {
            "symbol": symbol.partition(":")[2],
            "status": "BREAK" if lot.refusal else "TRADING",
            "step_size": f"{Decimal(lot.step.numerator) / lot.step.denominator:f}",
            "min_qty": f"{Decimal(lot.min_quantity.numerator) / lot.min_quantity.denominator:f}",
            "min_notional": f"{Decimal(lot.min_notional.numerator) / lot.min_notional.denominator:f}",
            "is_margin": lot.margin,
        }
        for symbol, lot in book.lots.items()
    ]
    return pl.DataFrame(rows, schema=INFO_SCHEMA)


def facts(found: Terms | None = None, **weights: float) -> Facts:
    """A adds, B turns, C is below the minimum notional, D is clipped."""
    wanted = {A: 0.1, B: -0.1, C: 0.02001, D: 0.1, **weights}
    book = Book()
    for symbol, weight in wanted.items():
        book.add(symbol, weight, volume=100_000.0 if symbol == D else 1e8)
    return Facts(book.wanted, HELD, book.quotes(), info(book), found or terms())


def codes(trades: pl.DataFrame, made: Facts) -> set[tuple[str, str]]:
    return {(finding.code, finding.symbol) for finding in reconciliation(trades, made)}


def changed(symbol: str, *columns: pl.Expr, leg: int = 1) -> pl.DataFrame:
    """The sound list with columns of one row changed."""
    here = (pl.col("symbol") == symbol) & (pl.col("leg") == leg)
    new = [pl.when(here).then(column).otherwise(pl.col(column.meta.output_name())) for column in columns]
    sound = model_trades(facts())
    return sound.with_columns(column.cast(sound.schema[column.meta.output_name()]) for column in new)


def test_the_sound_list_has_a_trade_a_turn_an_untradable_and_a_clipped_one() -> None:
    sound = model_trades(facts())
    assert sound["status"].to_list() == ["trade", "trade", "trade", "untradable", "trade"]
    assert sound["reason"][3] == "below_min_notional"
    assert "participation_clipped" in sound["flags"][4]
    assert codes(sound, facts()) == set()


@settings(max_examples=60, deadline=None)
@given(books(), under())
def test_every_trade_list_that_is_made_reconciles(book: Book, found: Terms) -> None:
    held = {
        symbol: float(quantity) * book.prices[symbol] * float(RATES[quote_of(symbol)] or 1) / found.equity
        for symbol, quantity in book.held.items()
    }
    made = Facts(book.wanted, held, book.quotes(), info(book), found)
    assert reconciliation(model_trades(made), made) == []


def traded(by: str) -> list[pl.Expr]:
    """Another trade, with everything that follows from it in its row."""
    size = pl.lit(Decimal(by), QUANTITY)
    return [
        size.alias("trade_quantity"),
        (pl.col("holding_quantity") + size).alias("resulting_quantity"),
        pl.lit(abs(float(by)) * 10.0).alias("notional"),
        pl.lit(abs(float(by)) * 10.0 * 0.0014).alias("cost"),
    ]


@pytest.mark.parametrize(
    ("symbol", "columns", "code"),
    [
        (A, traded("499.9"), "NOT_RECONCILED"),
        (A, traded("500.1"), "BEYOND_TARGET"),
        (A, traded("500.0005"), "OFF_STEP"),
        (A, traded("-0.4"), "BELOW_MIN_NOTIONAL"),
        (D, traded("-600"), "ABOVE_CAP"),
        (A, [pl.lit(500.0).alias("notional")], "NOTIONAL"),
        (A, [pl.lit(0.0).alias("cost")], "COST"),
        (A, [pl.lit(0.2).alias("target_weight")], "TARGET_CHANGED"),
        (A, [(pl.col("holding_quantity") * 2).alias("holding_quantity")], "HOLDING"),
        (A, [(pl.col("resulting_quantity") * 2).alias("resulting_quantity")], "LEGS"),
        (A, [(pl.col("permitted_quantity") * 2).alias("permitted_quantity")], "PERMITTED"),
        (A, [*traded("0"), pl.lit("untradable").alias("status"), pl.lit("no_volume").alias("reason")], "NO_EXCUSE"),
        (A, [*traded("400"), pl.lit(["participation_clipped"]).alias("flags")], "NO_EXCUSE"),
        (C, [pl.lit("not_listed").alias("reason")], "NO_EXCUSE"),
        (C, [pl.lit("no_conversion").alias("reason")], "NO_EXCUSE"),
        (C, [pl.lit("no_margin_listed").alias("reason")], "NO_EXCUSE"),
        (C, [pl.lit("below_one_step").alias("reason")], "NO_EXCUSE"),
        (A, [pl.lit(34.07).alias("rate")], "CONVERSION"),
        (A, [pl.lit("TRY").alias("currency")], "CONVERSION"),
    ],
)
def test_a_planted_defect_is_found(symbol: str, columns: list[pl.Expr], code: str) -> None:
    assert (code, symbol) in codes(changed(symbol, *columns), facts())


def test_a_lost_symbol_and_a_lost_leg_are_found() -> None:
    sound = model_trades(facts())
    assert codes(sound.filter(pl.col("symbol") != A), facts()) == {("SYMBOL_MISSING", A)}
    assert ("NOT_RECONCILED", B) in codes(sound.filter((pl.col("symbol") != B) | (pl.col("leg") == 1)), facts())


@pytest.mark.parametrize(
    "change", [{"status": "BREAK"}, {"step_size": "0.3"}, {"min_notional": "9999"}, {"min_qty": "9999"}]
)
def test_a_list_that_was_made_for_other_filters_is_found(change: dict[str, Any]) -> None:
    made, ticker = facts(), pl.col("symbol") == "AUSDT"
    assert made.info is not None
    new = made.info.with_columns(
        pl.when(ticker).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in change.items()
    )
    found = {
        "status": "NOT_TRADABLE",
        "step_size": "OFF_STEP",
        "min_notional": "BELOW_MIN_NOTIONAL",
        "min_qty": "BELOW_MIN_QUANTITY",
    }
    (name,) = change
    assert (found[name], A) in codes(model_trades(made), Facts(made.wanted, made.held, made.quotes, new, made.terms))


@pytest.mark.parametrize("other", [terms(reduce_only=True), terms(short_policy="drop")])
def test_a_list_that_was_made_under_other_terms_is_found(other: Terms) -> None:
    assert ("BEYOND_TARGET", B) in codes(model_trades(facts()), facts(other))


IN_TRY, IN_BTC, IN_USDC = "BINANCE:ETRY", "BINANCE:FBTC", "BINANCE:GUSDC"


def several(**lot: Any) -> Facts:
    """Each in its own quote; USDC has no pair."""
    book = (
        Book()
        .add(A, -0.1, **lot)
        .add(IN_TRY, 0.1, margin=True)
        .add(IN_BTC, 0.1, price=0.001, least="0.00001")
        .add(IN_USDC, 0.1)
    )
    return Facts(book.wanted, {IN_TRY: 0.05, IN_USDC: 0.02, A: -0.05}, book.quotes(), info(book), terms())


def test_a_list_in_several_quotes_reconciles_and_one_without_conversion_does_not() -> None:
    made = several()
    sound = model_trades(made)
    assert codes(sound, made) == set()
    assert dict(sound.select("symbol", "reason").iter_rows())[IN_USDC] == "no_conversion"
    one_to_one = made.quotes.with_columns(rate=pl.lit(1.0))
    wrong = model_trades(Facts(made.wanted, made.held, one_to_one, made.info, made.terms))
    assert codes(wrong, made) == {("CONVERSION", symbol) for symbol in (IN_TRY, IN_BTC, IN_USDC)}
    # The rates as they should be, beside quantities that were made without them.
    relabelled = wrong.drop("rate").join(sound.select("symbol", "rate").unique(), on="symbol")
    found = codes(relabelled.select(sound.columns), made)
    assert {("PERMITTED", IN_TRY), ("HOLDING", IN_TRY), ("PERMITTED", IN_BTC), ("NOT_TRADABLE", IN_USDC)} <= found


def test_a_list_that_names_no_currency_is_found() -> None:
    made = several()
    assert {code for code, _ in codes(model_trades(made).drop("quote", "rate", "currency"), made)} == {"CONVERSION"}


def test_a_holding_whose_quote_has_no_rate_must_have_a_row() -> None:
    made = several()
    sold = Facts({**made.wanted, IN_USDC: 0.0}, made.held, made.quotes, made.info, made.terms)
    unwanted = Facts({s: w for s, w in sold.wanted.items() if w}, *(sold.held, sold.quotes, sold.info, sold.terms))
    rows = model_trades(unwanted)
    assert codes(rows, unwanted) == set()
    assert codes(rows.filter(pl.col("symbol") != IN_USDC), unwanted) == {("SYMBOL_MISSING", IN_USDC)}


def test_a_short_that_nobody_lends_is_neither_held_nor_opened_and_one_that_is_opened_is_found() -> None:
    made, lent = several(margin=False), several(margin=True)
    sound = model_trades(made)
    row = sound.filter(pl.col("symbol") == A).row(0, named=True)
    assert (row["holding_quantity"], row["trade_quantity"], row["reason"]) == (0, 0, "no_margin_listed")
    assert codes(sound, made) == set()
    assert ("NOT_BORROWABLE", A) in codes(model_trades(lent), made)
    assert ("NO_EXCUSE", A) in codes(sound, lent)


def test_a_position_that_is_not_opened_and_not_said_so_is_found() -> None:
    book = Book().add(A, 0.1, price=630_000.0, step="1")
    made = Facts(book.wanted, {}, book.quotes(), info(book), terms())
    sound = model_trades(made)
    assert (sound["reason"].to_list(), codes(sound, made)) == (["below_one_step"], set())
    assert codes(sound.with_columns(status=pl.lit("keep")), made) == {("NOT_SAID", A)}
