"""The same bars give the same bytes, however a range is cut, and whatever comes after a rebalance."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import polars as pl
import pytest

from profiles.load import load_manifest
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.ledgers import advance, open_ledgers
from sleevegraph.manifest import RISK_PROFILES, LedgerRules
from sleevegraph.panel import Panel
from sleevegraph.track_record import earn, market_window, opening
from sleevegraph.universe import universe
from tests.homes import KEYS, LONG, SHORT, TemporaryHome, made_home, remove_homes, small_definitions, small_market
from tests.markets import RECORDED_NOT_CRYPTO, recorded_bars, recorded_panel
from tests.shared import needs_shared

LUNA_KEYS = ("2022-05-10", "2022-05-20", "2022-05-30", "2022-06-09")
"""Rebalances over the fall of LUNA and its ticker's reuse on 2022-05-31."""

PRICES = ("open", "high", "low", "close")
AMOUNTS = ("volume", "quote_volume")
FREE = LedgerRules(slippage=0.0, commission=0.0, borrow=0.0)

Noise = Callable[[pl.DataFrame], pl.DataFrame]


def uniform(rows: int, low: float, high: float, seed: int) -> pl.Series:
    return pl.Series(np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high), rows)))


def any_market(late: pl.DataFrame) -> pl.DataFrame:
    """Prices and volumes of nobody, in order."""
    opened, close, up, down, amount = (uniform(late.height, 1e-3, 1e3, seed) for seed in range(5))
    high, low = pl.max_horizontal("open", "close") * (1 + up), pl.min_horizontal("open", "close") / (1 + down)
    return late.with_columns(open=opened, close=close, volume=amount, quote_volume=amount * 1e3).with_columns(
        high=high, low=low
    )


def a_thousand_times(late: pl.DataFrame) -> pl.DataFrame:
    return late.with_columns(pl.col(*PRICES) * 1e3)


def out_of_order(late: pl.DataFrame) -> pl.DataFrame:
    """Lows above highs, days missing, volumes gone."""
    return late.with_columns(high=pl.col("low") / 2, volume=pl.lit(0.0)).filter(pl.int_range(pl.len()) % 7 > 0)


def other_symbols(late: pl.DataFrame) -> pl.DataFrame:
    """Every second symbol ends, and as many are listed that sort before all others."""
    rank = pl.col("symbol").rank("dense") % 2 == 0
    base = pl.lit("AAA") + pl.col("base")
    renamed = late.filter(rank).with_columns(symbol=pl.lit("BINANCE:") + base + pl.col("quote"), base=base)
    return pl.concat([late.filter(~rank), renamed])


def with_noise(bars: pl.DataFrame, at: str, noise: Noise) -> pl.DataFrame:
    """The bars before a date as they are, and nonsense from that date on."""
    late = pl.col("date") >= pl.lit(at).str.to_date()
    return pl.concat([bars.filter(~late), noise(bars.filter(late))]).sort("symbol", "date")


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def test_a_range_run_again_gives_the_same_bytes(home: TemporaryHome) -> None:
    before = home.hashes(bars=True)
    assert home.ingest(small_market()).success
    assert home.run(*KEYS).success
    assert differences(home.hashes(bars=True), before) == []
    assert len(before) == len(KEYS) * 32 + 15, "32 grid assets and 15 months of bars"


def test_one_run_per_partition_gives_the_bytes_of_the_range_run(
    home: TemporaryHome, new_home: Callable[[], TemporaryHome]
) -> None:
    singles = new_home()
    singles.ingest(small_market())
    for key in KEYS[:2]:
        assert singles.run_one(key).success
    assert differences(singles.hashes(), home.hashes(upto=KEYS[1])) == []


