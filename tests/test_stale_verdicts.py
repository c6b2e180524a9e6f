"""A verdict holds for exactly what was judged, and for nothing that changed since."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from resources.lake import AssetPath, Status
from resources.receipts import State
from sleevegraph.errors import BarsError
from tests.homes import KEYS, META, SHORT, TemporaryHome, cause, small_market

LAST = KEYS[-1]
CHAIN: tuple[AssetPath, ...] = tuple((SHORT, s) for s in ("candidates", "winners", "synthetic_returns", "risk_weights"))


def state(home: TemporaryHome, path: AssetPath, check: str) -> State:
    return home.store.receipts.state(path, check, LAST)[0]


def with_bar(day: date) -> pl.DataFrame:
    changed = (pl.col("symbol") == "BINANCE:BTCUSDT") & (pl.col("date") == day)
    return small_market().with_columns(close=pl.when(changed).then(pl.col("low")).otherwise("close"))


def test_bars_revised_before_p_make_the_verdict_on_them_stale_and_stop_what_uses_it(home: TemporaryHome) -> None:
    assert state(home, ("universe",), "bars_complete") is State.PASSED
    home.ingest(with_bar(date(2022, 1, 5)))
    assert state(home, ("universe",), "bars_complete") is State.STALE
    result = home.run(LAST, assets=CHAIN)
    assert not result.success
    assert "daily_bars changed after it was judged" in cause(result)


def test_bars_that_come_after_p_leave_the_verdict_alone(home: TemporaryHome) -> None:
    home.ingest(with_bar(date.fromisoformat(LAST)))
    assert state(home, ("universe",), "bars_complete") is State.PASSED


@pytest.mark.parametrize("path", [(SHORT, "risk_weights"), (META, "meta_weights"), (SHORT, "track_record")])
def test_a_book_is_stale_once_what_it_was_made_of_changes(home: TemporaryHome, path: AssetPath) -> None:
    book = (META, "flattened_weights")
    assert state(home, book, "conservation") is State.PASSED
    home.store.lake.write(path, LAST, home.read(path, LAST).head(3))
    assert state(home, book, "conservation") is State.STALE


def test_a_rebalance_before_the_first_bar_takes_no_other_one_down(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    home.ingest(small_market().filter(pl.col("date") >= date(2022, 2, 15)))
    assert home.run("2022-02-09", "2022-02-19").success
    assert home.store.lake.standing(("universe",), "2022-02-09")[0] is Status.BLOCKED
    assert home.store.lake.standing(("universe",), "2022-02-19")[0] is Status.OK


def test_a_range_that_ends_before_a_record_begins_is_refused(home: TemporaryHome) -> None:
    result = home.run("2022-01-20", "2022-01-30")
    assert not result.success
    assert f"expected a range that reaches {LAST}" in cause(result)


def test_the_first_rebalance_of_a_record_can_be_run_again(home: TemporaryHome) -> None:
    before = home.store.lake.digest((SHORT, "track_record"), KEYS[0])
    assert home.run(KEYS[0]).success
    assert home.store.lake.digest((SHORT, "track_record"), KEYS[0]) == before


def test_a_symbol_keeps_its_base_from_one_ingest_to_the_next(home: TemporaryHome) -> None:
    one = small_market().filter(pl.col("symbol") == "BINANCE:BTCUSDT").tail(1)
    digest = home.store.lake.bars_digest(date(2030, 1, 1))
    with pytest.raises(BarsError, match="BTCUSDT: base, quote: expected one pair per symbol"):
        home.store.lake.store_bars(one.with_columns(base=pl.lit("USDC")))
    assert home.store.lake.bars_digest(date(2030, 1, 1)) == digest
