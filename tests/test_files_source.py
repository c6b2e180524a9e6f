from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from resources.files_source import FilesSource
from resources.market_sources import SOURCES, SourceSettings, market_source
from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.errors import BarsError, ConfigurationError
from sleevegraph.simulated_market import simulated_bars
from tests.markets import recorded_bars
from tests.shared import SHARED, needs_shared

HEADER = "symbol,date,open,high,low,close,volume"
CSV = f"{HEADER}\nAAAUSDT,2021-04-05,1,3,0.5,2,10\nAAAUSDT,2021-04-06,1,3,0.5,2,10\n"


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refused(path: Path) -> str:
    with pytest.raises((BarsError, ConfigurationError)) as error:
        FilesSource(path).fetch(None)
    assert "\n" not in str(error.value)
    return str(error.value)


def some_bars() -> pl.DataFrame:
    return simulated_bars(date(2021, 3, 1), symbols=20)


def test_a_csv_file_gives_bars(tmp_path: Path) -> None:
    bars = FilesSource(write(tmp_path, "a.csv", CSV)).fetch(None)
    assert bars.schema == BAR_SCHEMA
    assert bars["symbol"].to_list() == ["BINANCE:AAAUSDT"] * 2
    assert bars["date"].to_list() == [date(2021, 4, 5), date(2021, 4, 6)]
    assert bars["quote_volume"].to_list() == [20.0, 20.0]


def test_csv_and_parquet_give_back_the_bars_that_were_written(tmp_path: Path) -> None:
    bars = some_bars()
    bars.write_csv(tmp_path / "a.csv")
    bars.write_parquet(tmp_path / "b.parquet")
    assert FilesSource(tmp_path / "a.csv").fetch(None).equals(bars)
    assert FilesSource(tmp_path / "b.parquet").fetch(None).equals(bars)


def test_a_folder_is_the_union_of_its_files_of_both_kinds(tmp_path: Path) -> None:
    bars = some_bars()
    half = pl.col("date") < date(2021, 2, 1)
    bars.filter(half).write_parquet(tmp_path / "late.parquet")
    bars.filter(~half).write_csv(tmp_path / "early.csv")
    write(tmp_path, "README.md", "not bars")
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", "inner.csv", "not read")
    source = FilesSource(tmp_path)
    assert source.fetch(None).equals(bars)
    assert "2 files" in source.describe()


def test_a_byte_order_mark_windows_ends_and_a_blank_line_are_no_obstacle(tmp_path: Path) -> None:
    odd = b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode() + b"\r\n"
    assert FilesSource(write(tmp_path, "a.csv", odd)).fetch(None).height == 2


@needs_shared
def test_recorded_bars_are_read_whole() -> None:
    assert FilesSource(SHARED / "market" / "spot_daily.parquet").fetch(None).equals(recorded_bars())


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.parquet"
    assert f"path {path}: expected a .parquet or .csv file or a folder of them, found nothing there" in refused(path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt", "no bars")
    assert f"path {tmp_path}: expected" in refused(tmp_path)
    assert "found none in the folder" in refused(tmp_path)


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    assert "found '.json'" in refused(write(tmp_path, "a.json", "{}"))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00 garbage \xff"])
def test_an_empty_or_corrupt_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    message = refused(write(tmp_path, name, content))
    assert message.startswith(f"{name}: ")
    assert "expected" in message
    assert "found" in message


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    some_bars().write_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    file = write(tmp_path, "cut.parquet", whole[: len(whole) // 2])
    assert refused(file).startswith("cut.parquet: expected a readable .parquet file, found: ")


def test_a_csv_file_with_too_many_fields_is_named(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "a.csv", CSV + "AAAUSDT,2021-04-07,1,3,0.5,2,10,99\n")).startswith(
        "a.csv: expected a readable .csv file, found: "
    )


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_without_rows_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a.csv", HEADER + "\n")
    some_bars().clear().write_parquet(tmp_path / "a.parquet")
    assert refused(tmp_path / name).startswith(f"{name}: expected bars, found no rows")


def test_an_archive_file_without_a_header_is_refused_by_its_missing_column(tmp_path: Path) -> None:
    row = (
        "1672531200000,16541.77,16545.70,16508.39,16529.67,4364.83570,1672534799999,72146293.58,149854,2179.94,3.6,0\n"
    )
    message = refused(write(tmp_path, "BTCUSDT-1d.csv", row * 2))
    assert message.startswith("BTCUSDT-1d.csv: symbol: expected a column of that name, found 1672531200000, 16541.77")


@pytest.mark.parametrize("value", ["abc", "1,5", "0x10", " ", "1_000"])
def test_a_value_that_is_no_number_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    file = write(tmp_path, "a.csv", f'{CSV}AAAUSDT,2021-04-07,1,"{value}",0.5,2,10\n')
    assert refused(file) == f"a.csv: line 4: high: expected a number, found {value!r}; correct it"


def test_a_mark_that_is_neither_true_nor_false_is_refused_with_its_line(tmp_path: Path) -> None:
    text = f"{HEADER},quote_volume,quote_volume_derived\nAAAUSDT,2021-04-05,1,3,0.5,2,10,20,maybe\n"
    assert "a.csv: line 2: quote_volume_derived: expected true or false, found 'maybe'" in refused(
        write(tmp_path, "a.csv", text)
    )


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            "AAAUSDT,2021-04-07,1,nan,0.5,2,10",
            "BINANCE:AAAUSDT 2021-04-07: high: expected a finite price > 0, found nan",
        ),
        ("AAAUSDT,2021-04-07,1,3,-5,2,10", "BINANCE:AAAUSDT 2021-04-07: low: expected a finite price > 0, found -5.0"),
        (
            "AAAUSDT,2021-04-07,1,3,0.5,2",
            "BINANCE:AAAUSDT 2021-04-07: volume: expected a finite volume >= 0, found None",
        ),
        ("AAAUSDT,2021-04-06,1,3,0.5,2,10", "BINANCE:AAAUSDT 2021-04-06: date: expected one bar a day, found several"),
        (
            "AAAUSDT,2021-04-01,1,3,0.5,2,10",
            "BINANCE:AAAUSDT 2021-04-01: date: expected a later date than the row before",
        ),
        ("AAAUSDT,2021-04-07 00:00:00,1,3,0.5,2,10", "AAAUSDT: date: expected an ISO date such as 2021-04-05"),
        ("AAAXYZ,2021-04-07,1,3,0.5,2,10", "BINANCE:AAAXYZ: symbol: expected a base followed by one known quote"),
    ],
)
def test_a_broken_row_is_refused_in_the_name_of_its_file(tmp_path: Path, row: str, found: str) -> None:
    write(tmp_path, "sound.csv", CSV.replace("AAA", "BBB"))
    write(tmp_path, "broken.csv", CSV + row + "\n")
    assert refused(tmp_path).startswith(f"broken.csv: {found}")


