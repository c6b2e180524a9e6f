"""Whether a trade list leads from the holdings to the targets, recomputed in decimals by code of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import polars as pl

from sleevegraph.findings import Finding
from sleevegraph.trading.model import Facts
from sleevegraph.trading.trade_list import Terms

DIGITS = 60
"""Of the decimals that are computed with; what is stored has 38."""
LAST_PLACE = Decimal("1E-18")
RELATIVE = 1e-12
NOTHING = Decimal(0)

Row = Mapping[str, Any]
Defect = tuple[str, str]
"""Code and message."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What follows for one symbol, without its trade list."""

    weight: float
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    borrowable: bool
    """Whether a short may be opened or added to."""
    money: tuple[str | None, float | None, str]
    """Quote, what it is worth, and the currency that this is in."""
    price: Decimal | None
    """Last close; `refusal` says whether anybody trades at it."""
    target: Decimal | None
    model: Decimal
    """What the earlier weight comes to, before it is rounded to whole steps."""
    most: Decimal
    """Largest notional under the cap on participation."""
    refusal: str
    """Why nobody can trade it."""
    terms: Terms


def reconciliation(trades: pl.DataFrame, facts: Facts) -> list[Finding]:
    """Compare a stored trade list with what it was made from, by symbol.

    Trades are whole steps of at least the exchange's minimum notional and within the cap on participation; holdings +
    trades are within one step of what is permitted of the target, unless a reason that holds stands beside it, and never
    beyond it; costs are their share of the notional, in the currency of the equity.
    """
    rows: dict[str, list[Row]] = {}
    for row in trades.iter_rows(named=True):
        rows.setdefault(row["symbol"], []).append(row)
    quotes = {row["symbol"]: row for row in facts.quotes.iter_rows(named=True)}
    listed = {} if facts.info is None else {row["symbol"]: row for row in facts.info.iter_rows(named=True)}
    worth, lends = _worth(facts), any(row["is_margin"] for row in listed.values())
    findings = []
    with localcontext(prec=DIGITS):
        for symbol in sorted({*rows, *facts.wanted, *facts.held}):
            quote = quotes.get(symbol, {})
            rate = worth.get((symbol.partition(":")[0], quote.get("quote", "")))
            case = _case(symbol, quote, rate, listed.get(symbol.partition(":")[2]), facts, lends=lends)
            found = _defects(rows[symbol], case) if symbol in rows else _absent(symbol, case, facts)
            findings += [Finding("ERROR", code, symbol, message) for code, message in found]
    return findings


def _worth(facts: Facts) -> dict[tuple[str, str], float]:
    """What a unit of each quote comes to in the currency of the equity, by exchange, from the pairs' own closes."""
    currency, eve = facts.terms.currency, facts.terms.at - timedelta(days=1)
    found: dict[tuple[str, str], float] = {}
    pairs = facts.quotes.filter(pl.col("price_date") == eve, pl.col("price") > 0)
    for symbol, base, quote, price in pairs.select("symbol", "base", "quote", "price").iter_rows():
        exchange = symbol.partition(":")[0]
        if base == currency:
            found.setdefault((exchange, quote), 1.0 / price)
        if quote == currency:
            found[exchange, base] = price
    for symbol in facts.quotes["symbol"]:
        found[symbol.partition(":")[0], currency] = 1.0
    return found


