import csv
import json
import subprocess
import sys
from datetime import date, timedelta
from io import StringIO
from itertools import takewhile
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from commands.weights import MAX_COLUMNS, _table, as_csv
from resources.home import PROJECT
from sleevegraph.fate import MINUS
from sleevegraph.physical import POSITIONS_SCHEMA, PhysicalBook
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
SLEEVES = [f"binance_spot_rating_{kind}_{side}" for kind in ("all", "ma") for side in ("long", "short")]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_home(tmp_path_factory)[0]


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return own_copy(tmp_path_factory, tmp_path / "home")


def positions(home: Path, *options: object, meta: str = META) -> list[dict[str, Any]]:
    result = sleevegraph("weights", meta, "--home", home, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def stored(home: Path, key: str, profile: str = "hrp") -> pl.DataFrame:
    frame = pl.read_parquet(home / "data" / "lake" / META / "flattened_weights" / f"{key}.parquet")
    return frame.filter((pl.col("profile") == profile) & ~pl.col("dust") & (pl.col("symbol") != "CASH"))


def test_json_is_the_stored_book_with_the_largest_position_first(home: Path) -> None:
    found = positions(home, "--on", CERTIFIED)
    expected = sorted(stored(home, CERTIFIED).iter_rows(named=True), key=lambda row: (-abs(row["net"]), row["symbol"]))
    assert [(p["symbol"], p["net"], p["gross"]) for p in found] == [
        (row["symbol"], row["net"], row["gross"]) for row in expected
    ]
    assert {tuple(p) for p in found} == {("symbol", "net", "gross", "netted", "contributions")}


def test_contributions_add_up_to_net_and_to_gross_before_netting(home: Path) -> None:
    for profile in ("hrp", "market", "benchmark"):
        for position in positions(home, "--on", CERTIFIED, "--risk-profile", profile):
            shares = [entry["contribution"] for entry in position["contributions"]]
            assert fsum(shares) == pytest.approx(position["net"], abs=1e-12)
            assert fsum(map(abs, shares)) == pytest.approx(position["gross"], abs=1e-12)
            assert all(e["path"] == f"{META}/{e['sleeve']}" for e in position["contributions"])


def test_paths_of_a_nested_meta_end_in_their_sleeve(home: Path) -> None:
    entries = [e for p in positions(home, "--on", CERTIFIED, meta="meta_fractal") for e in p["contributions"]]
    assert entries
    for entry in entries:
        parts = entry["path"].split("/")
        assert (parts[0], parts[-1], len(parts)) == ("meta_fractal", entry["sleeve"], 3)


def test_csv_has_one_column_per_sleeve_which_add_up_to_net(home: Path) -> None:
    result = sleevegraph("weights", META, "--home", home, "--on", CERTIFIED, "--format", "csv")
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert list(rows[0]) == ["symbol", "net", "gross", "netted", *SLEEVES]
    for row, position in zip(rows, positions(home, "--on", CERTIFIED), strict=True):
        assert (row["symbol"], float(row["net"])) == (position["symbol"], position["net"])
        assert fsum(float(row[sleeve]) for sleeve in SLEEVES) == pytest.approx(position["net"], abs=1e-12)


def test_table_says_sums_cash_dust_and_how_every_sleeve_stands(home: Path) -> None:
    result = sleevegraph("weights", META, "--home", home, "--on", CERTIFIED)
    net, gross = fsum(stored(home, CERTIFIED)["net"]), fsum(stored(home, CERTIFIED)["gross"])
    assert f"{META} at {CERTIFIED}, hrp" in result.stdout
    text = f"Σ net {100 * net:.2f} %, Σ gross before netting {100 * gross:.2f} %".replace("-", MINUS)
    assert text in result.stdout
    for sleeve in SLEEVES:
        receipt = store_of(home).receipts.read((sleeve, "risk_weights"), "weight_sanity", CERTIFIED)
        assert receipt is not None
        assert f"{sleeve}: {receipt.figures['certification']}" in result.stdout


def test_cash_and_dust_are_told_beside_pure_json(home: Path) -> None:
    result = sleevegraph("weights", META, "--home", home, "--on", CERTIFIED, "--format", "json")
    assert result.stderr.startswith("cash ")
    assert "dust" in result.stderr
    assert "CASH" not in result.stdout


def test_the_default_date_is_the_newest_stored_one(home: Path) -> None:
    assert positions(home) == positions(home, "--on", KEYS[-1]) != positions(home, "--on", CERTIFIED)


def test_sleeves_and_metas_that_a_gate_held_over_are_told(home: Path) -> None:
    result = sleevegraph("weights", META, "--home", home, "--on", BLOCKED, "--format", "json")
    lines = [line for line in result.stderr.splitlines() if "HELD" in line]
    assert [line.split(":")[0] for line in lines] == [*SLEEVES, META]
    assert all(
        f"HELD since {CERTIFIED} because bars_complete of universe at {BLOCKED} failed" in line for line in lines
    )
    assert json.loads(result.stdout)


def test_a_failed_verdict_leaves_the_certified_weights_in_force_drifted(broken: Path) -> None:
    fail(broken, FLAT, "concentration", CERTIFIED, "ERROR CONCENTRATION_BLOCK X: planted")
    result = sleevegraph("weights", META, "--home", broken, "--on", CERTIFIED, "--format", "json")
    assert result.stderr.startswith(f"{CERTIFIED} is blocked: concentration of {META}/flattened_weights")
    assert f"showing weights of {KEYS[1]}, drifted" in result.stderr
    found = {p["symbol"]: p for p in json.loads(result.stdout)}
    expected = drifted_by_hand(stored(broken, KEYS[1]), KEYS[1], CERTIFIED)
    assert {symbol: p["net"] for symbol, p in found.items()} == pytest.approx(expected, abs=1e-12)
    for position in found.values():
        assert fsum(e["contribution"] for e in position["contributions"]) == pytest.approx(position["net"], abs=1e-12)


def drifted_by_hand(frame: pl.DataFrame, decided: str, at: str) -> dict[str, float]:
    """Net x price ratio over the wealth that the book has become; a symbol with a day missing is cash from there on."""
    closes = {(symbol, day): close for symbol, day, close in market().select("symbol", "date", "close").iter_rows()}
    first, end = date.fromisoformat(decided), date.fromisoformat(at)
    days = [first + timedelta(days=i) for i in range(-1, (end - first).days)]
    wealth, held = 1.0, {}
    for symbol, net in frame.select("symbol", "net").iter_rows():
        traded = list(takewhile(lambda day, symbol=symbol: (symbol, day) in closes, days))
        ratio = closes[symbol, traded[-1]] / closes[symbol, traded[0]]
        wealth += net * (ratio - 1.0)
        if traded == days:
            held[symbol] = net * ratio
    assert len(held) < frame.height, "expected the gap of SIM006 in the window"
    return {symbol: value / wealth for symbol, value in held.items()}


def test_the_table_of_drifted_weights_says_so_in_its_title(broken: Path) -> None:
    fail(broken, FLAT, "concentration", CERTIFIED)
    assert f"weights of {KEYS[1]}, drifted" in sleevegraph("weights", META, "--home", broken, "--on", CERTIFIED).stdout


def test_blocked_weights_in_a_row_are_skipped_back_to_the_last_certified(broken: Path) -> None:
    fail(broken, FLAT, "concentration", CERTIFIED)
    fail(broken, FLAT, "conservation", KEYS[1])
    result = sleevegraph("weights", META, "--home", broken, "--on", CERTIFIED, "--format", "json")
    assert f"showing weights of {KEYS[0]}, drifted" in result.stderr
    expected = drifted_by_hand(stored(broken, KEYS[0]), KEYS[0], CERTIFIED)
    assert {p["symbol"]: p["net"] for p in json.loads(result.stdout)} == pytest.approx(expected, abs=1e-12)


def test_without_any_certified_weights_there_are_none(broken: Path) -> None:
    fail(broken, FLAT, "concentration", KEYS[0])
    message = refused("weights", META, "--home", broken, "--on", KEYS[0])
    assert f"{META} {KEYS[0]} is blocked" in message
    assert "no rebalance before it is certified" in message


def test_weights_that_changed_after_they_were_judged_are_refused(broken: Path) -> None:
    lake = store_of(broken).lake
    lake.write(FLAT, CERTIFIED, lake.read(FLAT, CERTIFIED).with_columns(pl.col("net") * 0.5))
    message = refused("weights", META, "--home", broken, "--on", CERTIFIED)
    assert "the partition changed after it was judged" in message
    assert f"--partition {CERTIFIED}" in message


def test_weights_that_nobody_judged_are_refused(broken: Path) -> None:
    store_of(broken).receipts.path(FLAT, "conservation", CERTIFIED).unlink()
    assert "no receipt" in refused("weights", META, "--home", broken, "--on", CERTIFIED)


def test_an_unjudged_sleeve_below_the_meta_is_refused(broken: Path) -> None:
    store_of(broken).receipts.path((SLEEVES[0], "risk_weights"), "weight_sanity", CERTIFIED).unlink()
    assert f"{SLEEVES[0]}/risk_weights" in refused("weights", META, "--home", broken, "--on", CERTIFIED)


def test_an_unreadable_partition_is_one_line(broken: Path) -> None:
    lake = store_of(broken).lake
    lake.path(FLAT, CERTIFIED).write_bytes(b"junk")
    receipts = store_of(broken).receipts
    for check in ("conservation", "concentration"):
        path = receipts.path(FLAT, check, CERTIFIED)
        path.write_text(json.dumps({**json.loads(path.read_text()), "digest": lake.digest(FLAT, CERTIFIED)}))
    assert "expected a Parquet file" in refused("weights", META, "--home", broken, "--on", CERTIFIED)


def test_simulated_prices_are_called_so_in_every_format(broken: Path) -> None:
    simulated(broken)
    for shape in ("table", "json", "csv"):
        result = sleevegraph("weights", META, "--home", broken, "--on", CERTIFIED, "--format", shape)
        assert "simulated market, not real prices" in result.stderr
    table = sleevegraph("weights", META, "--home", broken, "--on", CERTIFIED)
    assert "(simulated market, not real prices)" in table.stdout
    assert "simulated" not in sleevegraph("weights", META, "--home", broken, "--format", "json").stdout


def test_an_unreadable_record_of_the_source_is_one_line(broken: Path) -> None:
    (broken / "data" / "source.json").write_text("{")
    assert "source.json: expected JSON" in refused("weights", META, "--home", broken)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["meta_x"], "META: expected one of meta_benchmark, meta_crypto_only, meta_fractal, meta_ma_benchmark"),
        ([META, "--on", "2022-03-12"], "nearest are 2022-03-11 and 2022-03-21"),
        ([META, "--on", "yesterday"], "--on: expected a date as YYYY-MM-DD, found 'yesterday'"),
        ([META, "--on", "2022-03-31"], f"4 stored rebalances from {KEYS[0]} to {KEYS[-1]}"),
        ([META, "--on", "2022-03-31"], "--from 2022-03-31 --to 2022-03-31"),
        ([META, "--on", "2022-04-10"], "--from 2022-03-31 --to 2022-04-10"),
        ([META, "--on", "2022-02-09"], f"--from 2022-02-09 --to {KEYS[-1]}"),
        ([META, "--risk-profile", "mvo"], "'mvo' is not one of 'hrp'"),
        ([META, "--format", "xml"], "'xml' is not one of 'table', 'json', 'csv'"),
        ([], "Missing argument 'META'; see sleevegraph weights --help"),
        ([META, "--frm", "x"], "No such option '--frm'"),
    ],
)
def test_bad_arguments_are_one_line(home: Path, arguments: list[str], expected: str) -> None:
    assert expected in refused("weights", *arguments, "--home", home)


