from datetime import date
from typing import Any

import pytest

from profiles.load import load_manifest
from sleevegraph import universe
from sleevegraph.fate import (
    MINUS,
    Stop,
    candidate_drop,
    gaps_in_words,
    percent,
    quote_drop,
    rating_label,
    universe_drop,
    verdict,
)

MANIFEST = load_manifest()
RULES = MANIFEST.market.universe
SHORT = next(sleeve for sleeve in MANIFEST.sleeves if sleeve.direction == "SHORT")


def row(rule: str | None, value: float | None = None) -> dict[str, Any]:
    return {"rule": rule, "value": value, "base": "ABC", "quote": "BTC", "last_bar": date(2022, 3, 5)}


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("not_trading", 6.0, "not_trading (last bar 2022-03-05, 6 days before, must trade on the day before)"),
        ("min_days", 7.0, "min_days (7 returns in the last 500 days < 252)"),
        ("liquidity", 312_000.4, "liquidity (median 30-day quote volume 312,000 < 1,000,000)"),
        ("liquidity", None, "liquidity (unknown; median 30-day quote volume 0 < 1,000,000)"),
        ("base_leveraged", None, "base_leveraged (ABC is on the list of leveraged bases)"),
        ("quote", None, "quote (BTC is not among USDT)"),
        ("duplicate_base", 5e6, "duplicate_base (another pair of ABC trades more: median quote volume 5,000,000)"),
        ("toxicity", 6.2, "toxicity (largest daily return +620% > +500%)"),
        ("zero_variance", 0.0, "zero_variance (variance 0 over 252 days)"),
        ("pegged", 0.004, "pegged (annual volatility 0.40% < 2.00%)"),
        ("missing_days", 0.25, "missing_days (25.0% of 252 days without a return > 10.0%)"),
        ("broken_bars", 2.0, "broken_bars (2 bars in the last 500 days break low <= open, close <= high)"),
    ],
)
def test_every_rule_says_what_it_measured_and_its_threshold(rule: str, value: float | None, expected: str) -> None:
    assert universe_drop(row(rule, value), RULES) == expected


def test_no_rule_of_the_universe_is_without_words() -> None:
    names = [name for name, *_ in (*universe._tradable(RULES), universe._duplicate(), *universe._returns_rules(RULES))]
    assert len(names) > 10
    assert not [name for name in names if "(found " in universe_drop(row(name, 1.0), RULES)]
    assert universe_drop(row("new_rule", 1.5), RULES) == "new_rule (found 1.5)"


def test_an_eligible_symbol_was_not_dropped_but_for_a_sleeve_of_other_quotes() -> None:
    assert universe_drop(row(None), RULES) == ""
    dollars = SHORT.model_copy(update={"quotes": ("USDC", "USDT")})
    assert quote_drop(row(None), dollars) == "other_quote (BTC is not among USDC, USDT)"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("rating_wrong_sign", f"rating_wrong_sign ({SHORT.rating} +0.125 does not point SHORT)"),
        ("beyond_limit", "beyond_limit (rank 101 > 100)"),
        ("rating_unknown", "rating_unknown"),
    ],
)
def test_candidates_say_why_not(reason: str, expected: str) -> None:
    assert candidate_drop({"kept": False, "reason": reason, "rating": 0.125, "rank": 101}, SHORT) == expected
    assert candidate_drop({"kept": True, "reason": "kept", "rating": -0.5, "rank": 1}, SHORT) == ""


def test_gaps_are_counted_and_the_longest_named() -> None:
    days = [date(2022, 1, day) for day in (1, 2, 4, 5, 9)]
    assert gaps_in_words(days) == "2 gaps, the longest 3 days before 2022-01-09"
    assert gaps_in_words(days[1:3]) == "1 gap, the longest 1 day before 2022-01-04"
    assert gaps_in_words(days[:2]) == "no gaps"
    assert gaps_in_words(days[:1]) == "no gaps"


def test_the_furthest_stage_is_where_a_symbol_was_dropped() -> None:
    stops = [Stop("candidates", "a", "x"), Stop("winners", "b", "y"), Stop("winners", "c", "z")]
    assert verdict(stops, {}, "hrp") == "dropped at winners: b: y; c: z"
    assert verdict([Stop("universe", "", "w")], {}, "hrp") == "dropped at universe: w"


def test_whoever_is_held_was_not_dropped() -> None:
    held = {"m": {"hrp": -0.0134, "market": 0.5}, "n": {"market": 0.5}}
    assert verdict([Stop("candidates", "a", "x")], held, "hrp") == f"held: net {MINUS}1.34 % of m (hrp)"


def test_other_profiles_that_hold_a_dropped_symbol_are_named() -> None:
    held = {"m": {"market": 0.5}, "n": {"benchmark": 0.5}}
    assert verdict([Stop("candidates", "a", "x")], held, "hrp").endswith("; held by benchmark, market only")
    assert verdict([], held, "hrp") == "not held by hrp; held by benchmark, market only"


@pytest.mark.parametrize(
    ("rating", "label"),
    [
        (0.51, "strong buy"),
        (0.5, "buy"),
        (0.11, "buy"),
        (0.1, "neutral"),
        (0.0, "neutral"),
        (-0.1, "neutral"),
        (-0.11, "sell"),
        (-0.5, "sell"),
        (-0.51, "strong sell"),
        (None, "unknown"),
    ],
)
def test_limits_of_a_label_belong_to_the_milder_side(rating: float | None, label: str) -> None:
    assert rating_label(rating) == label


def test_shares_have_a_true_minus_sign() -> None:
    assert percent(-0.0134) == f"{MINUS}1.34 %"
    assert percent(0.5) == "50.00 %"
