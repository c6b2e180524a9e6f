from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from resources.lake import digest
from tests.command_homes import (
    BLOCKED,
    KEYS,
    finished_home,
    market,
    own_copy,
    refused,
    simulated,
    store_of,
)

Change = Callable[[pl.DataFrame], pl.DataFrame]
TIMESTAMP = pl.col("date").cast(pl.Datetime("us"))
RANGE = ("--from", KEYS[0], "--to", KEYS[0])


def plain() -> pl.DataFrame:
    """Bars as somebody else's file has them."""
    return market().select("symbol", "date", "open", "high", "low", "close", "volume")


def fifth(column: str, value: float) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 4).then(value).otherwise(pl.col(column)).alias(column)


BAD: list[tuple[str, Change, str]] = [
    ("a.csv", lambda bars: bars.drop("low"), "a.csv: low: expected a column of that name, found symbol, date, open"),
    (
        "a.csv",
        lambda bars: pl.concat([bars, bars.head(1)]),
        "BTCUSDT 2021-01-01: date: expected one bar a day, found several",
    ),
    ("a.csv", lambda bars: bars.sort("date", descending=True), "date: expected a later date than the row before"),
    (
        "a.csv",
        lambda bars: bars.with_columns(fifth("low", -1.0)),
        "2021-01-05: low: expected a finite price > 0, found -1.0",
    ),
    ("a.csv", lambda bars: bars.with_columns(TIMESTAMP), "date: expected an ISO date such as 2021-04-05"),
    (
        "a.parquet",
        lambda bars: bars.with_columns(TIMESTAMP),
        "date: expected dates or UTC timestamps, found a timestamp",
    ),
    (
        "a.parquet",
        lambda bars: bars.with_columns(TIMESTAMP.dt.replace_time_zone("Europe/Berlin")),
        "date: expected dates or UTC timestamps, found time zone Europe/Berlin",
    ),
    (
        "a.csv",
        lambda bars: bars.with_columns(pl.col("date").cast(pl.String) + "T00:00:00+02:00"),
        "date: expected an ISO date such as 2021-04-05, or its midnight with Z or +00:00, found '2021-01-01T00:00:00+02:00'",
    ),
    ("a.csv", lambda bars: bars.clear(), "a.csv: expected bars, found no rows"),
]


@pytest.mark.parametrize(("name", "change", "expected"), BAD)
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_stored(
    tmp_path: Path, name: str, change: Change, expected: str
) -> None:
    file, home = tmp_path / name, tmp_path / "home"
    bars = change(plain())
    (bars.write_csv if file.suffix == ".csv" else bars.write_parquet)(file)
    message = refused("backfill", *RANGE, "--path", file, "--home", home)
    assert message.startswith(f"Error: daily_bars: {name}: ")
    assert expected in message
    assert {path.name for path in (home / "data").rglob("*") if path.is_file()} == {"home.json"}


def test_a_refused_file_leaves_stored_bars_and_source_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    home, file = own_copy(tmp_path_factory, tmp_path / "home"), tmp_path / "a.csv"
    before = contents(home)
    # Most of the file is good and new: none of it may come through.
    bars = plain().with_columns(pl.col("close") * 1.0001).with_columns(high=pl.max_horizontal("high", "close"))
    bars.reverse().with_columns(fifth("open", 0.0)).reverse().write_csv(file)
    assert "open: expected a finite price > 0, found 0.0" in refused("backfill", *RANGE, "--path", file, "--home", home)
    assert contents(home) == before


def contents(home: Path) -> dict[str, str]:
    return {str(path.relative_to(home)): digest(path) for path in (home / "data").rglob("*") if path.is_file()}


def test_a_home_keeps_to_its_source(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    home = own_copy(tmp_path_factory, tmp_path / "home")
    before = contents(home)
    message = refused("backfill", *RANGE, "--source", "simulated", "--home", home)
    assert "market source: expected 'files'" in message
    assert "found 'simulated'; use another home" in message
    assert contents(home) == before
    simulated(home)
    file = tmp_path / "bars.parquet"
    plain().write_parquet(file)
    assert "expected 'simulated'" in refused("backfill", *RANGE, "--path", file, "--home", home)


def test_a_range_that_leaves_a_hole_in_the_track_record_is_refused(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    home = own_copy(tmp_path_factory, tmp_path / "home")
    message = refused("backfill", "--from", "2022-04-10", "--to", "2022-04-10", "--home", home)
    assert f"found it up to {KEYS[-1]}; backfill from {KEYS[-1]} on" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--from", "2022-03-02", "--to", KEYS[-1]],
            "--from: expected a date on the 10-day grid from 2020-01-01, found",
        ),
        (["--from", KEYS[0], "--to", "2022-03-02"], "nearest are 2022-03-01 and 2022-03-11"),
        (["--from", KEYS[0], "--to", "2022-03-01T00:00:00+02:00"], "--to: expected a date as YYYY-MM-DD, found"),
        (["--from", KEYS[1], "--to", KEYS[0]], f"--from: expected a date up to --to {KEYS[0]}, found {KEYS[1]}"),
        (["--from", KEYS[0], "--to", "2028-12-24"], "--to: expected a rebalance date that has passed, at most"),
        (["--from", KEYS[0], "--to", "2029-01-03"], "--to: expected a rebalance date in [2020-01-01, 2029-01-01)"),
        (
            [*RANGE, "--path", "no/such.csv"],
            "--path: expected a Parquet or CSV file or a folder, found nothing at no/such.csv",
        ),
        (
            [*RANGE, "--source", "files"],
            "--path: expected a Parquet or CSV file or a folder with --source files, found none",
        ),
        (
            [*RANGE, "--source", "simulated", "--path", "x.csv"],
            "--path: expected none with --source simulated, found x.csv",
        ),
        ([*RANGE, "--source", "ftp"], "'ftp' is not one of 'files', 'simulated'"),
        (["--to", KEYS[0]], "Missing option '--from'; see sleevegraph backfill --help"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_no_home(tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert expected in refused("backfill", *arguments, "--home", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "--home: expected a folder, found a file" in refused("backfill", *RANGE, "--home", tmp_path / "file")


@pytest.mark.parametrize("text", ["event_log: [", "no_such_setting: 1\n"])
def test_settings_that_dagster_cannot_read_are_one_line(tmp_path: Path, text: str) -> None:
    settings = tmp_path / "dagster_home" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_text(text)
    assert f"{settings}: expected Dagster's settings" in refused("backfill", *RANGE, "--home", tmp_path)


def test_an_unknown_command_is_one_line() -> None:
    assert refused("weight") == "Error: No such command 'weight'. Did you mean 'weights'?; see sleevegraph --help\n"


def test_a_blocked_rebalance_is_told_and_takes_no_other_one_down(tmp_path_factory: pytest.TempPathFactory) -> None:
    home, stdout, stderr = finished_home(tmp_path_factory)
    assert stdout.startswith(f"4 rebalances from {KEYS[0]} to {KEYS[-1]} in ")
    assert stdout.endswith(f" under {home}, 1 of them with weights held over\n")
    assert stderr.startswith(f"{BLOCKED}: weights held over: bars_complete of universe at {BLOCKED} failed: ")
    assert stderr.count("\n") == 1
    assert store_of(home).lake.partitions(("meta_fractal", "flattened_weights")) == list(KEYS)
