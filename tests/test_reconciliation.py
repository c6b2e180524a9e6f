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
from tests.trading import Book, books, terms, under

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
            "min_notional": str(lot.min_notional),
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
    held = {symbol: float(quantity) * book.prices[symbol] / found.equity for symbol, quantity in book.held.items()}
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
