import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from sleevegraph.ratings import VOTES, technical_ratings
from sleevegraph.ratings.moving_averages import LENGTHS
from sleevegraph.ratings.oscillators import rsi
from sleevegraph.ratings.trend import directional_index
from sleevegraph.ratings.windows import hold_last, sma_of_known, wilder, window_sum
from tests.walks import plain_ema, still, walk

MA_VOTES = VOTES[:15]


def plain_sign(buy: bool, sell: bool) -> int:
    return int(buy) - int(sell)


def column(rated: pl.DataFrame, name: str, start: int) -> list[int | None]:
    assert rated[name].head(start).is_null().all()
    return rated[name].to_list()[start:]


@pytest.mark.parametrize("n", LENGTHS)
def test_simple_and_exponential_average_votes_follow_their_definition(n: int) -> None:
    bars = walk("A", 300, 11)
    close, rated = bars["close"].to_list(), technical_ratings(bars)
    simple = [sum(close[i - n + 1 : i + 1]) / n for i in range(n - 1, 300)]
    assert column(rated, f"v_sma{n}", n - 1) == [
        plain_sign(c - a > 1e-10, a - c > 1e-10) for c, a in zip(close[n - 1 :], simple, strict=True)
    ]
    exponential = plain_ema(close, n, 2 / (n + 1))[n - 1 :]
    assert column(rated, f"v_ema{n}", n - 1) == [
        plain_sign(c > a, c < a) for c, a in zip(close[n - 1 :], exponential, strict=True)
    ]


def test_rsi_momentum_and_williams_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 12)
    rated = technical_ratings(bars)
    high, low, close = (bars[c].to_list() for c in ("high", "low", "close"))
    change = [b - a for a, b in pairwise(close)]
    gain = plain_ema([max(x, 0) for x in change], 14, 1 / 14)[13:]
    loss = plain_ema([max(-x, 0) for x in change], 14, 1 / 14)[13:]
    strength = [100 * g / (g + d) for g, d in zip(gain, loss, strict=True)]
    assert column(rated, "v_rsi", 15) == [plain_sign(b < 30 and b > a, b > 70 and b < a) for a, b in pairwise(strength)]
    momentum = [close[i] - close[i - 10] for i in range(10, 300)]
    assert column(rated, "v_mom", 11) == [plain_sign(b - a > 1e-10, a - b > 1e-10) for a, b in pairwise(momentum)]
    tops = [max(high[i - 13 : i + 1]) for i in range(13, 300)]
    bottoms = [min(low[i - 13 : i + 1]) for i in range(13, 300)]
    williams = [100 * (c - t) / (t - b) for c, t, b in zip(close[13:], tops, bottoms, strict=True)]
    assert column(rated, "v_wr", 14) == [
        plain_sign(b < -80 and b - a > 1e-10, b > -20 and a - b > 1e-10) for a, b in pairwise(williams)
    ]


def test_commodity_channel_and_macd_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 13)
    rated = technical_ratings(bars)
    close = bars["close"].to_list()
    typical = [(h + lo + c) / 3 for h, lo, c in bars.select("high", "low", "close").rows()]
    cci = []
    for i in range(19, 300):
        window = typical[i - 19 : i + 1]
        mean = sum(window) / 20
        cci.append((typical[i] - mean) / (0.015 * sum(abs(x - mean) for x in window) / 20))
    assert column(rated, "v_cci", 20) == [plain_sign(b < -100 and b > a, b > 100 and b < a) for a, b in pairwise(cci)]
    macd = [a - b for a, b in zip(plain_ema(close, 12, 2 / 13), plain_ema(close, 26, 2 / 27), strict=True)][25:]
    signal = plain_ema(macd, 9, 2 / 10)
    assert column(rated, "v_macd", 33) == [plain_sign(m > s, m < s) for m, s in zip(macd[8:], signal[8:], strict=True)]


def place(source: list[float], high: list[float], low: list[float], n: int) -> list[float]:
    windows = [slice(i - n + 1, i + 1) for i in range(n - 1, len(source))]
    return [100 * (source[w.stop - 1] - min(low[w])) / (max(high[w]) - min(low[w])) for w in windows]


def mean_of(values: list[float], n: int) -> list[float]:
    return [sum(values[i - n + 1 : i + 1]) / n for i in range(n - 1, len(values))]


