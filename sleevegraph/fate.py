"""The fate of one symbol at one rebalance, in words: how far it came, and what it holds in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from sleevegraph.manifest import SleeveProfile, UniverseRules
from sleevegraph.universe import OTHER_QUOTE

STAGES = ("bars", "universe", "candidates", "winners", "risk weights", "flattened weights")
"""In the order in which a symbol passes them."""

MINUS = "\N{MINUS SIGN}"
NEUTRAL_UP_TO = 0.1
STRONG_ABOVE = 0.5

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a symbol went no further."""

    stage: str
    """One of `STAGES`."""
    portfolio: str
    """The sleeve or meta; empty where the market as a whole decides."""
    reason: str


def universe_drop(row: Row, rules: UniverseRules) -> str:
    """The rule that dropped a row of `universe`, with what it measured and its threshold; empty when eligible."""
    if row["rule"] is None:
        return ""
    return f"{row['rule']} ({_measured(row, rules)})"


def quote_drop(row: Row, sleeve: SleeveProfile) -> str:
    """Why a sleeve may not hold an eligible row of `universe`."""
    return f"{OTHER_QUOTE} ({row['quote']} is not among {', '.join(sleeve.quotes)})"


def _measured(row: Row, rules: UniverseRules) -> str:
    rule, value = row["rule"], row["value"]
    number = 0.0 if value is None else value
    category = rule.removeprefix("base_")
    texts = {
        "not_trading": f"last bar {row['last_bar']}, {number:.0f} days before, must trade on the day before",
        "min_days": f"{number:.0f} returns in the last {rules.lookback_days} days < {rules.min_days_floor}",
        "liquidity": f"median {rules.liquidity_days}-day quote volume {number:,.0f} < {rules.liquidity_floor:,.0f}",
        f"base_{category}": f"{row['base']} is on the list of {category} bases",
        "quote": f"{row['quote']} is not among {', '.join(rules.quotes)}",
        "duplicate_base": f"another pair of {row['base']} trades more: median quote volume {number:,.0f}",
        "toxicity": f"largest daily return {number:+.0%} > {rules.max_return:+.0%}",
        "zero_variance": f"variance {number:.3g} over {rules.train_days} days",
        "pegged": f"annual volatility {number:.2%} < {rules.min_annual_volatility:.2%}",
        "broken_bars": f"{number:.0f} bars in the last {rules.lookback_days} days break low <= open, close <= high",
        "missing_days": f"{number:.1%} of {rules.train_days} days without a return > {rules.max_missing_share:.1%}",
    }
    text = texts.get(rule, f"found {number:g}")
    return text if value is not None or rule.startswith("base_") or rule == "quote" else f"unknown; {text}"


def candidate_drop(row: Row, sleeve: SleeveProfile) -> str:
    """Why a row of `candidates` was not kept; empty when it was."""
    if row["kept"]:
        return ""
    if row["reason"] == "rating_wrong_sign":
        return f"rating_wrong_sign ({sleeve.scored_by} {signed(row['rating'])} does not point {sleeve.direction})"
    if row["reason"] == "beyond_limit":
        return f"beyond_limit (rank {row['rank']} > {sleeve.selection.limit})"
    return str(row["reason"])


def gaps_in_words(dates: Sequence[date]) -> str:
    """How many gaps a symbol's bars have, and the longest."""
    lost = [((after - before).days - 1, after) for before, after in pairwise(dates)]
    gaps = [gap for gap in lost if gap[0] > 0]
    if not gaps:
        return "no gaps"
    days, reopened = max(gaps)
    days_text = "1 day" if days == 1 else f"{days} days"
    return f"{len(gaps)} {'gap' if len(gaps) == 1 else 'gaps'}, the longest {days_text} before {reopened}"


def verdict(stops: Sequence[Stop], held: Mapping[str, Mapping[str, float]], profile: str) -> str:
    """One line: held, and how much by `profile`, or where it was dropped and why.

    Parameters
    ----------
    stops
        Every stop on the symbol's ways; the furthest stage counts.
    held
        Net weight by meta and risk profile, of those that hold the symbol.
    profile
        The risk profile of the figures.
    """
    chosen = {meta: nets[profile] for meta, nets in held.items() if profile in nets}
    if chosen:
        return "held: net " + ", ".join(f"{percent(net)} of {meta} ({profile})" for meta, net in chosen.items())
    others = sorted({other for nets in held.values() for other in nets})
    note = f"; held by {', '.join(others)} only" if others else ""
    if not stops:
        return f"not held by {profile}{note}"
    furthest = max(stops, key=lambda stop: STAGES.index(stop.stage)).stage
    reasons = [stop for stop in stops if stop.stage == furthest]
    text = "; ".join(": ".join(filter(None, (stop.portfolio, stop.reason))) for stop in reasons)
    return f"dropped at {furthest}: {text}{note}"


def rating_label(rating: float | None) -> str:
    """The word that a rating stands for; its limits belong to the milder side."""
    if rating is None:
        return "unknown"
    if abs(rating) <= NEUTRAL_UP_TO:
        return "neutral"
    side = "buy" if rating > 0 else "sell"
    return f"strong {side}" if abs(rating) > STRONG_ABOVE else side


def percent(share: float) -> str:
    """A share as people read it, with a true minus sign."""
    return f"{100.0 * share:.2f} %".replace("-", MINUS)


def signed(rating: float | None) -> str:
    """A rating with its sign."""
    return "unknown" if rating is None else f"{rating:+.3f}".replace("-", MINUS)
