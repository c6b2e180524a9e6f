from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.readiness.cross_check import cross_check
from sleevegraph.readiness.interval_sums import interval_sums
from tests.shared import SHARED, needs_shared

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2022, 3, 1, tzinfo=UTC)
PRICES = ("open", "high", "low", "close")


def hourly(symbols: str = "AB", days: int = 3) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    n = len(symbols) * days * 24
    prices = rng.uniform(1.0, 2.0, (n, 4))
    return pl.DataFrame(
        {
            "symbol": [s for s in symbols for _ in range(days * 24)],
            "open_time": [START + i * HOUR for _ in symbols for i in range(days * 24)],
            "open": prices[:, 1],
            "high": prices.max(axis=1),
            "low": prices.min(axis=1),
            "close": prices[:, 2],
            "volume": rng.uniform(0.0, 1e6, n),
            "quote_volume": rng.uniform(0.0, 1e9, n),
            "trades": rng.integers(0, 10_000, n),
        }
    )


def summed(fine: pl.DataFrame) -> pl.DataFrame:
    """Daily bars by a definition of their own: a plain loop."""
    rows = []
    for symbol in fine["symbol"].unique().sort():
        own = fine.filter(pl.col("symbol") == symbol).sort("open_time").rows(named=True)
        for day in sorted({row["open_time"].date() for row in own}):
            hours = [row for row in own if row["open_time"].date() == day]
            rows.append(
                {
                    "symbol": symbol,
                    "open_time": datetime(day.year, day.month, day.day, tzinfo=UTC),
                    "open": hours[0]["open"],
                    "high": max(h["high"] for h in hours),
                    "low": min(h["low"] for h in hours),
                    "close": hours[-1]["close"],
                    **{name: sum(h[name] for h in hours[::-1]) for name in ("volume", "quote_volume", "trades")},
                }
            )
    return pl.DataFrame(rows)


def planted(bars: pl.DataFrame, field: str, factor: float, day: int = 1, symbol: str = "B") -> pl.DataFrame:
    one = (pl.col("symbol") == symbol) & (pl.col("open_time") == START + day * DAY)
    return bars.with_columns(pl.when(one).then(pl.col(field) * factor).otherwise(field).alias(field))


def test_bars_that_are_made_from_hours_agree_with_them_in_any_order() -> None:
    fine = hourly()
    coarse = summed(fine)
    shuffled = fine.sample(fraction=1.0, shuffle=True, seed=1)
    assert not interval_sums(shuffled, coarse, HOUR, DAY).height


@pytest.mark.parametrize("field", [*PRICES, "volume", "quote_volume", "trades"])
def test_every_field_is_compared(field: str) -> None:
    coarse = summed(hourly())
    found = interval_sums(hourly(), planted(coarse, field, 3), HOUR, DAY)
    value = coarse.filter((pl.col("symbol") == "B") & (pl.col("open_time") == START + DAY))[field].item()
    assert found.drop("fine", "coarse").rows() == [("B", START + DAY, field, 0)]
    assert found["fine"].item() == pytest.approx(value, rel=1e-12)
    assert found["coarse"].item() == pytest.approx(3 * value, rel=1e-12)


@pytest.mark.parametrize(("factor", "found"), [(1 + 1e-10, 0), (1 + 1e-8, 1)])
def test_volumes_may_differ_by_the_rounding_of_their_sum(factor: float, found: int) -> None:
    assert interval_sums(hourly(), planted(summed(hourly()), "volume", factor), HOUR, DAY).height == found


def test_prices_are_equal_or_not() -> None:
    assert interval_sums(hourly(), planted(summed(hourly()), "close", 1 + 1e-15), HOUR, DAY).height == 1


