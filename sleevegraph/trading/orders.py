"""From one holding to one target: which orders get there, how far, and why no further.

Rounding takes no position beyond its target: an order that adds is rounded down to the step, one that reduces is
rounded up, though never beyond what is held; a difference below one step is left. Every order is clipped first, then
rounded, then held against the exchange's least quantity and notional.

A position that changes its sign is closed by one order and opened on the other side by a second, which begins where the
first one ended: what could not be closed (below the least notional, say) stays on its route, and the second order is so
much larger that holdings + trades are the target all the same. What counts as held, long or short, is the net of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sleevegraph.manifest import TradingRules
from sleevegraph.trading.lots import Lot
from sleevegraph.trading.quantities import exact, whole_steps

SPOT, MARGIN, PERPETUAL = "spot", "margin", "perpetual"
NO_CONVERSION, NO_PRICE, NO_VOLUME = "no_conversion", "no_price", "no_volume"
BELOW_STEP, BELOW_QUANTITY, BELOW_NOTIONAL = "below_one_step", "below_min_quantity", "below_min_notional"
CLIPPED, WARNED = "participation_clipped", "participation_warning"
REDUCE_ONLY, SHORT_DROPPED = "reduce_only", "short_dropped"
DUST, ASSUMED, NO_MARGIN, SPLIT = "dust", "rules_assumed", "no_margin_listed", "above_max_quantity"

TRADE, KEEP, UNTRADABLE = "trade", "keep", "untradable"


@dataclass(frozen=True, slots=True)
class Wish:
    """One symbol: what is held and wanted, signed, in base units, and the market it meets."""

    held: Fraction
    target: Fraction | None
    """None where no price or no rate says how much the weight is."""
    price: Fraction | None
    """Of P-1; None where nobody traded on that day."""
    volume: Fraction | None
    """Median daily quote volume."""
    lot: Lot
    converts: bool = True
    """Whether it is known what the quote is worth in the currency of the equity."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One row of a trade list: an order, or why there is none."""

    route: str
    held: Fraction
    """Before this order."""
    quantity: Fraction
    """Signed; 0 where nothing is traded."""
    status: str
    reason: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every order of one symbol."""

    permitted: Fraction | None
    """The target as far as the short policy and reduce-only let it stand."""
    legs: tuple[Leg, ...]
    """At least one; two where a position changes its sign."""


def plan(wish: Wish, rules: TradingRules, *, reduce_only: bool) -> Plan:
    """Orders of one symbol under the manifest's rules; with `reduce_only` none opens, adds or turns a position."""
    permitted, limits = _permitted(wish, rules, reduce_only=reduce_only)
    refusal = _refusal(wish, permitted)
    if refusal or permitted is None or permitted == wish.held:
        side = _sign(wish.held) or _sign(permitted)
        unmet = refusal or (limits[0] if limits else "")
        flags = (*limits, *_told(side, Fraction(0), wish.lot, rules))
        status = UNTRADABLE if unmet else KEEP
        return Plan(permitted, (Leg(_route(side, rules), wish.held, Fraction(0), status, unmet, flags),))
    return Plan(permitted, tuple(_legs(wish, permitted, rules, limits)))


def _permitted(wish: Wish, rules: TradingRules, *, reduce_only: bool) -> tuple[Fraction | None, tuple[str, ...]]:
    """The target that may be traded to, and what limits it."""
    if wish.target is None:
        return None, ()
    permitted, limits = wish.target, []
    if permitted < 0 and rules.short_policy == "drop":
        permitted = Fraction(0)
        limits.append(SHORT_DROPPED)
    if reduce_only:
        nearer = (
            min(max(permitted, Fraction(0)), wish.held)
            if wish.held >= 0
            else max(min(permitted, Fraction(0)), wish.held)
        )
        if nearer != permitted:
            limits.append(REDUCE_ONLY)
        permitted = nearer
    return permitted, tuple(limits)


def _refusal(wish: Wish, permitted: Fraction | None) -> str:
    """Why nobody can trade it at all; empty where nobody wants to."""
    if not wish.converts:
        return NO_CONVERSION
    if permitted == wish.held:
        return ""
    if wish.price is None:
        return NO_PRICE
    if wish.lot.refusal:
        return wish.lot.refusal
    return "" if wish.volume else NO_VOLUME


def _legs(wish: Wish, permitted: Fraction, rules: TradingRules, limits: tuple[str, ...]) -> Iterator[Leg]:
    """Close first, then open, from where the first order ended."""
    price, volume = wish.price or Fraction(0), wish.volume or Fraction(0)
    warned = abs(permitted - wish.held) * price > exact(rules.participation_warn) * volume
    budget, held = exact(rules.participation_cap) * volume / price, wish.held
    for goal in [Fraction(0), permitted] if wish.held * permitted < 0 else [permitted]:
        quantity, reason, clipped = _order(held, goal, budget, wish.lot, price)
        side = _sign(goal) or _sign(held)
        remains = reason == BELOW_STEP and (goal == 0 or _sign(goal) == _sign(held))
        if goal < min(held, Fraction(0)) and not remains and _route(side, rules) == MARGIN and wish.lot.margin is False:
            quantity, reason, clipped = Fraction(0), NO_MARGIN, False
        after = held + quantity
        found = {WARNED: warned, CLIPPED: clipped, DUST: goal == 0 and 0 < abs(after) < wish.lot.step}
        flags = (*limits, *(flag for flag, there in found.items() if there), *_told(side, quantity, wish.lot, rules))
        status = TRADE if quantity else KEEP if remains else UNTRADABLE
        yield Leg(_route(side, rules), held, quantity, status, reason, flags)
        budget, held = budget - abs(quantity), after


def _order(held: Fraction, goal: Fraction, most: Fraction, lot: Lot, price: Fraction) -> tuple[Fraction, str, bool]:
    """Signed quantity of one order, why it is none, and whether the cap on participation clipped it."""
    delta = goal - held
    wanted = abs(delta)
    clipped = wanted > most
    size = whole_steps(min(wanted, most), lot.step)
    rounded_up = size + lot.step
    reduces = held * delta < 0 and wanted <= abs(held)
    if reduces and 0 < size < wanted and rounded_up <= min(abs(held), most):
        size = rounded_up
    reason = ""
    if size == 0:
        reason = CLIPPED if clipped else BELOW_STEP
    elif size < lot.min_quantity:
        reason = BELOW_QUANTITY
    elif size * price < lot.min_notional:
        reason = BELOW_NOTIONAL
    return (Fraction(0) if reason else size * _sign(delta)), reason, clipped


def _told(side: int, quantity: Fraction, lot: Lot, rules: TradingRules) -> tuple[str, ...]:
    """What the exchange's own rules say beside: not known, or more than one order takes."""
    route = _route(side, rules)
    found = {
        ASSUMED: lot.assumed or route == PERPETUAL,
        SPLIT: lot.max_quantity is not None and abs(quantity) > lot.max_quantity,
    }
    return tuple(flag for flag, there in found.items() if there)


def _route(side: int, rules: TradingRules) -> str:
    """Where a position of that sign stands. A short that the policy drops was opened on margin, if it is held at all."""
    if side >= 0:
        return SPOT
    return PERPETUAL if rules.short_policy == PERPETUAL else MARGIN


def _sign(quantity: Fraction | None) -> int:
    return 0 if quantity is None else (quantity > 0) - (quantity < 0)