def test_stochastic_and_stochastic_rsi_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 14)
    rated = technical_ratings(bars)
    high, low, close = (bars[c].to_list() for c in ("high", "low", "close"))
    k = mean_of(place(close, high, low, 8), 3)
    pairs = list(zip(k[2:], mean_of(k, 3), strict=True))[1:]
    assert column(rated, "v_stoch", 12) == [
        plain_sign(max(k, d) < 20 and k - d > 1e-10, min(k, d) > 80 and d - k > 1e-10) for k, d in pairs
    ]
    change = [b - a for a, b in pairwise(close)]
    gain, loss = (plain_ema([max(sign * x, 0) for x in change], 14, 1 / 14)[13:] for sign in (1, -1))
    strength = [100 * g / (g + d) for g, d in zip(gain, loss, strict=True)]
    # The range of the first RSIs has as many values as there are: 2 at the first place that is known.
    head = [
        (strength[i] - min(strength[: i + 1])) / (max(strength[: i + 1]) - min(strength[: i + 1])) * 100
        for i in range(1, 13)
    ]
    k = mean_of(head + place(strength, strength, strength, 14), 3)
    pairs = list(zip(k[2:], mean_of(k, 3), strict=True))[1:]
    trend = plain_ema(close, 50, 2 / 51)[20:]
    assert column(rated, "v_stochrsi", 20) == [
        plain_sign(c < t and max(k, d) < 20 and k - d > 1e-10, c > t and min(k, d) > 80 and d - k > 1e-10)
        for c, t, (k, d) in zip(close[20:], trend, pairs, strict=True)
    ]


def test_adx_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 15)
    high, low, close = (bars[c].to_list() for c in ("high", "low", "close"))
    plus, minus, spread = [0.0], [0.0], []
    for i in range(1, 300):
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        plus.append(up if up - down > 1e-10 and up > 1e-10 else 0.0)
        minus.append(down if down - up > 1e-10 and down > 1e-10 else 0.0)
        spread.append(max(high[i], close[i - 1]) - min(low[i], close[i - 1]))
    average = plain_ema(spread, 14, 1 / 14)[13:]
    plus, minus = (
        [100 * x / a for x, a in zip(plain_ema(dm, 14, 1 / 14)[14:], average, strict=True)] for dm in (plus, minus)
    )
    index = [100 * abs(p - m) / (p + m) for p, m in zip(plus, minus, strict=True)]
    adx = [math.nan, *plain_ema(index, 14, 1 / 14)[13:]]
    assert column(technical_ratings(bars), "v_adx", 27) == [
        plain_sign(b > 20 and b > a and p > m, b > 20 and b > a and p < m)
        for (a, b), p, m in zip(pairwise(adx), plus[13:], minus[13:], strict=True)
    ]


def test_awesome_votes_are_crossings_and_turns_back() -> None:
    bars = walk("A", 300, 16)
    median = [(h + lo) / 2 for h, lo in bars.select("high", "low").rows()]
    ao = [math.nan] + [a - b for a, b in zip(mean_of(median, 5)[29:], mean_of(median, 34), strict=True)]
    assert column(technical_ratings(bars), "v_ao", 34) == [
        plain_sign(c > 0 and (b <= 0 or a > b < c), c < 0 and (b >= 0 or a < b > c))
        for a, b, c in zip(ao, ao[1:], ao[2:], strict=False)
    ]


def test_bull_bear_and_ultimate_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 17)
    rated = technical_ratings(bars)
    high, low, close = (bars[c].to_list() for c in ("high", "low", "close"))
    average = plain_ema(close, 13, 2 / 14)[12:]
    bull, bear = ([x - a for x, a in zip(side[12:], average, strict=True)] for side in (high, low))
    trend = plain_ema(close, 50, 2 / 51)[13:]
    assert column(rated, "v_bbp", 13) == [
        plain_sign(c > t and a < b < 0, c < t and x > y > 0)
        for c, t, (a, b), (x, y) in zip(close[13:], trend, pairwise(bear), pairwise(bull), strict=True)
    ]
    floor = [min(b, c) for b, c in zip(low[1:], close, strict=False)]
    pressure = [c - f for c, f in zip(close[1:], floor, strict=True)]
    spread = [max(h, c) - f for h, c, f in zip(high[1:], close, floor, strict=False)]
    parts = [
        [p / s for p, s in zip(mean_of(pressure, n)[28 - n :], mean_of(spread, n)[28 - n :], strict=True)]
        for n in (7, 14, 28)
    ]
    ultimate = [100 * (4 * a + 2 * b + c) / 7 for a, b, c in zip(*parts, strict=True)]
    assert column(rated, "v_uo", 28) == [plain_sign(u > 70, u < 30) for u in ultimate]


def weighted(values: list[float], n: int) -> list[float]:
    return [np.dot(values[i - n + 1 : i + 1], range(1, n + 1)) / (n * (n + 1) / 2) for i in range(n - 1, len(values))]


def test_hull_and_volume_weighted_votes_follow_their_definition() -> None:
    bars = walk("A", 300, 18)
    rated = technical_ratings(bars)
    close, volume = bars["close"].to_list(), bars["volume"].to_list()
    hull = weighted([2 * a - b for a, b in zip(weighted(close, 4)[5:], weighted(close, 9), strict=True)], 3)
    assert column(rated, "v_hma9", 10) == [plain_sign(c > a, c < a) for c, a in zip(close[10:], hull, strict=True)]
    by_volume = [np.average(close[i - 19 : i + 1], weights=volume[i - 19 : i + 1]) for i in range(19, 300)]
    assert column(rated, "v_vwma20", 19) == [
        plain_sign(c > a, c < a) for c, a in zip(close[19:], by_volume, strict=True)
    ]


