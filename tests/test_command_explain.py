import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from sleevegraph.fate import percent, signed
from tests.command_homes import (
    BLOCKED,
    CERTIFIED,
    KEYS,
    fail,
    finished_home,
    market,
    own_copy,
    refused,
    simulated,
    sleevegraph,
    store_of,
)

META, SLEEVE = "meta_benchmark", "binance_spot_rating_all_short"
DAY = date.fromisoformat(CERTIFIED)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_home(tmp_path_factory)[0]


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return own_copy(tmp_path_factory, tmp_path / "home")


def explained(home: Path, symbol: str, on: str = CERTIFIED) -> list[str]:
    result = sleevegraph("explain", symbol, "--home", home, "--on", on)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def line(lines: list[str], what: str) -> str:
    return next(text.strip().removeprefix(what).strip() for text in lines if text.strip().startswith(what))


def test_the_verdict_on_a_held_symbol_is_what_the_weights_command_says(home: Path) -> None:
    listed = sleevegraph("weights", META, "--home", home, "--on", CERTIFIED, "--format", "json").stdout
    net = next(p["net"] for p in json.loads(listed) if p["symbol"] == "BINANCE:BTCUSDT")
    lines = explained(home, "BTCUSDT")
    assert lines[0] == f"BINANCE:BTCUSDT at {CERTIFIED}"
    assert lines[-1].startswith(f"held: net {percent(net)} of {META} (hrp), ")
    assert f"{SLEEVE} {percent(net)}" in line(lines[lines.index(META) :], "hrp")


def test_every_stage_of_a_held_symbol_is_told(home: Path) -> None:
    lines = explained(home, "BTCUSDT")
    assert line(lines, "bars") == "434 from 2021-01-01 to 2022-03-10, no gaps"
    assert line(lines, "universe") == "eligible"
    rating = store_of(home).lake.read(("technical_ratings",), CERTIFIED).filter(pl.col("symbol") == "BINANCE:BTCUSDT")
    assert f"all {signed(rating['recommend_all'].item())}, " in line(lines, "ratings")
    assert "strong sell" in line(lines, "ratings")
    block = lines[[text.split()[0] for text in lines].index(SLEEVE) :]
    assert line(block, SLEEVE) == "CERTIFIED"
    assert line(block, "candidates").startswith("rank 2, ")
    assert line(block, "winners").startswith("stage 1: rank 1 of cluster ")
    weights = store_of(home).lake.read((SLEEVE, "risk_weights"), CERTIFIED)
    held = weights.filter(symbol="BINANCE:BTCUSDT", profile="hrp", engine="native")
    assert line(block, "risk weights").startswith(f"native: hrp {percent(held['net'].item())}, ")


def test_a_thin_symbol_is_dropped_with_what_was_measured_and_the_threshold(home: Path) -> None:
    bars = market().filter((pl.col("symbol") == "BINANCE:SIM004USDT") & (pl.col("date") < DAY))
    median = bars.sort("date").tail(30)["quote_volume"].median()
    expected = f"liquidity (median 30-day quote volume {median:,.0f} < 1,000,000)"
    lines = explained(home, "SIM004USDT")
    assert lines[-1] == f"dropped at universe: {expected}"
    assert line(lines, "universe") == f"dropped: {expected}"
    assert line(lines, META) == "not held"


@pytest.mark.parametrize(
    ("symbol", "key", "verdict"),
    [
        ("USDCUSDT", CERTIFIED, "dropped at universe: base_stable (USDC is on the list of stable bases)"),
        ("SIM005USDT", CERTIFIED, "dropped at universe: pegged (annual volatility 0.84% < 2.00%)"),
        ("SIM018USDT", CERTIFIED, "dropped at universe: min_days (7 returns in the last 500 days < 252)"),
        ("SIM018USDT", KEYS[0], "dropped at bars: the first bar is of 2022-03-03, none is from before the rebalance"),
    ],
)
def test_every_drop_says_its_rule(home: Path, symbol: str, key: str, verdict: str) -> None:
    assert explained(home, symbol, key)[-1] == verdict


def test_a_vetoed_candidate_is_dropped_at_winners_not_where_the_other_side_refused_it(home: Path) -> None:
    verdict = explained(home, "SIM011USDT")[-1]
    reason = (
        store_of(home).lake.read((SLEEVE, "winners"), CERTIFIED).filter(symbol="BINANCE:SIM011USDT")["reason"].item()
    )
    assert reason.startswith("vetoed: ")
    assert verdict.startswith(f"dropped at winners: {SLEEVE}: {reason}")
    assert "rating_wrong_sign" not in verdict
    assert verdict.endswith("held by benchmark only")


