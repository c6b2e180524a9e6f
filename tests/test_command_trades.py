"""`sleevegraph trades` on a home of four rebalances, the last of which is blocked."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.binance.source import EXCHANGE_INFO
from sleevegraph.market_data.exchange_info import SCHEMA as INFO_SCHEMA
from sleevegraph.trading.trade_list import SCHEMA
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

META = "meta_crypto_only"
FLAT = (META, "flattened_weights")
SLEEVES = ("binance_spot_rating_all_long", "binance_spot_rating_all_short")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_home(tmp_path_factory)[0]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return own_copy(tmp_path_factory, tmp_path / "home")


def trades(home: Path, *options: object) -> dict[str, Any]:
    result = sleevegraph("trades", META, "--home", home, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def weights(home: Path, *options: object) -> dict[str, float]:
    result = sleevegraph("weights", META, "--home", home, "--format", "json", *options)
    return {row["symbol"]: row["net"] for row in json.loads(result.stdout) if row["net"]}


def price(symbol: str, at: str = CERTIFIED) -> float:
    eve = date.fromisoformat(at) - timedelta(days=1)
    return float(market().filter((pl.col("symbol") == symbol) & (pl.col("date") == eve))["close"].item())


def test_the_target_is_what_weights_prints(home: Path) -> None:
    for options in (["--on", CERTIFIED], ["--on", KEYS[1], "--risk-profile", "benchmark"]):
        found = {row["symbol"]: row["target_weight"] for row in trades(home, *options)["trades"]}
        expected = weights(home, *options)
        assert {symbol: weight for symbol, weight in found.items() if weight} == expected


def test_without_holdings_it_is_the_stored_list_at_another_equity(home: Path) -> None:
    stored = (
        store_of(home).lake.read((META, "trade_list"), CERTIFIED).filter(pl.col("profile") == "hrp").drop("profile")
    )
    same = trades(home, "--on", CERTIFIED)
    assert [row["trade_quantity"] for row in same["trades"]] == [
        f"{q:f}".rstrip("0").rstrip(".") for q in stored["trade_quantity"]
    ]
    assert same["holdings"] == f"weights of {KEYS[1]}, drifted"
    doubled = trades(home, "--on", CERTIFIED, "--equity", 200_000)
    assert doubled["totals"]["turnover"] == pytest.approx(same["totals"]["turnover"], abs=1e-4)
    assert doubled["totals"]["cost"] == pytest.approx(2 * same["totals"]["cost"], rel=1e-3)


def test_real_holdings_and_trades_make_the_target(home: Path, tmp_path: Path) -> None:
    expected = weights(home, "--on", CERTIFIED)
    kept, unwanted = min(expected), next(s for s in sorted(set(market()["symbol"])) if s not in expected)
    file = tmp_path / "holdings.csv"
    file.write_text(f"symbol,quantity\n{kept.partition(':')[2].lower()},12.345678901\n{unwanted},-7.5\n")
    found = trades(home, "--on", CERTIFIED, "--equity", 50_000, "--holdings", file)
    assert found["holdings"] == str(file)
    held = {kept: 12.345678901, unwanted: -7.5}
    for symbol in {*expected, *held}:
        rows = [row for row in found["trades"] if row["symbol"] == symbol]
        after = held.get(symbol, 0.0) + fsum(float(row["trade_quantity"]) for row in rows)
        assert after == pytest.approx(expected.get(symbol, 0.0) * 50_000 / price(symbol), rel=1e-9, abs=2e-8)
    assert {row["route"] for row in found["trades"] if row["symbol"] == unwanted} == {"margin"}


def test_equity_in_the_holdings_is_the_option(home: Path, tmp_path: Path) -> None:
    file, plain = tmp_path / "holdings.csv", tmp_path / "plain.csv"
    file.write_text("symbol,quantity\nequity,84213.50\nBTCUSDT,0.25\n")
    plain.write_text("symbol,quantity\nBTCUSDT,0.25\n")
    found = trades(home, "--on", CERTIFIED, "--holdings", file)
    assert found["totals"]["equity"] == 84213.5
    assert found == trades(home, "--on", CERTIFIED, "--holdings", file, "--equity", "84213.5")
    with_option = trades(home, "--on", CERTIFIED, "--holdings", plain, "--equity", "84213.5")
    assert found["trades"] == with_option["trades"]


def test_holdings_of_many_times_the_equity_are_told_of(home: Path, tmp_path: Path) -> None:
    file, at = tmp_path / "holdings.csv", ("--on", CERTIFIED, "--holdings", tmp_path / "holdings.csv", "--equity", 1000)
    value = 100 * price("BINANCE:BTCUSDT")
    file.write_text("symbol,quantity\nBTCUSDT,100\n")
    expected = (
        f"holdings of {value:,.2f} USDT are {value / 1000:,.1f} times the equity of 1,000.00 USDT: "
        "check EQUITY or --equity, and the quantities"
    )
    assert expected in trades(home, *at)["notes"]
    assert expected in sleevegraph("trades", META, "--home", home, *at).stderr
    for times, told in ((2.99, False), (3.01, True)):
        file.write_text(f"symbol,quantity\nBTCUSDT,{times * 1000 / price('BINANCE:BTCUSDT'):.9f}\n")
        assert any("times the equity" in note for note in trades(home, *at)["notes"]) == told


def test_csv_and_json_are_clean_and_say_the_same(home: Path) -> None:
    result = sleevegraph("trades", META, "--home", home, "--on", CERTIFIED, "--format", "csv")
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert list(rows[0]) == SCHEMA.names()
    listed = trades(home, "--on", CERTIFIED)["trades"]
    for row, other in zip(rows, listed, strict=True):
        assert (row["symbol"], row["trade_quantity"]) == (other["symbol"], other["trade_quantity"])
        assert float(row["notional"]) == other["notional"]
        assert row["flags"].split(";") == other["flags"]
        assert (row["quote"], float(row["rate"]), row["currency"]) == ("USDT", 1.0, "USDT")
    assert trades(home, "--on", CERTIFIED)["currency"] == "USDT"
    assert f"no filters of the exchange are stored up to {CERTIFIED}" in result.stderr
    assert "assumed" not in result.stdout.splitlines()[0]


def test_the_table_has_every_trade_and_its_sums(home: Path) -> None:
    result = sleevegraph("trades", META, "--home", home, "--on", CERTIFIED)
    found = trades(home, "--on", CERTIFIED)
    assert f"{META} at {CERTIFIED}, hrp, equity 100,000.00 USDT" in result.stdout
    assert f"{found['totals']['trades']} trades: bought {found['totals']['bought']:,.2f}" in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("│ BINANCE:")]
    assert len(lines) == len([row for row in found["trades"] if row["status"] != "keep"])
    assert "untradable: none" in result.stdout


def test_a_rebalance_whose_bars_are_refused_is_reduce_only(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "holdings.csv"
    symbol = "BINANCE:BTCUSDT"
    file.write_text(f"symbol,quantity\n{symbol},2\n")
    found = trades(home, "--on", BLOCKED, "--equity", 100_000, "--holdings", file)
    assert found["reduce_only"].startswith(f"bars_complete of universe at {BLOCKED} failed")
    for row in found["trades"]:
        held, after = float(row["holding_quantity"]), float(row["resulting_quantity"])
        assert 0 <= after * held <= held * held
        assert row["symbol"] == symbol or row["reason"] == "reduce_only"
    result = sleevegraph("trades", META, "--home", home, "--on", BLOCKED)
    assert f"reduce-only, nothing is opened or added to: bars_complete of universe at {BLOCKED} failed" in result.stderr
    stored = store_of(home).lake.read((META, "trade_list"), BLOCKED)
    assert (stored["resulting_quantity"].abs() <= stored["holding_quantity"].abs()).all()
    receipt = store_of(home).receipts.read((META, "trade_list"), "trade_list_reconciles", BLOCKED)
    assert receipt is not None
    assert receipt.passed


def test_refused_weights_leave_those_before_as_holdings_and_target(own: Path) -> None:
    fail(own, FLAT, "concentration", CERTIFIED, "ERROR CONCENTRATION_BLOCK X: planted")
    found = trades(own, "--on", CERTIFIED)
    assert (found["weights_of"], found["totals"]["trades"]) == (KEYS[1], 0)
    assert "concentration" in found["reduce_only"]
    assert {row["symbol"]: row["target_weight"] for row in found["trades"]} == weights(own, "--on", CERTIFIED)
    result = sleevegraph("trades", META, "--home", own, "--on", CERTIFIED)
    assert f"the target is the weights of {KEYS[1]}, drifted" in result.stderr


def test_a_sleeve_that_is_held_over_is_told_of(own: Path) -> None:
    sleeve = "binance_spot_rating_all_long"
    assert "HELD" not in sleevegraph("trades", META, "--home", own, "--on", CERTIFIED).stderr
    fail(own, (sleeve, "risk_weights"), "weight_sanity", CERTIFIED)
    result = sleevegraph("trades", META, "--home", own, "--on", CERTIFIED, "--format", "csv")
    (line,) = (line for line in result.stderr.splitlines() if "HELD" in line)
    assert line.startswith(f"{sleeve}: HELD since ")
    assert "weight_sanity" in line
    assert "HELD" not in result.stdout


def test_a_sleeve_that_a_gate_refuses_makes_the_whole_list_reduce_only(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "holdings.csv"
    wanted = weights(own, "--on", CERTIFIED)
    more, turned = sorted(wanted)[:2]
    tenth = {symbol: f"{wanted[symbol] * 5_000 / price(symbol):.6f}" for symbol in (more, turned)}
    back = tenth[turned].removeprefix("-") if tenth[turned].startswith("-") else f"-{tenth[turned]}"
    file.write_text(f"symbol,quantity\n{more},{tenth[more]}\n{turned},{back}\nEQUITY,50000\n")
    options = ("--on", CERTIFIED, "--holdings", file)
    before = trades(own, *options)
    assert before["reduce_only"] is None
    assert [row["symbol"] for row in before["trades"] if row["trade_quantity"] != "0"][:3] == [more, turned, turned]
    assert sum(row["holding_quantity"] == "0" and row["trade_quantity"] != "0" for row in before["trades"]) > 5

    fail(own, (SLEEVES[0], "risk_weights"), "weight_sanity", CERTIFIED, "ERROR PLANTED: planted")
    first = f"weight_sanity of {SLEEVES[0]}/risk_weights at {CERTIFIED} failed: ERROR PLANTED: planted"
    found = trades(own, *options)
    assert found["reduce_only"] == first
    moved = {row["symbol"]: float(row["trade_quantity"]) for row in found["trades"] if row["trade_quantity"] != "0"}
    assert moved == {turned: float(tenth[turned])}  # what is held on the other side is closed, and no further
    result = sleevegraph("trades", META, "--home", own, *options)
    line = f"reduce-only, nothing is opened or added to: {first}"
    assert line in result.stdout
    assert line in result.stderr

    fail(own, (SLEEVES[1], "solver_cells"), "solver_failure_rate", CERTIFIED)
    fail(own, (SLEEVES[1], "risk_weights"), "weight_sanity", CERTIFIED)  # the consequence is no refusal of its own
    assert trades(own, *options)["reduce_only"] == f"{first} (the first of 2 refusals)"


def test_filters_of_the_rebalance_date_itself_are_used_and_later_ones_are_not(own: Path) -> None:
    tickers = sorted(symbol.partition(":")[2] for symbol in set(market()["symbol"]))
    for key, step in ((CERTIFIED, "0.5"), (KEYS[3], "8")):
        rows = [{"symbol": t, "status": "TRADING", "step_size": step, "min_notional": "5"} for t in tickers]
        frame = pl.DataFrame(rows, schema=INFO_SCHEMA).with_columns(as_of=datetime.now(UTC))
        store_of(own).lake.write(EXCHANGE_INFO, key, frame)
    found = trades(own, "--on", CERTIFIED)
    assert found["filters_of"] == CERTIFIED
    assert {row["step"] for row in found["trades"]} == {"0.5"}
    assert all(float(row["trade_quantity"]) % 0.5 == 0 for row in found["trades"])
    assert found["totals"]["assumed"] == 0


def test_simulated_prices_are_called_so(own: Path) -> None:
    simulated(own)
    result = sleevegraph("trades", META, "--home", own, "--on", CERTIFIED)
    assert "(simulated market, not real prices)" in result.stdout
    assert "simulated market, not real prices" in result.stderr


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", ["--equity", 1000], "holdings.csv: line 1: symbol: expected one column of that name"),
        ("symbol,quantity\nDOGEUSD,1\n", ["--equity", 1000], "holdings.csv: line 2: symbol: expected one of the 22"),
        ("symbol,quantity\nBTCUSDT,nan\n", ["--equity", 1000], "holdings.csv: line 2: quantity: expected a number"),
        ("symbol,quantity\nBTCUSDT,1\n", ["--equity", -5], "--equity: expected a positive, finite amount, found -5;"),
        ("symbol,quantity\nBTCUSDT,1\n", ["--equity", 0], "--equity: expected a positive, finite amount, found 0;"),
        (
            "symbol,quantity\nBTCUSDT,1\n",
            ["--equity", "nan"],
            "--equity: expected a positive, finite amount, found nan",
        ),
        (
            "symbol,quantity\nEQUITY,-5\n",
            [],
            "holdings.csv: line 2: quantity: expected a positive, finite amount of equity such as 84213.50, found '-5'",
        ),
        (
            "symbol,quantity\nBTCUSDT,1\nEQUITY,60000\n",
            ["--equity", 50_000],
            "holdings.csv: line 3: quantity: expected the equity of --equity, 50000, found 60000; leave one of them out",
        ),
        ("symbol,quantity,equity\nBTCUSDT,1,5\n", ["--equity", 5], "holdings.csv: line 1: expected no column beside"),
        ("symbol,quantity\nBTCUSDT,1\n", ["--equity", "much"], "'much' is not a valid float"),
        ("symbol,quantity\nBTCUSDT,1\n", [], "--equity: expected the equity that the holdings are part of, found none"),
    ],
)
def test_bad_holdings_are_one_line(home: Path, tmp_path: Path, text: str, options: list[object], expected: str) -> None:
    file = tmp_path / "holdings.csv"
    file.write_text(text)
    assert expected in refused("trades", META, "--home", home, "--on", CERTIFIED, "--holdings", file, *options)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["meta_x"], "META: expected one of meta_benchmark"),
        ([META, "--on", "2022-03-12"], "nearest are 2022-03-11 and 2022-03-21"),
        ([META, "--equity", "1e30"], "equity: expected quantities below 1e20"),
        ([META, "--holdings", "no_such_file.csv", "--equity", "1"], "'no_such_file.csv' does not exist"),
        ([META, "--short-policy", "drop"], "No such option '--short-policy'"),
    ],
)
def test_bad_arguments_are_one_line(home: Path, arguments: list[str], expected: str) -> None:
    assert expected in refused("trades", *arguments, "--home", home)