def test_votes_take_both_sides_on_the_walks_used_above() -> None:
    rated = technical_ratings(
        pl.concat([walk("A", 300, seed).with_columns(symbol=pl.lit(str(seed))) for seed in range(11, 19)])
    )
    for vote in set(VOTES) - {"v_ichimoku"}:
        assert {-1, 1} <= set(rated[vote].drop_nulls()), vote


def test_a_long_rise_is_bought_by_every_average_except_ichimoku() -> None:
    price = pl.lit(1.01).pow(pl.int_range(250))
    rise = walk("UP", 250, 3).with_columns(price.alias(c) for c in ("open", "high", "low", "close"))
    last = technical_ratings(rise).row(-1, named=True)
    assert [last[vote] for vote in MA_VOTES] == [1] * 14 + [0]
    assert last["recommend_ma"] == pytest.approx(14 / 15)


def test_ichimoku_is_counted_from_the_52nd_bar_and_never_takes_a_side() -> None:
    assert technical_ratings(walk("A", 60, 4))["v_ichimoku"].to_list() == [None] * 51 + [0] * 9


def test_a_still_market_has_unknown_ranges_and_no_opinion() -> None:
    price = np.full((120, 1), 0.21)
    assert (window_sum(price, 5) / 5)[-1, 0] != 0.21  # a plain mean would make an opinion out of rounding
    last = technical_ratings(still(120, 0.21)).row(-1, named=True)
    unknown = {vote for vote in VOTES if last[vote] is None}
    assert unknown == {"v_sma200", "v_ema200", "v_stoch", "v_cci", "v_adx", "v_stochrsi", "v_wr", "v_uo"}
    assert {last[vote] for vote in set(VOTES) - unknown} == {0}


def then(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    later = second.with_columns(pl.col("date") + pl.duration(days=first.height), symbol=pl.lit(first["symbol"][0]))
    return pl.concat([first, later])


def test_a_still_market_that_rises_crosses_zero_on_that_bar() -> None:
    rated = technical_ratings(then(still(60, 0.21), still(10, 0.9)))
    assert rated["v_ao"].to_list()[34:62] == [0] * 26 + [1, 0]


def test_a_market_that_goes_still_keeps_its_last_stochastic_and_loses_williams() -> None:
    rated = technical_ratings(then(walk("A", 60, 1), still(30, 0.21)))
    assert rated["v_stoch"].null_count() == 12
    assert rated["v_wr"].to_list()[-10:] == [None] * 10
    assert rated["v_ao"].to_list()[-10:] == [0] * 10


def test_a_range_without_direction_has_a_known_adx_of_zero() -> None:
    swings = still(60, 100.0).with_columns(high=101.0, low=99.0, close=100.0 + (pl.int_range(60) % 2) / 2)
    columns = (swings[name].to_numpy().reshape(-1, 1) for name in ("high", "low", "close"))
    adx, plus, minus = directional_index(*columns)
    assert [adx[-1, 0], plus[-1, 0], minus[-1, 0]] == [0.0, 0.0, 0.0]
    assert column(technical_ratings(swings), "v_adx", 27) == [0] * 33


@pytest.mark.parametrize("growth", [1.0, 1.02])
def test_rsi_is_100_where_nothing_was_lost(growth: float) -> None:
    close = (growth ** np.arange(40.0)).reshape(-1, 1)
    assert set(rsi(close, 14)[14:, 0]) == {100.0}


def test_sums_of_known_values_skip_the_unknown() -> None:
    values = np.array([[np.nan], [1.0], [np.nan], [2.0], [3.0], [np.nan], [7.0]])
    np.testing.assert_array_equal(sma_of_known(values, 3)[:, 0], [np.nan] * 4 + [2.0, 2.0, 4.0])
    np.testing.assert_array_equal(hold_last(values)[:, 0], [np.nan, 1.0, 1.0, 2.0, 3.0, 3.0, 7.0])
    np.testing.assert_array_equal(window_sum(values, 2)[:, 0], [np.nan] * 4 + [5.0, np.nan, np.nan])


@pytest.mark.parametrize("n", [2, 3, 7, 20, 34, 64, 199, 200])
def test_window_sums_and_wilder_seeds_follow_their_definition(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(230, 2))
    values[:6, 1] = np.nan
    seeded = plain_ema(values[6:, 1].tolist(), n, 1 / n)
    np.testing.assert_allclose(window_sum(values, n)[229], values[230 - n :].sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(wilder(values, n)[:, 1], [math.nan] * 6 + seeded, atol=1e-12)
