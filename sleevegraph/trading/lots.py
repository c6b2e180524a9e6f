"""What the exchange accepts of a symbol: steps, limits, and whether it trades at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from sleevegraph.manifest import TradingRules
from sleevegraph.trading.quantities import exact

NOT_LISTED, NOT_TRADING = "not_listed", "not_trading"


@dataclass(frozen=True, slots=True)
class Lot:
    """Filters of one symbol."""

    step: Fraction
    min_quantity: Fraction
    max_quantity: Fraction | None
    """Of one order."""
    min_notional: Fraction
    """In the quote."""
    refusal: str = ""
    """Why the exchange takes no order: `not_listed`, `not_trading`, or empty."""
    assumed: bool = False
    """Whether the step or the least notional is the manifest's, not the exchange's."""
    margin: bool | None = None
    """Whether it may be borrowed; None where the exchange does not say."""


def lots(
    info: pl.DataFrame | None, symbols: Iterable[str], rules: TradingRules, quotes: pl.DataFrame
) -> dict[str, Lot]:
    """Filters by symbol.

    Parameters
    ----------
    info
        A snapshot in `market_data.exchange_info.SCHEMA`, whose symbols are tickers without the exchange's name; None
        where there is none, and everything is assumed.
    symbols
        `EXCHANGE:TICKER`.
    rules
        What is assumed.
    quotes
        `quotes.QUOTES`, whose rates turn the manifest's least notional into one of each symbol's quote.

    Notes
    -----
    Binance's LOT_SIZE and NOTIONAL (or MIN_NOTIONAL). A step of zero says that there is none, and is not known. A
    perpetual has filters of its own, which are not known either: those of the spot symbol stand in for them. A snapshot in
    which nothing may be borrowed is that of a host or account without margin, and says nothing of one that has it.
    """
    rates = dict(quotes.select("symbol", "rate").drop_nulls().iter_rows())
    assumed = {symbol: _assumed(rules, rates.get(symbol, 1.0)) for symbol in symbols}
    if info is None:
        return assumed
    rows = {row["symbol"]: row for row in info.iter_rows(named=True)}
    lends = bool(info["is_margin"].any())
    return {symbol: _lot(rows.get(symbol.partition(":")[2]), lot, lends=lends) for symbol, lot in assumed.items()}


def _assumed(rules: TradingRules, rate: float) -> Lot:
    return Lot(exact(rules.quantity_step), Fraction(0), None, exact(rules.min_notional) / exact(rate), assumed=True)


def _lot(row: Mapping[str, object] | None, assumed: Lot, *, lends: bool) -> Lot:
    if row is None:
        return Lot(assumed.step, Fraction(0), None, assumed.min_notional, NOT_LISTED, assumed=True)
    step, least, most, notional = (
        None if row[name] is None else Fraction(str(row[name]))
        for name in ("step_size", "min_qty", "max_qty", "min_notional")
    )
    trades = row["status"] == "TRADING" and row["is_spot"] is not False
    margin = row["is_margin"]
    return Lot(
        step=step or assumed.step,
        min_quantity=least or Fraction(0),
        max_quantity=most or None,
        min_notional=assumed.min_notional if notional is None else notional,
        refusal="" if trades else NOT_TRADING,
        assumed=not step or notional is None,
        margin=margin if isinstance(margin, bool) and lends else None,
    )
