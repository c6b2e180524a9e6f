"""What a trade list adds up to."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import fsum

import polars as pl

from sleevegraph.trading.orders import (
    ASSUMED,
    CLIPPED,
    NO_MARGIN,
    REDUCE_ONLY,
    SHORT_DROPPED,
    TRADE,
    UNTRADABLE,
    WARNED,
)
from sleevegraph.trading.quantities import exact
from sleevegraph.trading.trade_list import Terms


@dataclass(frozen=True, slots=True)
class Exposure:
    """Shares of equity."""

    gross: float
    net: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one trade list; amounts are in the currency of the equity, shares are of it."""

    equity: float
    trades: int
    bought: float
    sold: float
    sold_short: float
    """Part of `sold` by which symbols are shorter than they were, each taken as the net of its routes."""
    turnover: float
    """Bought and sold, as a share."""
    cost: float
    cost_share: float
    before: Exposure
    """Of the holdings; those without a price or a rate are left out and counted."""
    wanted: Exposure
    """Of the target weights."""
    permitted: Exposure
    """Of the target weights that the short policy leaves; of a short that nobody lends, what is held of it."""
    after: Exposure
    """Of what is held once every trade is made."""
    policy_on_net: float
    """What the short policy adds to the net exposure that was wanted."""
    shorts_dropped: int
    reduced_only: int
    """Symbols that reduce-only kept from their target."""
    untradable: dict[str, int]
    """Orders that cannot be made, by reason."""
    clipped: int
    """Symbols whose trade the cap on participation clipped."""
    warned: int
    """Symbols whose trade is above the warning."""
    assumed: int
    """Symbols whose filters are not the exchange's own."""
    unpriced: int
    """Symbols that are held and have no price."""


def totals(trades: pl.DataFrame, terms: Terms) -> Totals:
    """Add up a result of `trade_list`; sums are exact, so no order of rows changes a bit."""
    symbols = trades.unique("symbol", keep="first", maintain_order=True)
    last = trades.unique("symbol", keep="last", maintain_order=True)
    wanted, permitted = _exposure(symbols["target_weight"].to_list()), _exposure(_permitted(last, terms))
    made = trades.filter(pl.col("status") == TRADE).with_columns(amount=pl.col("notional") * pl.col("rate"))
    bought, sold = (fsum(made.filter(pl.col("side") == side)["amount"]) for side in ("buy", "sell"))
    turnover = fsum(made["amount"])
    unmet = trades.filter(pl.col("status") == UNTRADABLE)["reason"]
    cost = fsum(made["cost"])
    return Totals(
        equity=terms.equity,
        trades=made.height,
        bought=bought,
        sold=sold,
        sold_short=fsum(_shorter(symbols["holding_quantity"], last)),
        turnover=turnover / terms.equity,
        cost=cost,
        cost_share=cost / terms.equity,
        before=_valued(symbols, "holding_quantity", terms.equity),
        wanted=wanted,
        permitted=permitted,
        after=_valued(last, "resulting_quantity", terms.equity),
        policy_on_net=permitted.net - wanted.net,
        shorts_dropped=_flagged(trades, SHORT_DROPPED),
        reduced_only=_flagged(trades, REDUCE_ONLY),
        untradable=dict(sorted(Counter(unmet).items())),
        clipped=_flagged(trades, CLIPPED),
        warned=_flagged(trades, WARNED),
        assumed=_flagged(trades, ASSUMED),
        unpriced=symbols.filter(pl.col("price").is_null() & (pl.col("holding_quantity") != 0)).height,
    )


def _permitted(last: pl.DataFrame, terms: Terms) -> list[float]:
    """Target weights without the shorts that the policy drops, or that nobody lends beyond what is held of them."""
    if terms.rules.short_policy == "drop":
        return [max(weight, 0.0) for weight in last["target_weight"]]
    columns = ("target_weight", "reason", "resulting_quantity", "price", "rate")
    return [
        min(float(after), 0.0) * price * rate / terms.equity if reason == NO_MARGIN else weight
        for weight, reason, after, price, rate in last.select(columns).iter_rows()
    ]


def _shorter(held: pl.Series, last: pl.DataFrame) -> list[float]:
    """By how much the net position of each symbol that trades is shorter than it was."""
    found = []
    for before, after, price, rate in zip(held, *last.select("resulting_quantity", "price", "rate"), strict=True):
        size = _short(after) - _short(before)
        if size > 0:
            found.append(float(size * exact(price)) * rate)
    return found


def _short(quantity: Decimal) -> Fraction:
    return max(-Fraction(quantity), Fraction(0))


def _exposure(weights: list[float]) -> Exposure:
    return Exposure(fsum(map(abs, weights)), fsum(weights))


def _valued(rows: pl.DataFrame, quantity: str, equity: float) -> Exposure:
    held = rows.select(quantity, "price", "rate").drop_nulls().iter_rows()
    return _exposure([float(size) * price * rate / equity for size, price, rate in held])


def _flagged(trades: pl.DataFrame, flag: str) -> int:
    return trades.filter(pl.col("flags").list.contains(flag))["symbol"].n_unique()
