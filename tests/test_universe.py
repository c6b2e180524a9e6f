from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from sleevegraph import universe as rules_of_universe
from sleevegraph.errors import BarsError
from sleevegraph.manifest import UniverseRules
from sleevegraph.panel import build_panel
from sleevegraph.universe import eligible_in, universe
from tests.markets import RECORDED_NOT_CRYPTO, bars_of, recorded_bars, recorded_panel, walk, with_noise_from
from tests.shared import needs_shared

AT = date(2022, 12, 26)
YESTERDAY = AT - timedelta(days=1)
DAYS = 520
HEALTHY = {f"OK{i}": walk(DAYS, i) for i in range(5)}
HOLE = float("nan")
PERIODS = [
    date(2022, 4, 10),
    date(2022, 7, 9),
    date(2022, 12, 6),
    date(2023, 4, 5),
    date(2023, 8, 3),
    date(2023, 12, 21),
]


def judge(
    closes: Mapping[str, np.ndarray], rules: UniverseRules | None = None, volumes: Mapping[str, float] | None = None
) -> pl.DataFrame:
    panel = build_panel(bars_of({**HEALTHY, **closes}, YESTERDAY, volumes))
    return universe(panel.before(AT), AT, rules or UniverseRules())


def row(verdict: pl.DataFrame, base: str, quote: str = "USDT") -> dict[str, Any]:
    return verdict.row(by_predicate=pl.col("symbol") == f"BINANCE:{base}{quote}", named=True)


def holes(prices: np.ndarray, count: int, start: int = -100) -> np.ndarray:
    prices = prices.copy()
    prices[start : start + count] = np.nan
    return prices


def jump(prices: np.ndarray, factor: float, day: int = -50) -> np.ndarray:
    prices = prices.copy()
    prices[day:] *= factor * prices[day - 1] / prices[day]
    return prices


def test_healthy_symbols_are_eligible_and_measured() -> None:
    verdict = judge({})
    assert verdict["symbol"].to_list() == sorted(f"BINANCE:OK{i}USDT" for i in range(5))
    assert verdict["eligible"].all()
    assert verdict["rule"].null_count() == verdict["value"].null_count() == 5
    closes = HEALTHY["OK3"]
    returns = closes[1:] / closes[:-1] - 1.0
    found = row(verdict, "OK3")
    assert found["returns"] == 500
    assert found["median_quote_volume"] == pytest.approx(1e7)
    assert found["last_bar"] == YESTERDAY
    assert found["missing_share"] == 0.0
    assert found["max_return"] == returns[-500:].max()
    assert found["annual_volatility"] == pytest.approx(np.std(returns[-252:], ddof=1) * np.sqrt(365))


QUIET = 1.0 + 0.0005 * np.sin(np.arange(DAYS))

