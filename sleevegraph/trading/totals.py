"""What a trade list adds up to."""

from collections import Counter
from dataclasses import dataclass
from math import fsum

import polars as pl

from sleevegraph.trading.orders import ASSUMED, CLIPPED, REDUCE_ONLY, SHORT_DROPPED, SPOT, TRADE, UNTRADABLE, WARNED
from sleevegraph.trading.trade_list import Terms


@dataclass(frozen=True, slots=True)
class Exposure:
    """Shares of equity."""

    gross: float
    net: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one trade list; shares are of equity."""

    equity: float
    trades: int
    bought: float
    sold: float
    sold_short: float
    """Part of `sold` that goes to margin or perpetuals."""
    turnover: float
    """Bought and sold, as a share."""
    cost: float
    cost_share: float
    before: Exposure
    """Of the holdings; those without a price are left out and counted."""
    wanted: Exposure
    """Of the target weights."""
    permitted: Exposure
    """Of the target weights that the short policy leaves."""
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


def totals(trades: pl.DataFrame, terms: Terms) -> Totals:
    """Add up a result of `trade_list`; sums are exact, so no order of rows changes a bit."""
    symbols = trades.unique("symbol", keep="first", maintain_order=True)
    last = trades.unique("symbol", keep="last", maintain_order=True)
    weights = symbols["target_weight"].to_list()
    dropped = terms.rules.short_policy == "drop"
    wanted = _exposure(weights)
    permitted = _exposure([max(weight, 0.0) for weight in weights] if dropped else weights)
    made = trades.filter(pl.col("status") == TRADE)
    bought, sold = (fsum(made.filter(pl.col("side") == side)["notional"]) for side in ("buy", "sell"))
    turnover = fsum(made["notional"])
    unmet = trades.filter(pl.col("status") == UNTRADABLE)["reason"]
    short = made.filter((pl.col("side") == "sell") & (pl.col("route") != SPOT))
    cost = fsum(made["cost"])
    return Totals(
        equity=terms.equity,
        trades=made.height,
        bought=bought,
        sold=sold,
        sold_short=fsum(short["notional"]),
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


def _exposure(weights: list[float]) -> Exposure:
    return Exposure(fsum(map(abs, weights)), fsum(weights))


def _valued(rows: pl.DataFrame, quantity: str, equity: float) -> Exposure:
    held = rows.select(quantity, "price").drop_nulls().iter_rows()
    return _exposure([float(size) * price / equity for size, price in held])


def _flagged(trades: pl.DataFrame, flag: str) -> int:
    return trades.filter(pl.col("flags").list.contains(flag))["symbol"].n_unique()