def test_one_bar_in_two_files_is_refused_in_both_their_names(tmp_path: Path) -> None:
    write(tmp_path, "first.csv", CSV)
    write(tmp_path, "second.csv", CSV.replace("2021-04-05", "2021-04-01"))
    assert refused(tmp_path) == (
        "first.csv and second.csv: BINANCE:AAAUSDT 2021-04-06: date: expected each bar in one file, "
        "found it in both (1 such bars); keep one"
    )


def test_two_files_that_disagree_on_a_base_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "first.csv", CSV)
    later = (some_bars().head(1)).with_columns(
        symbol=pl.lit("BINANCE:AAAUSDT"), base=pl.lit("AA"), quote=pl.lit("AUSDT"), date=pl.lit(date(2021, 5, 1))
    )
    later.write_parquet(tmp_path / "second.parquet")
    assert "BINANCE:AAAUSDT: base, quote: expected one pair per symbol, found AAA/USDT and AA/AUSDT" in refused(
        tmp_path
    )


def test_each_source_answers_to_its_name(tmp_path: Path) -> None:
    settings = SourceSettings(path=write(tmp_path, "a.csv", CSV), symbols=20, end=date(2021, 2, 1))
    assert set(SOURCES) == {"files", "simulated", "binance"}  # the last one is asked in test_binance_source.py
    for name in ("files", "simulated"):
        source = market_source(name, settings)
        assert source.name == name
        assert source.fetch(None).schema == BAR_SCHEMA
        assert source.describe()


def test_the_simulated_source_says_what_it_is_and_grows_by_its_end() -> None:
    source = market_source("simulated", SourceSettings(seed=3, symbols=20, end=date(2021, 2, 1)))
    assert source.describe() == "simulated market: 20 symbols, 2021-01-01 to 2021-02-01, seed 3"
    longer = market_source("simulated", SourceSettings(seed=3, symbols=20, end=date(2021, 2, 1) + timedelta(days=9)))
    bars = source.fetch(None)
    assert bars["date"].max() == date(2021, 2, 1)
    assert longer.fetch(bars).filter(pl.col("date") <= date(2021, 2, 1)).equals(bars)


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match="market source: expected one of files, simulated, binance, found 'kraken'"
    ):
        market_source("kraken", SourceSettings())


def test_the_files_source_needs_a_path() -> None:
    with pytest.raises(ConfigurationError, match="market source files: path: expected a Parquet or CSV file"):
        market_source("files", SourceSettings())


def test_the_exchange_of_the_settings_names_the_symbols(tmp_path: Path) -> None:
    source = market_source("files", SourceSettings(path=write(tmp_path, "a.csv", CSV), exchange="KRAKEN"))
    assert source.fetch(None)["symbol"][0] == "KRAKEN:AAAUSDT"