PLANTED = {
    "min_days": ({"BAD": walk(252, 9)}, 251.0),
    "toxicity": ({"BAD": jump(walk(DAYS, 9), 6.5)}, 5.5),
    "zero_variance": ({"BAD": np.full(DAYS, 3.0)}, 0.0),
    "pegged": ({"BAD": QUIET}, None),
    "missing_days": ({"BAD": holes(walk(DAYS, 9), 25)}, 26 / 252),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_defect_is_dropped_by_its_rule_alone(rule: str) -> None:
    closes, value = PLANTED[rule]
    verdict = judge(closes)
    found = row(verdict, "BAD")
    assert (found["eligible"], found["rule"]) == (False, rule)
    assert value is None or found["value"] == pytest.approx(value)
    assert verdict.filter("eligible").height == len(HEALTHY)


def test_a_symbol_whose_bars_end_early_is_not_trading() -> None:
    found = row(judge({"BAD": np.append(walk(DAYS, 9)[:-2], [HOLE, HOLE])}), "BAD")
    assert (found["rule"], found["value"]) == ("not_trading", 3.0)
    assert found["last_bar"] == YESTERDAY - timedelta(days=2)


def test_a_bar_without_volume_is_not_trading() -> None:
    found = row(judge({"BAD": walk(DAYS, 9)}, volumes={"BAD": 0.0}), "BAD")
    assert (found["rule"], found["value"]) == ("not_trading", 1.0)


def test_nobody_trades_when_the_bars_end_before_the_day() -> None:
    later = AT + timedelta(days=1)
    panel = build_panel(bars_of(HEALTHY, YESTERDAY))
    assert universe(panel.before(later), later, UniverseRules())["rule"].to_list() == ["not_trading"] * 5
    much_later = AT + timedelta(days=900)
    verdict = universe(panel.before(much_later), much_later, UniverseRules())
    assert verdict["value"].to_list() == [901.0] * 5
    assert verdict["median_quote_volume"].null_count() == 5


def test_liquidity_is_the_median_over_the_bars_that_are_there() -> None:
    verdict = judge({"BAD": holes(walk(DAYS, 9), 10, -20)}, volumes={"BAD": 999_999.0})
    assert row(verdict, "BAD")["rule"] == "liquidity"
    assert row(verdict, "BAD")["value"] == pytest.approx(999_999.0)
    enough = judge({"GOOD": holes(walk(DAYS, 9), 10, -20)}, volumes={"GOOD": 1_000_000.0})
    assert row(enough, "GOOD")["eligible"]


def test_the_window_of_the_median_is_thirty_days() -> None:
    bars = bars_of({"AAA": walk(DAYS, 1)}, YESTERDAY)
    age = (pl.lit(AT) - pl.col("date")).dt.total_days()
    bars = bars.with_columns(quote_volume=age.cast(pl.Float64) * 1e6)
    verdict = universe(build_panel(bars).before(AT), AT, UniverseRules())
    assert verdict["median_quote_volume"].item() == pytest.approx(np.median(np.arange(1, 31)) * 1e6)


def test_excluded_bases_are_named_by_their_category() -> None:
    rules = UniverseRules(excluded_bases={"stable": ("XXX",), "leveraged": ("OK1", "XXX")})
    verdict = judge({}, rules)
    assert verdict.filter(~pl.col("eligible")).select("base", "rule", "value").rows() == [
        ("OK1", "base_leveraged", None)
    ]


def test_a_quote_outside_the_set_is_dropped() -> None:
    found = row(judge({"OK9/EUR": walk(DAYS, 9)}), "OK9", "EUR")
    assert (found["rule"], found["value"]) == ("quote", None)


def test_the_most_liquid_quote_of_a_base_wins() -> None:
    rules = UniverseRules(quotes=("USDT", "USDC"))
    pairs = {"DUP": walk(DAYS, 9), "DUP/USDC": walk(DAYS, 9)}
    verdict = judge(pairs, rules, {"DUP": 2e6, "DUP/USDC": 3e6})
    assert (row(verdict, "DUP")["rule"], row(verdict, "DUP")["value"]) == ("duplicate_base", pytest.approx(3e6))
    assert row(verdict, "DUP", "USDC")["eligible"]
    tie = judge(pairs, rules)
    assert tie.filter(pl.col("base") == "DUP")["eligible"].to_list() == [True, False]  # USDC before USDT


def test_a_pair_that_already_failed_does_not_displace_another() -> None:
    rules = UniverseRules(quotes=("USDT", "USDC"))
    pairs = {"DUP": walk(DAYS, 9), "DUP/USDC": walk(100, 9)}
    verdict = judge(pairs, rules, {"DUP": 2e6, "DUP/USDC": 9e9})
    assert row(verdict, "DUP")["eligible"]
    assert row(verdict, "DUP", "USDC")["rule"] == "min_days"


DOLLARS = UniverseRules(quotes=("USDT", "USDC", "FDUSD"))
TWICE = {
    "DUP": walk(DAYS, 9),
    "DUP/USDC": walk(DAYS, 9),
    "DUP/FDUSD": walk(DAYS, 9),
    "SICK": walk(DAYS, 8),
    "SICK/USDC": holes(walk(DAYS, 8), 40),
    "LED": jump(walk(DAYS, 7), 9.0),
    "LED/USDC": walk(DAYS, 7),
    "ONE/USDC": walk(DAYS, 6),
}
TURNOVER = {"DUP/USDC": 3e6, "DUP/FDUSD": 4e6, "SICK/USDC": 3e6, "LED/USDC": 3e6}


def symbols(table: pl.DataFrame, *bases: str) -> list[str]:
    """Of those bases, as base and quote."""
    return [s.removeprefix("BINANCE:") for s in table.filter(pl.col("base").is_in(bases or TWICE))["symbol"]]


def test_a_sleeve_gets_the_most_liquid_pair_of_its_own_quotes() -> None:
    verdict = judge(TWICE, DOLLARS, TURNOVER)
    assert symbols(eligible_in(verdict, ()), "DUP", "ONE") == ["DUPUSDT", "ONEUSDC"]
    assert symbols(eligible_in(verdict, ("USDT",)), "DUP", "ONE") == ["DUPUSDT"]
    assert symbols(eligible_in(verdict, ("USDC",)), "DUP", "ONE") == ["DUPUSDC", "ONEUSDC"]
    assert symbols(eligible_in(verdict, ("USDC", "FDUSD")), "DUP", "ONE") == ["DUPFDUSD", "ONEUSDC"]
    assert symbols(eligible_in(verdict, ("USDC", "USDT")), "DUP", "ONE") == ["DUPUSDT", "ONEUSDC"]
    assert symbols(eligible_in(judge(TWICE, DOLLARS), ("USDC", "FDUSD")), "DUP") == ["DUPFDUSD"]  # a tie
    assert eligible_in(verdict, DOLLARS.quotes).filter(pl.col("base") != "LED").equals(eligible_in(verdict, ()))
    assert eligible_in(verdict, ()).equals(verdict.filter("eligible"))
    assert eligible_in(verdict, ("EUR",)).equals(verdict.clear())


def test_no_quote_brings_back_a_pair_that_fails_more_than_being_a_duplicate() -> None:
    verdict = judge(TWICE, DOLLARS, TURNOVER)
    assert row(verdict, "SICK", "USDC")["rule"] == "missing_days"
    assert symbols(eligible_in(verdict, ("USDC",)), "SICK") == []
    # The preferred pair is sick: nobody is eligible in the market, but a sleeve that never wanted it has its own.
    assert (row(verdict, "LED")["rule"], row(verdict, "LED", "USDC")["rule"]) == ("toxicity", "duplicate_base")
    assert symbols(eligible_in(verdict, ()), "LED") == []
    assert symbols(eligible_in(verdict, ("USDC",)), "LED") == ["LEDUSDC"]


def test_that_a_duplicate_is_the_last_rule_changes_only_the_rule_of_those_that_fail_another_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = judge(TWICE, DOLLARS, TURNOVER)
    last = rules_of_universe._verdict
    monkeypatch.setattr(  # as a definition: the duplicate before the rules on returns
        rules_of_universe, "_verdict", lambda table, checks: last(table, [*checks[:-6], checks[-1], *checks[-6:-1]])
    )
    earlier = judge(TWICE, DOLLARS, TURNOVER)
    assert earlier.drop("rule", "value").equals(now.drop("rule", "value"))
    moved = earlier.join(now, on="symbol").filter(pl.col("rule").ne_missing(pl.col("rule_right")))
    assert moved.select("symbol", "rule", "rule_right").rows() == [
        ("BINANCE:SICKUSDC", "duplicate_base", "missing_days")
    ]


def test_rounding_noise_on_a_frozen_price_is_not_variance() -> None:
    frozen = 3.0 * (1.0 + 1e-13 * np.random.default_rng(0).standard_normal(DAYS))
    found = row(judge({"BAD": frozen}), "BAD")
    assert found["rule"] == "zero_variance"
    assert found["value"] > 0.0


def test_a_return_of_exactly_the_limit_is_not_toxic() -> None:
    rules = UniverseRules(max_return=1.0)
    exact, above = np.full(DAYS, 1.0), np.full(DAYS, 1.0)
    exact[:-50], above[:-50] = 0.5, 0.4999
    verdict = judge({"EXACT": exact, "ABOVE": above}, rules)
    assert row(verdict, "EXACT")["max_return"] == 1.0
    assert row(verdict, "EXACT")["rule"] != "toxicity"
    assert row(verdict, "ABOVE")["rule"] == "toxicity"


def test_a_toxic_return_outside_the_lookback_is_forgotten() -> None:
    assert row(judge({"BAD": jump(walk(DAYS, 9), 6.5, -500)}), "BAD")["rule"] == "toxicity"
    assert row(judge({"BAD": jump(walk(DAYS, 9), 6.5, -501)}), "BAD")["eligible"]


def test_ten_percent_missing_is_allowed() -> None:
    assert row(judge({"BAD": holes(walk(DAYS, 9), 24)}), "BAD")["eligible"]  # the return after the hole is the 25th


def test_the_first_rule_in_order_is_recorded() -> None:
    short_and_poor = judge({"BAD": walk(100, 9)}, volumes={"BAD": 1.0})
    assert row(short_and_poor, "BAD")["rule"] == "min_days"
    toxic_with_holes = judge({"BAD": jump(holes(walk(DAYS, 9), 40), 9.0)})
    assert row(toxic_with_holes, "BAD")["rule"] == "toxicity"


def test_bars_of_the_day_itself_are_refused() -> None:
    panel = build_panel(bars_of(HEALTHY, AT))
    with pytest.raises(BarsError, match="look-ahead"):
        universe(panel, AT, UniverseRules())
    assert universe(panel.before(AT), AT, UniverseRules())["eligible"].all()


def test_a_market_that_does_not_exist_yet_is_an_empty_universe() -> None:
    verdict = universe(
        build_panel(bars_of(HEALTHY, YESTERDAY)).before(date(2020, 1, 1)), date(2020, 1, 1), UniverseRules()
    )
    assert verdict.is_empty()
    assert verdict.schema == judge({}).schema


def test_a_symbol_is_measured_to_the_same_bits_whoever_stands_beside_it() -> None:
    together = judge({})
    for base, closes in HEALTHY.items():
        alone = universe(build_panel(bars_of({base: closes}, YESTERDAY)).before(AT), AT, UniverseRules())
        assert alone.rows() == together.filter(pl.col("base") == base).rows()


@needs_shared
@pytest.mark.parametrize("at", PERIODS)
def test_recorded_stable_fiat_and_wrapped_bases_are_never_eligible(at: date) -> None:
    known = recorded_panel().before(at)
    named = {base for bases in RECORDED_NOT_CRYPTO.values() for base in bases}
    verdict = universe(known, at, UniverseRules(excluded_bases=RECORDED_NOT_CRYPTO))
    assert not verdict.filter(pl.col("base").is_in(list(named)) & pl.col("eligible")).height
    assert 100 < verdict["eligible"].sum() < verdict.height
    unlisted = universe(known, at, UniverseRules())
    assert unlisted.filter(pl.col("base").is_in(list(named)) & pl.col("eligible")).height  # the lists did it


@needs_shared
@pytest.mark.parametrize("at", PERIODS)
def test_a_recorded_dollar_peg_is_recognised_without_a_list(at: date) -> None:
    verdict = universe(recorded_panel().before(at), at, UniverseRules())
    pegs = verdict.filter(pl.col("base").is_in(["USDC", "TUSD", "USDP", "BUSD"]))
    low = pegs.filter((pl.col("annual_volatility") < 0.02) & (pl.col("returns") >= 252))
    assert low.height >= 1
    assert not low["eligible"].any()
    assert "pegged" in low["rule"].to_list()


@needs_shared
def test_the_recorded_future_changes_no_bit_of_the_universe() -> None:
    at = PERIODS[2]
    rules = UniverseRules(excluded_bases=RECORDED_NOT_CRYPTO)
    noisy = build_panel(with_noise_from(recorded_bars(), at))
    assert universe(noisy.before(at), at, rules).equals(universe(recorded_panel().before(at), at, rules))
    later = at + timedelta(days=10)
    assert not universe(noisy.before(later), later, rules).equals(
        universe(recorded_panel().before(later), later, rules)
    )


@pytest.mark.parametrize(("days_before", "eligible"), [(500, False), (501, True)])
def test_a_symbol_with_a_broken_bar_is_out_for_as_long_as_it_is_looked_back_at(
    days_before: int, *, eligible: bool
) -> None:
    bars = bars_of(HEALTHY, YESTERDAY)
    broken = (pl.col("symbol") == "BINANCE:OK3USDT") & (pl.col("date") == AT - timedelta(days=days_before))
    panel = build_panel(bars.with_columns(high=pl.when(broken).then(pl.col("low") * 0.5).otherwise("high")))
    found = row(universe(panel.before(AT), AT, UniverseRules()), "OK3")
    assert found["eligible"] is eligible
    assert found["rule"] == (None if eligible else "broken_bars")
