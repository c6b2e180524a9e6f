"""A book that exists as weights alone, traded at the manifest's equity."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from sleevegraph.trading.lots import Lot, lots
from sleevegraph.trading.quantities import stored, whole_steps
from sleevegraph.trading.trade_list import Terms, trade_list, units_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What the trade list of a model book is made from, and judged against."""

    wanted: Mapping[str, float]
    """Signed net weights in force."""
    held: Mapping[str, float]
    """Those before, drifted to P."""
    quotes: pl.DataFrame
    """`quotes.QUOTES`."""
    info: pl.DataFrame | None
    """Filters of the exchange, as `lots` takes them."""
    terms: Terms


def model_trades(facts: Facts) -> pl.DataFrame:
    """`trade_list` of a book that holds what its earlier weights come to."""
    found = lots(facts.info, {*facts.wanted, *facts.held}, facts.terms.rules, facts.quotes)
    holdings = model_holdings(facts.held, facts.quotes, found, facts.terms)
    return trade_list(facts.wanted, holdings, facts.quotes, found, facts.terms)


def model_holdings(
    weights: Mapping[str, float], quotes: pl.DataFrame, filters: Mapping[str, Lot], terms: Terms
) -> dict[str, Decimal]:
    """Quantities of a book of weights, rounded down to whole steps.

    A symbol without a price is not held, and neither is a short that the policy drops or that nobody lends. One whose
    quote has no rate is held in a quantity that nobody can tell: it has an entry of 0.
    """
    market = {symbol: seen for symbol, *seen in quotes.select("symbol", "price", "rate").iter_rows()}
    found = {}
    for symbol, weight in sorted(weights.items()):
        price, rate = market.get(symbol, (None, 1.0))
        if rate is None:
            found[symbol] = Decimal(0)
        elif price is not None and not (weight < 0 and _never_opened(filters[symbol], terms)):
            size = whole_steps(abs(units_of(weight, price, rate, terms)), filters[symbol].step)
            if size:
                found[symbol] = stored(size if weight > 0 else -size)
    return found


def _never_opened(lot: Lot, terms: Terms) -> bool:
    policy = terms.rules.short_policy
    return policy == "drop" or (policy == "margin" and lot.margin is False)