def test_gaps_of_a_symbol_are_told(home: Path) -> None:
    assert line(explained(home, "SIM006USDT"), "bars").endswith("1 gap, the longest 3 days before 2022-03-10")


def test_a_blocked_rebalance_says_why_and_since_when_weights_are_held(home: Path) -> None:
    lines = explained(home, "BTCUSDT", BLOCKED)
    for name in (SLEEVE, META):
        assert line(lines, name).startswith(
            f"HELD since {CERTIFIED} because bars_complete of universe at {BLOCKED} failed"
        )
    assert lines[-1].startswith("held: net ")


def test_a_sleeve_whose_weights_failed_gives_its_winners_nothing(broken: Path) -> None:
    for sleeve in (SLEEVE, "binance_spot_rating_ma_short"):
        fail(broken, (sleeve, "risk_weights"), "weight_sanity", CERTIFIED)
    block = explained(broken, "SIM006USDT")
    assert line(block, SLEEVE).startswith(f"HELD since {KEYS[1]} because weight_sanity of {SLEEVE}/risk_weights")
    assert line(block, "risk weights").startswith("dropped: HELD since")


def test_a_blocked_meta_shows_drifted_weights(broken: Path) -> None:
    fail(broken, (META, "flattened_weights"), "concentration", CERTIFIED)
    lines = explained(broken, "BTCUSDT")
    assert line(lines, META).startswith("blocked: concentration of")
    assert line(lines, META).endswith(f"weights of {KEYS[1]}, drifted")


def test_an_unjudged_partition_is_told_and_the_rest_still_explained(broken: Path) -> None:
    store_of(broken).receipts.path((SLEEVE, "risk_weights"), "weight_sanity", CERTIFIED).unlink()
    store_of(broken).receipts.path((META, "flattened_weights"), "conservation", CERTIFIED).unlink()
    lines = explained(broken, "BTCUSDT")
    assert line(lines, SLEEVE).startswith("without a verdict: weight_sanity")
    assert line(lines, META).startswith("without weights: conservation")
    assert "of meta_ma_benchmark (hrp)" in lines[-1]


def test_a_stage_that_is_not_stored_is_told(broken: Path) -> None:
    store_of(broken).lake.path((SLEEVE, "winners"), CERTIFIED).unlink()
    assert "  winners" in "\n".join(lines := explained(broken, "BTCUSDT"))
    assert any("dropped: not stored for this rebalance" in text for text in lines)


def test_an_unknown_symbol_is_one_line_with_the_nearest_names(home: Path) -> None:
    message = refused("explain", "BTCUSD", "--home", home, "--on", CERTIFIED)
    known = market()["symbol"].n_unique()
    assert message.startswith(
        f"Error: SYMBOL: expected one of the {known} symbols with bars, found 'BTCUSD'; did you mean "
    )
    assert "BINANCE:BTCUSDT" in message
    assert message.count("BINANCE:") <= 3


def test_a_symbol_like_no_other_gets_no_advice(home: Path) -> None:
    assert "did you mean" not in refused("explain", "XQ", "--home", home)


def test_short_lower_case_and_full_names_are_one_symbol(home: Path) -> None:
    assert explained(home, "btcusdt") == explained(home, "BTCUSDT") == explained(home, "BINANCE:BTCUSDT")


def test_simulated_prices_are_called_so(broken: Path) -> None:
    simulated(broken)
    assert "simulated market, not real prices" in sleevegraph("explain", "BTCUSDT", "--home", broken).stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["BTCUSDT", "--on", "2022-03-12"], "nearest are 2022-03-11 and 2022-03-21"),
        (["BTCUSDT", "--on", "2022-03-31"], "universe 2022-03-31: expected one of the 4 stored rebalances"),
        ([], "Missing argument 'SYMBOL'"),
    ],
)
def test_bad_arguments_are_one_line(home: Path, arguments: list[str], expected: str) -> None:
    assert expected in refused("explain", *arguments, "--home", home)


def test_unreadable_bars_are_one_line(broken: Path) -> None:
    store_of(broken).lake.path(("daily_bars",), "2022-01").write_bytes(b"junk")
    assert "daily_bars 2022-01: expected a Parquet file" in refused("explain", "BTCUSDT", "--home", broken)