def test_an_empty_home_says_what_to_run(tmp_path: Path) -> None:
    message = refused("weights", META, "--home", tmp_path / "new")
    assert f"run sleevegraph backfill --home {tmp_path / 'new'}" in message
    assert not (tmp_path / "new").exists()


def test_the_console_script_prints_json_and_nothing_else(home: Path) -> None:
    code = "from commands.main import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code, "weights", META, "--home", home, "--on", CERTIFIED, "--format", "json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == positions(home, "--on", CERTIFIED)


@pytest.mark.parametrize(("count", "columns"), [(MAX_COLUMNS, MAX_COLUMNS), (MAX_COLUMNS + 1, 0)])
def test_a_table_has_a_column_for_each_of_a_dozen_sleeves_and_for_none_of_more(count: int, columns: int) -> None:
    sleeves = [f"family_{number:02d}" for number in range(count)]
    shares = [{"path": f"meta/{name}", "sleeve": name, "contribution": 1.0 / count} for name in sleeves]
    rows = [("BINANCE:BTCUSDT", 1.0, 1.0, shares)]
    book = PhysicalBook(pl.DataFrame(rows, schema=POSITIONS_SCHEMA, orient="row"), cash=0.0, dust=0.0)
    table = _table(book, sleeves, "book")
    assert [column.header for column in table.columns] == [
        "symbol",
        "net",
        "gross",
        *(s[-2:] for s in sleeves[:columns]),
    ]
    assert (f"contributions of {count} sleeves: --format csv or json" == table.caption) == (not columns)
    assert as_csv(book, sleeves).splitlines()[0].split(",")[4:] == sleeves