def test_a_range_cut_in_two_gives_the_bytes_of_the_whole(
    home: TemporaryHome, new_home: Callable[[], TemporaryHome]
) -> None:
    halves = new_home()
    halves.ingest(small_market().filter(pl.col("date") < date(2022, 2, 19)))
    assert halves.run(*KEYS[:2]).success
    halves.ingest(small_market())
    assert halves.run(*KEYS[2:]).success
    assert differences(halves.hashes(bars=True), home.hashes(bars=True)) == []


@pytest.mark.parametrize(
    ("at", "noise"),
    [(KEYS[0], any_market), (KEYS[1], out_of_order), (KEYS[2], other_symbols)],
)
def test_nothing_at_or_before_a_rebalance_depends_on_a_bar_at_or_after_it(
    home: TemporaryHome, new_home: Callable[[], TemporaryHome], at: str, noise: Noise
) -> None:
    other = new_home()
    bars = with_noise(small_market(), at, noise)
    assert other.ingest(bars).success
    # The whole range in one run, so that the partitions up to `at` are made beside those that see the noise.
    assert other.run(*KEYS).success
    assert differences(other.hashes(upto=at), home.hashes(upto=at)) == []
    assert other.store.lake.known_bars().height == bars.height
    if at != KEYS[-1]:
        after = KEYS[KEYS.index(at) + 1]
        assert other.read(("universe",), after).rows() != home.read(("universe",), after).rows(), (
            "the noise was not seen"
        )


@pytest.fixture(scope="module")
def recorded() -> Iterator[TemporaryHome]:
    """A home, to be read only, with four rebalances on recorded bars."""
    made = made_home(small_definitions())
    assert made.ingest(recorded_bars()).success
    assert made.run(*LUNA_KEYS).success
    yield made
    remove_homes([made])


@needs_shared
def test_recorded_bars_run_one_by_one_and_then_again_give_the_same_bytes(
    recorded: TemporaryHome, new_home: Callable[[], TemporaryHome]
) -> None:
    other = new_home()
    other.ingest(recorded_bars())
    assert other.run_one(LUNA_KEYS[0]).success
    assert differences(other.hashes(), recorded.hashes(upto=LUNA_KEYS[0])) == []
    assert other.run(*LUNA_KEYS).success
    assert differences(other.hashes(bars=True), recorded.hashes(bars=True)) == []


@needs_shared
@pytest.mark.parametrize(
    ("at", "noise"), [(LUNA_KEYS[0], a_thousand_times), (LUNA_KEYS[1], any_market), (LUNA_KEYS[2], out_of_order)]
)
def test_no_recorded_rebalance_looks_ahead(
    recorded: TemporaryHome, new_home: Callable[[], TemporaryHome], at: str, noise: Noise
) -> None:
    other = new_home()
    # What comes long after cannot matter more than what comes next, and takes longer to store.
    known = recorded_bars().filter(pl.col("date") < date(2022, 7, 1))
    assert other.ingest(with_noise(known, at, noise)).success
    assert other.run(*LUNA_KEYS[: LUNA_KEYS.index(at) + 2]).success
    assert differences(other.hashes(upto=at), recorded.hashes(upto=at)) == []


def last_and_next_bar(panel: Panel, symbol: str, reopened: date) -> tuple[date, date]:
    closes = panel.close[:, panel.symbols.index(symbol)]
    traded = panel.dates[np.isfinite(closes)]
    last = traded[traded < np.datetime64(reopened)].max()
    return last.item(), traded[traded >= np.datetime64(reopened)].min().item()