def _case(symbol: str, quote: Row, rate: float | None, listed: Row | None, facts: Facts, *, lends: bool) -> _Case:
    terms, weight = facts.terms, facts.wanted.get(symbol, 0.0)
    rules, price, volume = terms.rules, quote.get("price"), quote.get("median_quote_volume")
    worth = Decimal(repr(1.0 if rate is None else rate))
    known = price is not None and rate is not None
    units = Decimal(repr(terms.equity)) / (Decimal(repr(price)) * worth) if known else None
    held = facts.held.get(symbol, 0.0)
    unlent = lends and listed is not None and listed["is_margin"] is False
    borrowable = rules.short_policy != "margin" or not unlent
    dropped = held < 0 and (rules.short_policy == "drop" or not borrowable)
    said = {} if listed is None else {name: text for name, text in listed.items() if text is not None}
    stale = quote.get("price_date") != terms.at - timedelta(days=1)
    refusals = {
        "no_conversion": bool(quote) and rate is None,
        "no_price": price is None or stale,
        "not_listed": facts.info is not None and listed is None,
        "not_trading": listed is not None and (listed["status"] != "TRADING" or listed["is_spot"] is False),
        "no_volume": not volume,
    }
    return _Case(
        weight=weight,
        step=Decimal(said.get("step_size", 0)) or Decimal(repr(rules.quantity_step)),
        min_quantity=Decimal(said.get("min_qty", 0)),
        min_notional=Decimal(said.get("min_notional") or Decimal(repr(rules.min_notional)) / worth),
        borrowable=borrowable,
        money=(quote.get("quote"), rate, terms.currency),
        price=None if price is None else Decimal(repr(price)),
        target=NOTHING if weight == 0 else None if units is None else Decimal(repr(weight)) * units,
        model=NOTHING if units is None or dropped else Decimal(repr(held)) * units,
        most=Decimal(repr(rules.participation_cap)) * Decimal(repr(volume or 0.0)),
        refusal=next((reason for reason, there in refusals.items() if there), ""),
        terms=terms,
    )


def _absent(symbol: str, case: _Case, facts: Facts) -> list[Defect]:
    """A symbol may lack a row when it is not wanted, and when what was held of it is below one step."""
    unknown = case.refusal == "no_conversion"  # how much is held of it
    if symbol not in facts.wanted and abs(case.model) < case.step and not unknown:
        return []
    return [("SYMBOL_MISSING", f"expected a row for net weight {case.weight!r}, found none")]


def _defects(rows: list[Row], case: _Case) -> list[Defect]:
    stated = {row["target_weight"] for row in rows}
    if stated != {case.weight}:
        return [("TARGET_CHANGED", f"expected target weight {case.weight!r}, found {sorted(stated)}")]
    moneys = {tuple(map(row.get, ("quote", "rate", "currency"))) for row in rows}
    if moneys != {case.money}:
        found = f"{sorted(map(str, moneys))}; materialise the trade list again"
        return [("CONVERSION", f"expected quote, rate and currency {case.money}, found {found}")]
    permitted = _permitted(case, rows[0]["holding_quantity"])
    return [
        *_chain(rows, case),
        *(defect for row in rows for defect in _order(row, case)),
        *_reach(rows, permitted, case),
        *(defect for row in rows for defect in _excuse(row, rows[0]["holding_quantity"], permitted, case)),
    ]


def _permitted(case: _Case, held: Decimal) -> Decimal | None:
    target = case.target
    if target is not None and case.terms.rules.short_policy == "drop":
        target = max(target, NOTHING)
    if target is not None and case.terms.reduce_only:
        low, high = sorted([NOTHING, held])
        target = min(max(target, low), high)
    return target


def _chain(rows: list[Row], case: _Case) -> Iterator[Defect]:
    """The first row begins at the holding, every other where the one before it ended."""
    held = rows[0]["holding_quantity"]
    if not abs(held - case.model) < case.step or abs(held) > abs(case.model) + LAST_PLACE:
        yield "HOLDING", f"expected the holding {case.model:.12g} in whole steps of {case.step:f}, found {held:f}"
    for number, row in enumerate(rows, start=1):
        after = held + row["trade_quantity"]
        if (row["leg"], row["holding_quantity"], row["resulting_quantity"]) != (number, held, after):
            found = f"{row['holding_quantity']:f} to {row['resulting_quantity']:f}"
            yield "LEGS", f"expected leg {number} from {held:f} to {after:f}, found {found}"
        held = after


