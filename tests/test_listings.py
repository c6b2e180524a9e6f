from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.listings import listing_starts, rate_listings
from sleevegraph.manifest import UniverseRules
from sleevegraph.ratings import technical_ratings
from sleevegraph.universe import universe
from tests.markets import recorded_bars, recorded_panel
from tests.shared import needs_shared

HOLE = float("nan")
RENEWALS = {
    "LUNA": date(2022, 5, 31),
    "QUICK": date(2023, 7, 21),
    "SUN": date(2021, 6, 18),
    "BNX": date(2023, 2, 22),
    "VIDT": date(2022, 11, 9),
}


def starts(*closes: float) -> int:
    return int(listing_starts(np.array(closes)[:, None], 5.0)[0])


@pytest.mark.parametrize(
    ("closes", "start"),
    [
        ((1.0, 2.0, 3.0), 0),
        ((HOLE, 1.0, 2.0), 1),
        ((1.0, HOLE, 2.0), 0),
        ((1.0, HOLE, 6.0), 0),
        ((1.0, HOLE, 6.1), 2),
        ((6.0, HOLE, 1.0), 0),
        ((6.1, HOLE, HOLE, 1.0), 3),
        ((1.0, 100.0, 100.0), 0),
        ((1.0, HOLE, 100.0, HOLE, 1.0, 1.0), 4),
    ],
)
def test_a_listing_begins_where_the_price_unit_changes_across_a_gap(closes: tuple[float, ...], start: int) -> None:
    assert starts(*closes) == start


def test_each_listing_is_rated_as_if_the_other_had_never_been() -> None:
    rng = np.random.default_rng(5)
    close = np.concatenate(
        [1000 * np.exp(np.cumsum(rng.normal(0, 0.03, 300))), np.exp(np.cumsum(rng.normal(0, 0.03, 60)))]
    )
    days = [date(2022, 1, 1) + timedelta(days=i + (20 if i >= 300 else 0)) for i in range(360)]
    bars = pl.DataFrame(
        {
            "symbol": "A",
            "date": days,
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": 1.0,
        }
    )
    both = rate_listings(bars, 5.0)
    alone = pl.concat([technical_ratings(bars.head(300)), technical_ratings(bars.tail(60))])
    assert both.equals(alone)
    assert not both.equals(technical_ratings(bars))


def test_without_a_renewal_ratings_are_those_of_the_full_history() -> None:
    bars = pl.DataFrame(
        {"symbol": "A", "date": [date(2022, 1, 1) + timedelta(days=i) for i in range(80)], "volume": 1.0}
    ).with_columns(pl.Series(name, np.linspace(10, 30, 80)) for name in ("open", "high", "low", "close"))
    gapped = bars.filter(pl.col("date") != date(2022, 2, 1))
    assert rate_listings(gapped, 5.0).equals(technical_ratings(gapped))


@needs_shared
def test_exactly_the_recorded_reuse_and_redenominations_begin_new_listings() -> None:
    panel = recorded_panel()
    found = listing_starts(panel.close, 5.0)
    first = np.isfinite(panel.close).argmax(axis=0)
    renewed = {panel.bases[i]: panel.dates[found[i]].item() for i in np.flatnonzero(found != first)}
    assert renewed == RENEWALS


@needs_shared
@pytest.mark.parametrize("base", ["LUNA", "BNX", "VIDT"])
def test_a_renewed_ticker_needs_its_own_days_of_record(base: str) -> None:
    for days, rule in ((60, "min_days"), (252, "min_days"), (253, None)):
        at = RENEWALS[base] + timedelta(days=days)
        verdict = universe(recorded_panel().before(at), at, UniverseRules(liquidity_floor=0.0))
        assert verdict.row(by_predicate=pl.col("base") == base, named=True)["rule"] == rule


@needs_shared
def test_the_old_unit_reaches_no_rating_of_the_new_one() -> None:
    quick = recorded_bars().filter(pl.col("symbol") == "BINANCE:QUICKUSDT")
    after = quick.filter(pl.col("date") >= RENEWALS["QUICK"])
    rated = rate_listings(quick, 5.0).filter(pl.col("date") >= RENEWALS["QUICK"])
    assert rated.equals(technical_ratings(after))
