import json
import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sleevegraph.errors import BarsError
from sleevegraph.ratings import VOTES, technical_ratings
from sleevegraph.ratings import moving_averages as averages
from sleevegraph.ratings import oscillators as osc
from sleevegraph.ratings.layout import BLOCK_CELLS
from sleevegraph.ratings.trend import directional_index
from sleevegraph.ratings.windows import ema, sma
from tests.shared import SHARED, needs_shared
from tests.walks import walk

REFERENCE = SHARED / "reference" / "ratings"
MARKETS = (
    "gaps",
    "real_btcusdt_1m",
    "real_ethbtc_5m",
    "real_ibm_1d",
    "real_mirausdt_1m",
    "short_35",
    "walk_600",
    "zero_volume",
)
RATINGS = {"recommend_all": "rec_all", "recommend_ma": "rec_ma", "recommend_other": "rec_other"}


def market() -> pl.DataFrame:
    lengths = {"LONG": 420, "MIDDLE": 260, "NEW": 40, "ONE": 1}
    parts = [walk(symbol, days, seed) for seed, (symbol, days) in enumerate(lengths.items())]
    return pl.concat([*parts, walk("COARSE", 300, 9, tick=2.0)])


def reference(name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    numbers = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64)
    bars = pl.read_csv(REFERENCE / f"{name}.ohlcv.csv", schema_overrides=numbers)
    expected = pl.read_csv(REFERENCE / f"{name}.expected.csv", infer_schema_length=None)
    return bars.rename({"time": "date"}).with_columns(symbol=pl.lit(name)), expected