def _order(row: Row, case: _Case) -> Iterator[Defect]:
    """What the exchange would refuse, and what it is said to cost."""
    size = abs(row["trade_quantity"])
    if size and (case.refusal or case.price is None):
        yield "NOT_TRADABLE", f"expected no trade ({case.refusal}), found one of {size:f}"
        return
    notional = size * (case.price or NOTHING)
    if size % case.step:
        yield "OFF_STEP", f"expected whole steps of {case.step:f}, found a trade of {size:f}"
    if size and notional < case.min_notional:
        yield "BELOW_MIN_NOTIONAL", f"expected a notional of at least {case.min_notional:f}, found {notional:.12g}"
    if size and size < case.min_quantity:
        yield "BELOW_MIN_QUANTITY", f"expected at least {case.min_quantity:f}, found a trade of {size:f}"
    if not abs(row["notional"] - float(notional)) <= RELATIVE * float(notional):
        yield "NOTIONAL", f"expected |trade| x price {float(notional)!r}, found {row['notional']!r}"
    cost = case.terms.cost * row["notional"] * (case.money[1] or 0.0)
    if not abs(row["cost"] - cost) <= RELATIVE * cost:
        at = f"{case.terms.cost!r} of the notional in {case.terms.currency}"
        yield "COST", f"expected {at}, {cost!r}, found {row['cost']!r}"


def _reach(rows: list[Row], permitted: Decimal | None, case: _Case) -> Iterator[Defect]:
    """How far the trades get."""
    held, after, stated = rows[0]["holding_quantity"], rows[-1]["resulting_quantity"], rows[0]["permitted_quantity"]
    if (permitted is None) is not (stated is None) or abs((stated or NOTHING) - (permitted or NOTHING)) > LAST_PLACE:
        yield "PERMITTED", f"expected a permitted quantity of {permitted}, found {stated}"
    if permitted is None:
        return
    traded = sum(abs(row["trade_quantity"]) for row in rows) * (case.price or NOTHING)
    if traded > case.most:
        yield "ABOVE_CAP", f"expected trades of at most {float(case.most):.6g}, found {float(traded):.6g}"
    excused = any(row["status"] == "untradable" or "participation_clipped" in row["flags"] for row in rows)
    if not excused and not abs(after - permitted) < case.step:
        goal = f"within {case.step:f} of {permitted:.12g}"
        yield "NOT_RECONCILED", f"expected holding {held:f} + trades {goal}, found {after:f}"
    low, high = sorted([held, permitted])
    if not low - case.step < after < high + case.step:
        yield "BEYOND_TARGET", f"expected to end between {low:.12g} and {high:.12g}, found {after:f}"
    if not case.borrowable and after < min(held, NOTHING):
        yield "NOT_BORROWABLE", f"expected no more short than {held:f}, found {after:f}"
    if case.terms.reduce_only and (after * held < 0 or abs(after) > abs(held)):
        yield "REDUCE_ONLY", f"expected {held:f} to be reduced at most, found {after:f}"


def _excuse(row: Row, first: Decimal, permitted: Decimal | None, case: _Case) -> Iterator[Defect]:
    """Whether the reasons that a row gives are true."""
    reason, held, price = row["reason"], row["holding_quantity"], case.price or NOTHING
    turns = row["leg"] == 1 and permitted is not None and permitted * held < 0
    # A row that closes one side before the other is opened wants no more than what is held.
    wanted = abs(held) if turns else NOTHING if permitted is None else abs(permitted - held)
    opens = permitted is not None and permitted != 0 and permitted * held <= 0 and not turns
    lower = permitted is not None and permitted < min(held, NOTHING) and not turns
    clipped = permitted is not None and abs(permitted - first) * price > case.most
    size = min(wanted, case.most / price) if price else NOTHING
    true = {
        case.refusal: bool(case.refusal),
        "reduce_only": case.terms.reduce_only and permitted == held,
        "short_dropped": case.target is not None and case.target < 0 and permitted == held,
        "no_margin_listed": lower and not case.borrowable,
        "below_one_step": opens and not clipped and size < case.step,
        "below_min_notional": clipped or (size - case.step) * price < case.min_notional,
        "below_min_quantity": clipped or size - case.step < case.min_quantity,
        "participation_clipped": clipped,
    }
    if row["status"] == "keep" and opens:
        yield "NOT_SAID", f"expected a position that is not opened to be called untradable, found {row['status']!r}"
    if row["status"] == "untradable" and not true.get(reason, False):
        yield "NO_EXCUSE", f"expected a reason that holds, found {reason!r}"
    if "participation_clipped" in row["flags"] and not clipped:
        yield "NO_EXCUSE", "expected a trade above the cap on participation where it is said to be clipped"
