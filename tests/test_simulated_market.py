from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.load import load_manifest
from sleevegraph.bars import validate_bars
from sleevegraph.calendar import grid_dates
from sleevegraph.completeness import bars_complete
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import CompletenessRules
from sleevegraph.simulated_market import START, simulated_bars

END = date(2023, 12, 31)
BTC = "BINANCE:BTCUSDT"


@cache
def simulated() -> pl.DataFrame:
    return simulated_bars(END)


@cache
def moves() -> pl.DataFrame:
    """Close-to-close changes with the days between them."""
    changes = simulated().with_columns(
        change=pl.col("close") / pl.col("close").shift(1).over("symbol") - 1.0,
        days=pl.col("date").diff().over("symbol").dt.total_days(),
    )
    return changes.filter(pl.col("days").is_not_null())


def daily() -> pl.DataFrame:
    return moves().filter(pl.col("days") == 1)


def annual_volatility() -> dict[str, float]:
    rows = daily().group_by("symbol").agg(pl.col("change").std() * 365**0.5)
    return dict(rows.iter_rows())


def by_day() -> pl.DataFrame:
    return daily().pivot("symbol", index="date", values="change").sort("date")


def test_simulated_bars_keep_the_contract_and_the_order_of_prices() -> None:
    bars = simulated()
    validate_bars(bars, "simulated")
    assert bars["symbol"].n_unique() == 60
    assert (bars["date"].min(), bars["date"].max()) == (START, END)
    assert bars.filter(
        (pl.col("low") > pl.min_horizontal("open", "close")) | (pl.col("high") < pl.max_horizontal("open", "close"))
    ).is_empty()
    assert bars.equals(bars.sort("symbol", "date"))
    assert not bars["quote_volume_derived"].any()


@settings(max_examples=25, deadline=None)
@given(days=st.integers(0, 1094), seed=st.integers(0, 3))
def test_a_shorter_run_is_to_the_bit_the_beginning_of_a_longer_one(days: int, seed: int) -> None:
    end = START + timedelta(days=days)
    longer = simulated_bars(START + timedelta(days=1100), seed=seed, symbols=20)
    assert simulated_bars(end, seed=seed, symbols=20).equals(longer.filter(pl.col("date") <= end))


def test_the_seed_decides_and_nothing_else() -> None:
    assert simulated_bars(END, symbols=20).equals(simulated_bars(END, symbols=20))
    other = simulated_bars(END, symbols=20, seed=8)
    assert not other["close"].equals(simulated_bars(END, symbols=20)["close"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"symbols": 5}, "simulated market: symbols: expected at least 20, found 5"),
        ({"seed": -1}, "simulated market: seed: expected 0 or more, found -1"),
        ({"start": date(2024, 1, 1)}, "simulated market: end: expected 2024-01-01 or later, found 2023-12-31"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        simulated_bars(END, **arguments)


def test_the_benchmark_trades_every_day() -> None:
    assert simulated().filter(pl.col("symbol") == BTC).height == (END - START).days + 1


def test_exactly_one_jump_above_five_hundred_per_cent_was_really_traded() -> None:
    assert daily().filter(pl.col("change") > 5.0)["symbol"].to_list() == ["BINANCE:SIM003USDT"]


def test_a_redenomination_and_a_reused_ticker_lie_across_gaps() -> None:
    across = moves().filter(pl.col("days") > 1)
    assert across.filter(pl.col("change") < -0.99)["symbol"].to_list() == ["BINANCE:SIM001USDT"]
    assert across.filter(pl.col("change") > 100.0)["symbol"].to_list() == ["BINANCE:SIM002USDT"]
    assert across.height == 4


def test_no_day_within_a_gap_tells_of_the_jump_across_it() -> None:
    assert daily()["change"].min() >= -0.91
    reopened = moves().filter(pl.col("days") > 1)
    assert (reopened["close"] / reopened["open"] - 1.0).abs().max() < 0.5
    opens = simulated().with_columns(previous=pl.col("close").shift(1).over("symbol"))
    gapless = opens.join(daily().select("symbol", "date"), on=["symbol", "date"])
    assert (gapless["open"] / gapless["previous"] - 1.0).abs().max() < 1e-4


def test_symbols_list_late_and_are_delisted() -> None:
    lives = simulated().group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
    assert 5 <= (lives["first"] > START).sum() <= 25
    assert 3 <= (lives["last"] < END).sum() <= 12


def test_pegged_coins_do_not_move_and_one_of_them_is_on_no_list() -> None:
    rules = load_manifest().market.universe
    volatility = annual_volatility()
    pegged = {s for s, v in volatility.items() if v < rules.min_annual_volatility}
    excluded = {base for bases in rules.excluded_bases.values() for base in bases}
    bases = dict(simulated().select("symbol", "base").unique().iter_rows())
    assert pegged == {"BINANCE:USDCUSDT", "BINANCE:SIM005USDT"}
    assert {s for s in bases if bases[s] in excluded} == {"BINANCE:USDCUSDT", "BINANCE:WBTCUSDT"}


def test_the_wrapped_coin_is_the_benchmark_again() -> None:
    days = by_day()
    assert np.corrcoef(days[BTC][:-1], days["BINANCE:WBTCUSDT"][:-1])[0, 1] > 0.99


def test_the_liquidity_floor_admits_most_and_not_the_thin_one() -> None:
    floor = load_manifest().market.universe.liquidity_floor
    typical = simulated().group_by("symbol").agg(pl.col("quote_volume").median())
    assert typical.filter(pl.col("quote_volume") < floor)["symbol"].to_list() == ["BINANCE:SIM004USDT"]
    money = simulated().select((pl.col("volume") * pl.col("close") / pl.col("quote_volume")).alias("ratio"))["ratio"]
    assert 0.99 < money.min() <= money.max() < 1.01


def test_returns_share_a_factor_have_fat_tails_and_cluster() -> None:
    days = by_day()
    market = days[BTC].to_numpy()
    others = [c for c in days.columns if c.startswith("BINANCE:SIM") and days[c].null_count() == 0]
    free = [c for c in others if c not in {"BINANCE:SIM003USDT", "BINANCE:SIM005USDT"}]
    correlations = [np.corrcoef(market, days[c])[0, 1] for c in free]
    assert len(free) > 20
    assert 0.3 < np.median(correlations) < 0.9
    excess = ((market - market.mean()) ** 4).mean() / market.var() ** 2 - 3.0
    assert excess > 1.0
    size = np.abs(market)
    assert np.mean([np.corrcoef(size[k:], size[:-k])[0, 1] for k in range(1, 6)]) > 0.12


def test_the_gate_passes_at_every_rebalance_date() -> None:
    dates = grid_dates(date(2021, 9, 12), END)
    assert len(dates) > 80
    for at in dates:
        findings, _ = bars_complete(simulated().filter(pl.col("date") < at), at, CompletenessRules())
        assert [f for f in findings if f.level == "ERROR"] == [], at