def assert_as_expected(rated: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert rated["date"].to_list() == expected["time"].to_list()
    wanted = expected.select(pl.col(vote).cast(pl.Int8) for vote in VOTES)
    assert_frame_equal(rated.select(VOTES), wanted)
    wanted = expected.select(pl.col(theirs).cast(pl.Float64).alias(ours) for ours, theirs in RATINGS.items())
    assert_frame_equal(rated.select(list(RATINGS)), wanted, abs_tol=1e-9, rel_tol=0)


# Against the recorded scanner and the reference files


@needs_shared
@pytest.mark.parametrize("name", MARKETS)
def test_every_vote_and_rating_of_every_reference_bar_agrees(name: str) -> None:
    bars, expected = reference(name)
    assert [column for column in expected.columns if column.startswith("v_")] == list(VOTES)
    assert_as_expected(technical_ratings(bars), expected)


@needs_shared
@pytest.mark.parametrize("column", ["v_uo", "recommend_all"])
def test_the_comparison_sees_one_changed_cell(column: str) -> None:
    bars, expected = reference("short_35")
    rated = technical_ratings(bars)
    changed = pl.when(pl.int_range(pl.len()) == 34).then(0.5 if column in RATINGS else 1 - pl.col(column))
    with pytest.raises(AssertionError):
        assert_as_expected(
            rated.with_columns(changed.otherwise(column).cast(rated[column].dtype).alias(column)), expected
        )


@needs_shared
def test_recorded_scanner_rows_agree_on_ratings_and_exposed_votes() -> None:
    exposed = {
        "stochRsi": "v_stochrsi",
        "wr": "v_wr",
        "bbPower": "v_bbp",
        "uo": "v_uo",
        "ichimokuBLine": "v_ichimoku",
        "vwma20": "v_vwma20",
        "hullMa9": "v_hma9",
    }
    cases = json.loads((REFERENCE / "tradingview-closed-bars.json").read_text())["cases"]
    bars = pl.DataFrame(
        [(case["symbol"], kline[0], *map(float, kline[1:6])) for case in cases for kline in case["rawKlines"]],
        schema=["symbol", "date", "open", "high", "low", "close", "volume"],
        orient="row",
    )
    rated = technical_ratings(bars)
    assert len(cases) >= 3
    for case in cases:
        wanted = case["expected"]
        row = rated.filter(symbol=case["symbol"], date=wanted["barOpenTimeMs"]).row(0, named=True)
        assert rated.filter(symbol=case["symbol"])["date"].max() == wanted["barOpenTimeMs"]
        found = [row["recommend_all"], row["recommend_ma"], row["recommend_other"]]
        assert found == pytest.approx(
            [wanted["recommendAll"], wanted["recommendMa"], wanted["recommendOther"]], abs=1e-9
        )
        assert {name: row[exposed[name]] for name in wanted["directVotes"]} == wanted["directVotes"]


@needs_shared
@pytest.mark.parametrize("name", MARKETS)
def test_indicator_values_agree_with_the_reference(name: str) -> None:
    bars, expected = reference(name)
    traded = bars.filter(pl.col("volume") > 0)
    high, low, close, volume = (traded[c].to_numpy().reshape(-1, 1) for c in ("high", "low", "close", "volume"))
    rsi = osc.rsi(close, 14)
    adx, plus, minus = directional_index(high, low, close)
    found = {
        "sma200": sma(close, 200),
        "ema200": ema(close, 200),
        "hma9": averages.hull9(close),
        "vwma20": averages.vwma20(close, volume),
        "rsi": rsi,
        "stoch_k8": osc.stochastic(high, low, close, 8)[0],
        "stoch_d8": osc.stochastic(high, low, close, 8)[1],
        "stochrsi_k": osc.stochastic(rsi, rsi, rsi, 14)[0],
        "stochrsi_d": osc.stochastic(rsi, rsi, rsi, 14)[1],
        "cci_hlc3": osc.cci20((high + low + close) / 3),
        "adx": adx,
        "di_plus": plus,
        "di_minus": minus,
        "wr": osc.williams14(high, low, close),
        "uo": osc.ultimate_oscillator(high, low, close),
    }
    for column, values in found.items():
        wanted = expected[column].cast(pl.Float64).to_numpy()
        np.testing.assert_allclose(values[:, 0], wanted, rtol=1e-9, atol=1e-8, err_msg=column)


# Aggregation


def test_ratings_are_means_of_counted_votes() -> None:
    rated = technical_ratings(market())
    ma, other = (rated.select(pl.mean_horizontal(names)).to_series() for names in (VOTES[:15], VOTES[15:]))
    wanted = pl.DataFrame({"recommend_all": (ma + other) / 2, "recommend_ma": ma, "recommend_other": other})
    one_group = rated["recommend_ma"].is_null() != rated["recommend_other"].is_null()
    wanted = wanted.with_columns(pl.col("recommend_all").fill_null(ma).fill_null(other))
    assert one_group.any()
    assert_frame_equal(rated.select(list(RATINGS)), wanted, abs_tol=1e-15, rel_tol=0)


# What a result may depend on


def test_a_symbol_rated_alone_is_identical_to_the_symbol_in_a_market() -> None:
    bars = market()
    rated = technical_ratings(bars)
    for symbol in bars["symbol"].unique():
        assert_frame_equal(technical_ratings(bars.filter(symbol=symbol)), rated.filter(symbol=symbol), check_exact=True)


def test_a_market_of_several_blocks_rates_every_symbol_alike() -> None:
    one = walk("A", 210, 10)
    names = pl.DataFrame({"symbol": [f"S{i:04d}" for i in range(BLOCK_CELLS // 210 + 40)]})
    rated = technical_ratings(names.join(one.drop("symbol"), how="cross"))
    assert_frame_equal(rated.select("symbol").unique(maintain_order=True), names)
    assert_frame_equal(
        rated.drop("symbol").unique().sort("date"), technical_ratings(one).drop("symbol"), check_exact=True
    )


@pytest.mark.parametrize("days", [20, 53, 199, 300])
def test_later_bars_change_nothing_before_them(days: int) -> None:
    bars, until = market(), date(2022, 1, 1) + timedelta(days=days)
    before = pl.col("date") < until
    rated = technical_ratings(bars)
    assert_frame_equal(technical_ratings(bars.filter(before)), rated.filter(before), check_exact=True)


def test_a_changed_bar_is_seen_from_that_bar_on_in_that_symbol_alone() -> None:
    bars, day = market(), date(2022, 8, 1)
    spike = (pl.col("symbol") == "MIDDLE") & (pl.col("date") == day)
    prices = [pl.when(spike).then(pl.col(c) * 3).otherwise(c).alias(c) for c in ("high", "low", "close")]
    first, second = technical_ratings(bars), technical_ratings(bars.with_columns(prices))
    changed = first.filter(pl.Series((first != second).to_numpy().any(axis=1)))
    assert changed["symbol"].unique().to_list() == ["MIDDLE"]
    assert changed["date"].min() == day


def test_row_order_and_extra_columns_change_nothing() -> None:
    bars = market()
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=5).with_columns(base=pl.lit("x"), n_hours=24)
    rated = technical_ratings(shuffled)
    assert_frame_equal(rated, technical_ratings(bars), check_exact=True)
    assert_frame_equal(rated.select("symbol", "date"), bars.select("symbol", "date").sort("symbol", "date"))


# The frame


@pytest.mark.parametrize("volume", [0.0, None, math.nan])
def test_bars_without_volume_are_dropped_before_anything_is_computed(volume: float | None) -> None:
    bars = walk("A", 120, 6)
    quiet = pl.int_range(pl.len()) % 7 == 3
    silenced = bars.with_columns(
        volume=pl.when(quiet).then(pl.lit(volume, dtype=pl.Float64)).otherwise("volume"),
        close=pl.when(quiet).then(math.nan).otherwise("close"),
    )
    rated = technical_ratings(silenced)
    assert_frame_equal(rated, technical_ratings(bars.filter(~quiet)), check_exact=True)
    assert rated.height == 103


def test_a_symbol_of_one_bar_is_rated_unknown_and_one_without_volume_is_absent() -> None:
    blank = walk("BLANK", 50, 7).with_columns(pl.lit(math.nan).alias(c) for c in ("open", "close", "volume"))
    rated = technical_ratings(pl.concat([walk("ONE", 1, 8), blank]))
    assert rated["symbol"].to_list() == ["ONE"]
    assert rated.drop("symbol", "date").row(0) == (None,) * 29


def test_an_empty_frame_gives_an_empty_frame_of_the_schema() -> None:
    bars = market()
    assert technical_ratings(bars.clear()).schema == technical_ratings(bars).schema
    assert technical_ratings(bars).schema == {
        "symbol": pl.String,
        "date": pl.Date,
        **dict.fromkeys(RATINGS, pl.Float64),
        **dict.fromkeys(VOTES, pl.Int8),
    }


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ms"), pl.Datetime("us", "UTC")])
def test_the_date_keeps_its_type(dtype: pl.DataType) -> None:
    bars = walk("A", 30, 2).with_columns(pl.col("date").cast(dtype))
    assert technical_ratings(bars)["date"].equals(bars["date"])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(BarsError, match=r"add \['volume'\]"):
        technical_ratings(market().drop("volume"))


def test_a_second_bar_of_one_day_is_refused() -> None:
    with pytest.raises(BarsError, match="NEW at 2022-01-03: expected one bar"):
        technical_ratings(pl.concat([market(), walk("NEW", 3, 0).tail(1)]))


@pytest.mark.parametrize(
    ("column", "value"),
    [("close", math.nan), ("high", None), ("low", math.inf), ("volume", -1.0), ("volume", math.inf)],
)
def test_a_traded_bar_without_sound_values_is_refused(column: str, value: float | None) -> None:
    planted = pl.when(pl.int_range(pl.len()) == 4).then(pl.lit(value, dtype=pl.Float64)).otherwise(column)
    with pytest.raises(BarsError, match="A at 2022-01-05: expected finite prices"):
        technical_ratings(walk("A", 9, 0).with_columns(planted.alias(column)))


@pytest.mark.parametrize("column", ["symbol", "date"])
def test_a_bar_without_a_name_or_a_date_is_refused(column: str) -> None:
    bars = walk("A", 9, 0)
    planted = pl.when(pl.int_range(pl.len()) != 4).then(column).alias(column)
    with pytest.raises(BarsError, match="expected a symbol and a date"):
        technical_ratings(bars.with_columns(planted))
