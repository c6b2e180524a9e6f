"""The trade list of one book: what is bought and sold of every symbol that is held or wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Final

import polars as pl

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import TradingRules
from sleevegraph.trading.lots import Lot
from sleevegraph.trading.orders import Leg, Plan, Wish, plan
from sleevegraph.trading.quantities import QUANTITY, exact, stored

SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "leg": pl.Int8(),
        "route": pl.String(),
        "side": pl.String(),
        "status": pl.String(),
        "reason": pl.String(),
        "holding_quantity": QUANTITY,
        "target_weight": pl.Float64(),
        "target_quantity": QUANTITY,
        "permitted_quantity": QUANTITY,
        "trade_quantity": QUANTITY,
        "resulting_quantity": QUANTITY,
        "quote": pl.String(),
        "price": pl.Float64(),
        "rate": pl.Float64(),
        "currency": pl.String(),
        "notional": pl.Float64(),
        "cost": pl.Float64(),
        "median_quote_volume": pl.Float64(),
        "participation_wanted": pl.Float64(),
        "participation": pl.Float64(),
        "step": QUANTITY,
        "min_notional": QUANTITY,
        "flags": pl.List(pl.String()),
    }
)
"""Quantities are signed and in base units. Price, notional, least notional and volume are in the `quote`, as the exchange
has them; `cost` is in the equity's `currency`, of which one unit of the quote is worth `rate`.

A position that changes its sign has two rows: leg 1 closes it, leg 2 opens the other side from what leg 1 left, on the
other route: what leg 1 could not close stays, and both together lead to the target. `status` is `trade`, `keep` (nothing
to do, or a remainder below one step) or `untradable` with the `reason`. `permitted_quantity` is what
the short policy and reduce-only leave of the target. `participation` is of the whole symbol, both legs together: the
notional wanted, and the one traded, over the median daily quote volume of 30 days.
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a trade list is made under."""

    at: date
    equity: float
    """Every weight is a share of it."""
    currency: str
    """Of the equity."""
    cost: float
    """Per unit of turnover."""
    rules: TradingRules
    reduce_only: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigurationError unless equity is a positive amount."""
        if not (isfinite(self.equity) and self.equity > 0):
            raise ConfigurationError(f"equity: expected a positive, finite amount, found {self.equity!r}")


def trade_list(
    wanted: Mapping[str, float],
    holdings: Mapping[str, Decimal],
    quotes: pl.DataFrame,
    filters: Mapping[str, Lot],
    terms: Terms,
) -> pl.DataFrame:
    """Trades from holdings to target weights.

    Parameters
    ----------
    wanted
        Signed net weights of equity by symbol, without cash.
    holdings
        Signed quantities by symbol.
    quotes
        `quotes.QUOTES` of the rebalance.
    filters
        Of every symbol held or wanted.
    terms
        Equity, costs and the manifest's rules.

    Returns
    -------
    pl.DataFrame
        `SCHEMA`, sorted by symbol and leg; every symbol held or wanted has a row.

    Raises
    ------
    ConfigurationError
        A weight or quantity that is not finite, or a quantity beyond what `QUANTITY` holds.
    """
    wrong = [symbol for symbol, weight in wanted.items() if not isfinite(weight)]
    wrong += [symbol for symbol, quantity in holdings.items() if not quantity.is_finite()]
    if wrong:
        raise ConfigurationError(f"trade list: {min(wrong)}: expected finite weights and quantities, found another")
    market = {row["symbol"]: row for row in quotes.iter_rows(named=True)}
    rows = []
    for symbol in sorted({*wanted, *holdings}):
        seen = market.get(symbol, {})
        wish = _wish(symbol, wanted, holdings, seen, filters[symbol], terms)
        found = plan(wish, terms.rules, reduce_only=terms.reduce_only)
        rows += _rows(symbol, wanted.get(symbol, 0.0), wish, found, seen, terms)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _wish(
    symbol: str,
    wanted: Mapping[str, float],
    holdings: Mapping[str, Decimal],
    seen: Mapping[str, Any],
    lot: Lot,
    terms: Terms,
) -> Wish:
    """What is asked of a symbol; an old price values it, but nobody may trade at it."""
    weight, volume = wanted.get(symbol, 0.0), seen.get("median_quote_volume")
    price, rate = seen.get("price"), seen.get("rate")
    traded = seen.get("price_date") == terms.at - timedelta(days=1)
    target = None if price is None or rate is None else units_of(weight, price, rate, terms)
    return Wish(
        held=Fraction(holdings.get(symbol, Decimal(0))),
        target=Fraction(0) if weight == 0 else target,
        price=exact(price) if price is not None and traded else None,
        volume=None if volume is None else exact(volume),
        lot=lot,
        converts=not seen or rate is not None,
    )


def units_of(weight: float, price: float, rate: float, terms: Terms) -> Fraction:
    """Quantity that a weight of the equity comes to, at a price in a quote that is worth `rate`."""
    return exact(weight) * exact(terms.equity) / (exact(price) * exact(rate))


def _rows(
    symbol: str, weight: float, wish: Wish, found: Plan, seen: Mapping[str, Any], terms: Terms
) -> list[tuple[object, ...]]:
    volume = wish.volume or None
    made = sum((abs(leg.quantity) for leg in found.legs), Fraction(0))
    asked = None if wish.target is None else abs((found.permitted or Fraction(0)) - wish.held)
    shares = [_share(size, wish.price, volume) for size in (asked, made)]
    rate = seen.get("rate")
    money = (seen.get("quote"), seen.get("price"), rate, terms.currency)

    def row(number: int, leg: Leg) -> tuple[object, ...]:
        notional = float(abs(leg.quantity) * (wish.price or 0))
        quantities = (leg.held, wish.target, found.permitted, leg.quantity, leg.held + leg.quantity)
        held, target, permitted, quantity, after = (None if q is None else stored(q) for q in quantities)
        side = "buy" if leg.quantity > 0 else "sell" if leg.quantity < 0 else None
        cost = notional * (rate or 0.0) * terms.cost
        traded = (held, weight, target, permitted, quantity, after, *money, notional, cost)
        filters = (stored(wish.lot.step), stored(wish.lot.min_notional), list(leg.flags))
        median = None if wish.volume is None else float(wish.volume)
        return (symbol, number, leg.route, side, leg.status, leg.reason, *traded, median, *shares, *filters)

    return [row(number, leg) for number, leg in enumerate(found.legs, start=1)]


def _share(size: Fraction | None, price: Fraction | None, volume: Fraction | None) -> float | None:
    return None if size is None or price is None or volume is None else float(size * price / volume)
