"""`sleevegraph coverage` on homes of files and of the exchange."""

import csv
import json
import shutil
from datetime import date
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest

from resources.lake import Lake
from sleevegraph.market_data.datasets import DATASETS
from tests.command_homes import market, refused, simulated, sleevegraph, store_of
from tests.ingests import ingest, key_of, restate
from tests.replica import markets
from tests.replica.handle import Replica

BROKEN, RESTATED = key_of("NEWUSDT", "2025-01"), key_of("BTCUSDT", "2024-12")


@pytest.fixture(scope="module")
def files_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated market; one symbol has a hole of ten days, one of three, and one was delisted."""
    root = tmp_path_factory.mktemp("files_home")
    day = pl.col("date")
    hole = (pl.col("symbol") == "BINANCE:SIM004USDT") & day.is_between(date(2021, 6, 5), date(2021, 6, 14))
    gone = (pl.col("symbol") == "BINANCE:BTCUSDT") & (day > date(2021, 12, 31))
    Lake(root / "data" / "lake").store_bars(market().filter(~hole & ~gone))
    return root


@pytest.fixture(scope="module")
def exchange_home(tmp_path_factory: pytest.TempPathFactory, small_tree: Path) -> Path:
    """Daily and hourly klines of Spot; one file is quarantined and one was restated."""
    root = tmp_path_factory.mktemp("exchange_home")
    lake = store_of(root).market_lake
    with Replica(small_tree) as replica:
        replica.now(markets.SMALL_NOW)
        replica.archive_until(markets.SMALL_ARCHIVE_UNTIL)
        replica.break_key(BROKEN, "corrupt")
        ingest(lake, replica.settings())
        restate(replica, RESTATED, lambda lines: [*lines[:-2], lines[-1]])
        ingest(lake, replica.settings(), symbols=["BTCUSDT"])
        ingest(lake, replica.settings(), DATASETS["spot_klines_1h"], symbols=["BTCUSDT", "SPLITUSDT"])
        (root / "api").write_text(urlsplit(replica.url("api0")).netloc)
    return root


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(*arguments: object) -> list[dict[str, object]]:
    result = sleevegraph("coverage", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, object]] = json.loads(result.stdout)
    return rows


def test_a_home_of_files_has_one_row_with_what_its_lake_holds(files_home: Path) -> None:
    (row,) = listed("--home", files_home)
    bars = store_of(files_home).lake.known_bars()
    files = list((files_home / "data" / "lake" / "daily_bars").iterdir())
    assert row["dataset"] == "daily_bars"
    assert (row["symbols"], row["rows"]) == (bars["symbol"].n_unique(), bars.height)
    assert (row["first"], row["last"]) == (str(bars["date"].min()), str(bars["date"].max()))
    assert (row["files"], row["months"]) == (len(files), len(files))
    assert row["bytes"] == sum(file.stat().st_size for file in files)
    lives = bars.group_by("symbol").agg((pl.col("date").max() - pl.col("date").min()).dt.total_days() + 1)
    assert row["expected"] == lives["date"].sum() > bars.height
    said = sleevegraph("coverage", "--home", files_home)
    assert said.exit_code == 0
    assert "daily_bars" in said.stdout
    assert f" {bars.height} " in said.stdout


def test_a_dataset_has_one_row_per_symbol_the_worst_first(files_home: Path) -> None:
    rows = listed("--home", files_home, "--dataset", "daily_bars")
    bars = store_of(files_home).lake.known_bars()
    assert [row["symbol"] for row in rows if row["missing"]] == ["BINANCE:SIM004USDT", "BINANCE:SIM006USDT"]
    assert (rows[0]["missing"], rows[0]["largest_gap"], rows[0]["largest_from"]) == (10, 10, "2021-06-05")
    counts = dict(bars.group_by("symbol").len().rows())
    assert {row["symbol"]: row["rows"] for row in rows} == counts
    ended = next(row for row in rows if row["symbol"] == "BINANCE:BTCUSDT")
    assert (ended["last"], ended["share"]) == ("2021-12-31", 1.0)
    text = sleevegraph("coverage", "--home", files_home, "--dataset", "daily_bars", "--format", "csv").stdout
    assert [line["symbol"] for line in csv.DictReader(StringIO(text))] == [row["symbol"] for row in rows]


def test_only_the_symbols_that_are_asked_for(files_home: Path) -> None:
    rows = listed("--home", files_home, "--dataset", "daily_bars", "--symbols", "sim004usdt, BINANCE:BTCUSDT")
    assert [row["symbol"] for row in rows] == ["BINANCE:SIM004USDT", "BINANCE:BTCUSDT"]
    (whole,) = listed("--home", files_home, "--symbols", "SIM004USDT")
    assert (whole["symbols"], whole["rows"]) == (1, rows[0]["rows"])


def test_what_was_fetched_of_an_exchange_is_told_by_dataset(exchange_home: Path) -> None:
    rows = {str(row["dataset"]): row for row in listed("--home", exchange_home)}
    lake = store_of(exchange_home).market_lake
    assert list(rows) == ["spot_klines_1d", "spot_klines_1h"]
    for name, row in rows.items():
        stored, sources = lake.rows(DATASETS[name]), lake.sources(DATASETS[name])
        assert (row["rows"], row["symbols"]) == (stored.height, stored["symbol"].n_unique())
        assert row["archive_files"] == sources.height
        assert row["files"] == len(list((lake.root / name).glob("????-??/*.parquet")))
        archive = lake.archive(DATASETS[name]).collect()
        assert row["rest_rows"] == stored.height - archive.height > 0
        assert row["rest_hosts"] == [(exchange_home / "api").read_text()]
    daily, hourly = rows.values()
    assert (daily["quarantined"], daily["revisions"], hourly["quarantined"], hourly["revisions"]) == (1, 1, 0, 0)
    assert hourly["expected"] == hourly["rows"] + 72  # SPLIT pauses for three days


def test_quarantined_files_and_revisions_are_named_with_their_reasons(exchange_home: Path) -> None:
    table = sleevegraph("coverage", "--home", exchange_home)
    lines = sleevegraph("coverage", "--home", exchange_home, "--format", "csv")
    (quarantined,) = (line for line in table.stdout.splitlines() if line.startswith("quarantined: "))
    (revised,) = (line for line in table.stdout.splitlines() if line.startswith("revised: "))
    reason = next((exchange_home / "data" / "market" / "quarantine" / "spot_klines_1d").glob("*.json"))
    assert quarantined == f"quarantined: {BROKEN}: {json.loads(reason.read_text())['reason']}"
    assert f"1 rows of 1 symbols changed, the first of 2024-12-30, 1 of them withdrawn: {RESTATED} restated" in revised
    assert "quarantined: " not in lines.stdout
    assert {quarantined, revised} <= set(lines.stderr.splitlines())
    other = sleevegraph("coverage", "--home", exchange_home, "--dataset", "spot_klines_1h")
    assert "quarantined: " not in other.stdout


def test_a_rename_is_told_beside_the_symbol_that_ended(tmp_path: Path) -> None:
    bars = market().filter(pl.col("symbol").is_in(["BINANCE:BTCUSDT", "BINANCE:SIM004USDT"]))
    renamed = [
        bars.filter(pl.col("symbol") == "BINANCE:SIM004USDT", condition).with_columns(
            symbol=pl.lit(f"BINANCE:{base}USDT"), base=pl.lit(base)
        )
        for base, condition in (
            ("NANO", pl.col("date") < date(2022, 1, 24)),
            ("XNO", pl.col("date") >= date(2022, 1, 28)),
        )
    ]
    Lake(tmp_path / "data" / "lake").store_bars(pl.concat([bars, *renamed]))
    notes = {row["symbol"]: row["note"] for row in listed("--home", tmp_path, "--dataset", "daily_bars")}
    assert notes.pop("BINANCE:NANOUSDT") == "renamed to XNO on 2022-01-28, BINANCE:XNOUSDT from 2022-01-28"
    assert set(notes.values()) == {""}


@pytest.mark.parametrize(("name", "begins"), [("c.png", b"\x89PNG\r\n"), ("new folder/c.SVG", b"<?xml")])
def test_a_picture_is_written_where_asked_and_nowhere_else(files_home: Path, name: str, begins: bytes) -> None:
    result = sleevegraph("coverage", "--home", files_home, "--picture", name)
    assert result.exit_code == 0
    assert Path(name).read_bytes().startswith(begins)
    assert f"picture: {name}" in result.stderr
    first = Path(name).read_bytes()
    assert sleevegraph("coverage", "--home", files_home, "--dataset", "daily_bars", "--picture", name).exit_code == 0
    assert Path(name).read_bytes() == first
    Path(name).unlink()
    assert sleevegraph("coverage", "--home", files_home).exit_code == 0
    assert not [file for file in Path().rglob("*") if file.is_file()]


def test_simulated_bars_are_told_as_such_in_table_and_picture(files_home: Path, tmp_path: Path) -> None:
    Lake(tmp_path / "data" / "lake").store_bars(store_of(files_home).lake.known_bars().head(100))
    simulated(tmp_path)
    result = sleevegraph("coverage", "--home", tmp_path, "--picture", "c.svg")
    assert "simulated market, not real prices" in result.stderr
    assert "simulated market, not real prices" in result.stdout
    assert "simulated market, not real prices" in Path("c.svg").read_text()


def test_what_cannot_be_shown_is_refused_in_one_line(files_home: Path, exchange_home: Path, tmp_path: Path) -> None:
    here = ("coverage", "--home", files_home)
    assert "such as BTCUSDT, found 'BTCUSTD'" in refused(*here, "--symbols", "BTCUSTD")
    assert "found 'um_metrics'; run sleevegraph ingest --dataset um_metrics" in refused(
        *here, "--dataset", "um_metrics"
    )
    assert "is not one of 'daily_bars'" in refused(*here, "--dataset", "bars")
    assert "expected a name that ends in .png or .svg, found 'a.pdf'" in refused(*here, "--picture", "a.pdf")
    assert "expected a name that ends in .png or .svg, found 'png'" in refused(*here, "--picture", "png")
    assert "expected bars under" in refused("coverage", "--home", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    refusal = refused("coverage", "--home", exchange_home, "--dataset", "spot_klines_1h", "--symbols", "NEWUSDT")
    assert "expected symbols of spot_klines_1h" in refusal


def test_a_picture_that_cannot_be_written_is_refused_in_one_line(files_home: Path) -> None:
    Path("file").write_text("")
    Path("folder.png").mkdir()
    for path in ("file/c.png", "folder.png"):
        refusal = refused("coverage", "--home", files_home, "--picture", path)
        assert f"--picture: expected a file that can be written at {path}, found: " in refusal
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder.png"]


def test_a_damaged_file_is_named(files_home: Path, exchange_home: Path, tmp_path: Path) -> None:
    Lake(tmp_path / "data" / "lake").store_bars(store_of(files_home).lake.known_bars())
    damaged = tmp_path / "data" / "lake" / "daily_bars" / "2021-05.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert "daily_bars 2021-05: expected a Parquet file" in refused("coverage", "--home", tmp_path)
    shutil.copytree(exchange_home / "data" / "market", tmp_path / "other" / "data" / "market")
    damaged = next((tmp_path / "other" / "data" / "market" / "spot_klines_1h").glob("2024-12/*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert f"{damaged}: expected a file written by an ingest" in refused("coverage", "--home", tmp_path / "other")