def test_a_day_whose_hours_are_partly_missing_says_so() -> None:
    one = (pl.col("symbol") == "A") & (pl.col("open_time").is_between(START + 5 * HOUR, START + 7 * HOUR))
    found = interval_sums(hourly().filter(~one), summed(hourly()), HOUR, DAY)
    assert set(found["symbol"]) == {"A"}
    assert {"volume", "quote_volume", "trades"} <= set(found["field"])
    assert set(found["fine_missing"]) == {3}


def test_a_day_without_any_hours_is_not_judged_and_hours_without_trades_lack_nothing() -> None:
    coarse = summed(hourly())
    two_days = hourly().filter(pl.col("open_time") < START + 2 * DAY)
    assert not interval_sums(two_days, planted(coarse, "close", 2, day=2), HOUR, DAY).height
    outage = pl.col("open_time").is_between(START + 5 * HOUR, START + 7 * HOUR)
    assert not interval_sums(hourly().filter(~outage), summed(hourly().filter(~outage)), HOUR, DAY).height


def test_what_only_one_side_has_is_not_compared() -> None:
    coarse = planted(summed(hourly()), "quote_volume", 2)
    assert interval_sums(hourly(), coarse, HOUR, DAY).height == 1
    assert not interval_sums(hourly().drop("quote_volume"), coarse, HOUR, DAY).height
    unknown = coarse.with_columns(quote_volume=pl.lit(None, pl.Float64))
    assert not interval_sums(hourly(), unknown, HOUR, DAY).height


@needs_shared
def test_recorded_hours_add_up_to_the_recorded_days() -> None:
    fine = pl.read_parquet(SHARED / "market" / "spot_hourly.parquet")
    daily = pl.read_parquet(SHARED / "market" / "spot_daily.parquet")
    coarse = daily.with_columns(open_time=pl.col("date").cast(pl.Datetime("us")))
    assert not interval_sums(fine, coarse, HOUR, DAY).height
    wrong = coarse.with_columns(
        volume=pl.when(pl.col("symbol") == "BTCUSDT").then(pl.col("volume") * 1.001).otherwise("volume")
    )
    found = interval_sums(fine, wrong, HOUR, DAY)
    assert set(found["symbol"]) == {"BTCUSDT"}
    assert found.height == coarse.filter(pl.col("symbol") == "BTCUSDT").height
    # The exchange's outages and each symbol's first and last day.
    assert found.filter(pl.col("fine_missing") > 0).height == 5


def test_two_sources_that_agree_have_no_difference() -> None:
    archive = summed(hourly())
    assert not cross_check(archive, archive.tail(3).with_columns(host=pl.lit("api.binance.com"))).height


@pytest.mark.parametrize("field", [*PRICES, "volume", "quote_volume", "trades"])
def test_a_value_that_differs_in_its_last_bit_is_found_and_names_its_host(field: str) -> None:
    archive = summed(hourly()).with_columns(pl.col("trades").cast(pl.Int64))
    rest = archive.with_columns(host=pl.lit("data-api.binance.vision"))
    one = (pl.col("symbol") == "A") & (pl.col("open_time") == START + DAY)
    other = pl.col(field) + 1 if field == "trades" else pl.col(field) * (1 + 2.3e-16)
    found = cross_check(archive, rest.with_columns(pl.when(one).then(other).otherwise(field).alias(field)))
    assert found.select("symbol", "open_time", "field", "host").rows() == [
        ("A", START + DAY, field, "data-api.binance.vision")
    ]
    assert found["archive"].item() == float(archive.filter(one)[field].item())
    assert found["archive"].item() != found["rest"].item()


def test_bars_that_only_one_source_has_are_not_compared() -> None:
    archive = summed(hourly())
    rest = planted(archive, "close", 2).with_columns(host=pl.lit("h"))
    assert cross_check(archive, rest).height == 1
    assert not cross_check(archive.filter(pl.col("open_time") != START + DAY), rest).height
    assert cross_check(archive, rest.clear()).columns == ["symbol", "open_time", "field", "archive", "rest", "host"]