@needs_shared
@pytest.mark.parametrize("weight", [0.5, -0.5])
@pytest.mark.parametrize(
    ("base", "reopened"),
    [
        ("LUNA", date(2022, 5, 31)),
        ("SUN", date(2021, 6, 18)),
        ("VIDT", date(2022, 11, 9)),
        ("BNX", date(2023, 2, 22)),
        ("QUICK", date(2023, 7, 21)),
    ],
)
def test_a_reused_ticker_or_a_redenomination_earns_nobody_a_return(base: str, reopened: date, weight: float) -> None:
    symbol, panel = f"BINANCE:{base}USDT", recorded_panel()
    last, first_again = last_and_next_bar(panel, symbol, reopened)
    assert first_again == reopened
    assert (reopened - last).days > 1
    first, closes = last - timedelta(days=4), panel.close[:, panel.symbols.index(symbol)]
    window = partial(market_window, panel.before(reopened + timedelta(days=60)))
    rows, held = earn(opening(), {symbol: weight}, window(first, STEP_DAYS), FREE)
    for step in (1, 2, 3):
        later, held = earn(held, None, window(first + timedelta(days=step * STEP_DAYS), STEP_DAYS), FREE)
        rows = pl.concat([rows, later])
    assert rows["date"][-1] > reopened
    assert set(rows.filter(pl.col("date") > last)["ret"]) == {0.0}
    bought, sold = (
        closes[np.searchsorted(panel.dates, np.datetime64(day))] for day in (first - timedelta(days=1), last)
    )
    # A short that doubles is closed at its whole allocation; none of these does before its gap.
    assert held.equity == pytest.approx(1.0 + weight * (sold / bought - 1.0), abs=1e-12)
    assert held.positions == {}


@needs_shared
def test_a_symbol_delisted_inside_a_window_is_closed_at_its_last_close(recorded: TemporaryHome) -> None:
    """UST ends on 2022-05-13; nobody may hold it, so the ledger is asked directly, through every risk profile."""
    panel = recorded_panel().before(date(2022, 6, 9))
    decision = {profile: {"BINANCE:USTUSDT": -1.0} for profile in RISK_PROFILES}
    ledgers = open_ledgers(date(2022, 5, 10))
    rows, after = advance(ledgers, decision, "", lambda _: market_window(panel, date(2022, 5, 10), STEP_DAYS), FREE)
    closes = dict(
        recorded.store.lake.known_bars().filter(pl.col("base") == "UST").select("date", "close").tail(5).iter_rows()
    )
    assert max(closes) == date(2022, 5, 13)
    expected = 1.0 - (closes[date(2022, 5, 13)] / closes[date(2022, 5, 9)] - 1.0)
    for profile in RISK_PROFILES:
        assert after.holdings[profile].equity == pytest.approx(expected, abs=1e-12)
        assert after.holdings[profile].positions == {}
    assert set(rows.filter(pl.col("date") > date(2022, 5, 13))["ret"]) == {0.0}


@needs_shared
def test_the_return_of_lunas_ticker_is_in_no_ones_record(recorded: TemporaryHome) -> None:
    for key in LUNA_KEYS[1:3]:
        assert not recorded.read(("universe",), key).filter(pl.col("base") == "LUNA")["eligible"].item()
        for sleeve in (LONG, SHORT):
            assert "BINANCE:LUNAUSDT" not in recorded.read((sleeve, "risk_weights"), key)["symbol"]
    for sleeve in (LONG, SHORT):
        daily = recorded.read((sleeve, "track_record"), LUNA_KEYS[3])
        assert date(2022, 5, 31) in daily["date"]
        assert daily["ret"].abs().max() < 0.5, "on 2022-05-31 LUNA stood at 177,400 times its close before"


@needs_shared
def test_pegged_bases_are_never_candidates(recorded: TemporaryHome) -> None:
    pegged = {base for bases in RECORDED_NOT_CRYPTO.values() for base in bases}
    for key in LUNA_KEYS:
        for sleeve in (LONG, SHORT):
            asked = (
                recorded.read((sleeve, "candidates"), key)["symbol"]
                .str.strip_prefix("BINANCE:")
                .str.strip_suffix("USDT")
            )
            assert asked.len() > 100
            assert not pegged & set(asked)
    rules = load_manifest().market.universe
    for at in grid_dates(date(2022, 1, 1), date(2023, 12, 21))[::9]:
        judged = universe(recorded_panel().before(at), at, rules)
        assert judged["eligible"].sum() > 100
        assert not pegged & set(judged.filter("eligible")["base"])
