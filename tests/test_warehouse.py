import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from resources.lake import Lake, Status
from resources.warehouse import write_warehouse
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome

READER = """
import sys, duckdb
open_for_good = duckdb.connect(sys.argv[1], read_only=True)
print("ready", flush=True)
counts = set()
for line in sys.stdin:
    with duckdb.connect(sys.argv[1], read_only=True) as fresh:
        counts.add(fresh.execute("SELECT count(*) FROM universe").fetchone())
    counts.add(open_for_good.execute("SELECT count(*) FROM universe").fetchone())
    print(line.strip(), flush=True)
print(sorted(counts), flush=True)
"""


def rows(warehouse: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(query, values).fetchall()


def written(home: TemporaryHome) -> list[str]:
    folders = home.store.folders
    return write_warehouse(folders.warehouse, folders.lake, folders.market)


@pytest.fixture
def warehouse(home: TemporaryHome) -> Path:
    written(home)
    return home.store.folders.warehouse


def test_there_is_a_view_for_every_asset_and_one_over_all_portfolios(home: TemporaryHome, warehouse: Path) -> None:
    stages = ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights", "track_record")
    stages += ("sleeve_metrics", "audit_bundle")
    meta_stages = (
        "meta_weights",
        "meta_track_record",
        "flattened_weights",
        "meta_metrics",
        "trade_list",
        "audit_bundle",
    )
    expected = {"daily_bars", "corroboration", "universe", "technical_ratings", "certification_board", "fate"}
    expected |= {*stages, *meta_stages}
    expected |= {f"{sleeve}__{stage}" for sleeve in (LONG, SHORT) for stage in stages}
    expected |= {f"{meta}__{stage}" for meta in (META, NESTED) for stage in meta_stages}
    views = rows(warehouse, "SELECT view_name FROM duckdb_views() WHERE NOT internal")
    assert {view for (view,) in views} == expected
    assert set(written(home)) == expected


def test_a_view_has_every_row_of_every_partition_and_says_of_which(home: TemporaryHome, warehouse: Path) -> None:
    for view, path in (
        ("universe", ("universe",)),
        (f"{SHORT}__risk_weights", (SHORT, "risk_weights")),
        (f"{META}__flattened_weights", (META, "flattened_weights")),
    ):
        counted = rows(warehouse, f'SELECT rebalance::VARCHAR, count(*) FROM "{view}" GROUP BY ALL ORDER BY ALL')  # noqa: S608
        assert counted == [(key, home.read(path, key).height) for key in KEYS]
    stored = home.store.lake.known_bars()
    assert rows(warehouse, "SELECT count(*), max(date) FROM daily_bars") == [(stored.height, stored["date"].max())]


def test_a_view_over_all_portfolios_says_which(home: TemporaryHome, warehouse: Path) -> None:
    found = rows(
        warehouse,
        "SELECT portfolio, symbol, net FROM risk_weights WHERE rebalance = ? AND profile = 'hrp' ORDER BY ALL",
        KEYS[1],
    )
    expected = [
        (sleeve, *row)
        for sleeve in (LONG, SHORT)
        for row in home.read((sleeve, "risk_weights"), KEYS[1])
        .filter(pl.col("profile") == "hrp")
        .select("symbol", "net")
        .sort("symbol")
        .iter_rows()
    ]
    assert found == expected


def test_the_fate_of_a_symbol_is_one_query(home: TemporaryHome, warehouse: Path) -> None:
    query = "SELECT stage, portfolio, reason FROM fate WHERE symbol = ? AND rebalance = ? ORDER BY ALL"
    universe = home.read(("universe",), KEYS[1])
    pegged = universe.filter(pl.col("base") == "USDC")
    assert rows(warehouse, query, pegged["symbol"].item(), KEYS[1]) == [("universe", None, pegged["rule"].item())]
    assert pegged["rule"].item() == "base_stable"

    winners = home.read((SHORT, "winners"), KEYS[1])
    chosen = winners.filter(pl.col("winner"))["symbol"][0]
    fate = {(stage, portfolio): reason for stage, portfolio, reason in rows(warehouse, query, chosen, KEYS[1])}
    assert fate["universe", None] == "eligible"
    assert fate["candidates", SHORT] == "kept"
    assert fate["winners", SHORT] == winners.filter(pl.col("symbol") == chosen)["reason"].item()
    refused = home.read((LONG, "candidates"), KEYS[1]).filter(pl.col("symbol") == chosen)["reason"].item()
    assert fate["candidates", LONG] == refused == "rating_wrong_sign"
    assert ("winners", LONG) not in fate


def test_every_symbol_with_bars_has_a_fate_at_every_rebalance(home: TemporaryHome, warehouse: Path) -> None:
    stored = home.store.lake.known_bars()
    for key in KEYS:
        known = set(stored.filter(pl.col("date") < pl.lit(key).str.to_date())["symbol"])
        told = rows(warehouse, "SELECT DISTINCT symbol FROM fate WHERE rebalance = ? AND reason <> ''", key)
        assert {symbol for (symbol,) in told} == known


def test_partitions_written_later_appear_without_a_new_warehouse(home: TemporaryHome, warehouse: Path) -> None:
    home.store.lake.write(("universe",), "2022-03-21", home.read(("universe",), KEYS[0]).head(2))
    home.store.lake.path(("universe",), KEYS[0]).with_name(".2022-03-31.parquet.1.tmp").write_bytes(b"half a file")
    home.store.lake.path(("universe",), KEYS[0]).with_name(".2022-03-31.parquet").write_bytes(b"half a file")
    assert rows(warehouse, "SELECT count(*) FROM universe WHERE rebalance = DATE '2022-03-21'") == [(2,)]


def test_a_blocked_partition_has_no_rows_and_disturbs_no_view(home: TemporaryHome) -> None:
    path = (SHORT, "risk_weights")
    home.store.lake.write(path, KEYS[0], home.read(path, KEYS[0]).clear(), Status.BLOCKED, "why")
    written(home)
    query = "SELECT DISTINCT rebalance::VARCHAR FROM risk_weights WHERE portfolio = ? ORDER BY ALL"
    assert rows(home.store.folders.warehouse, query, SHORT) == [(key,) for key in KEYS[1:]]


def test_another_process_reads_while_the_warehouse_and_a_partition_are_replaced(
    home: TemporaryHome, warehouse: Path
) -> None:
    (before,) = rows(warehouse, "SELECT count(*) FROM universe")
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for turn in range(15):
            print(turn, file=reader.stdin, flush=True)
            written(home)  # while the reader is at it
            home.store.lake.write(("universe",), KEYS[0], home.read(("universe",), KEYS[0]))
            assert reader.stdout.readline() == f"{turn}\n"
        reader.stdin.close()
        assert reader.stdout.readline() == f"{[before]}\n"
    assert reader.returncode == 0
    left = {file.name for file in warehouse.parent.iterdir()}
    assert left <= {"warehouse.duckdb", "lake", "receipts", "source.json", "home.json", "lake.json"}


def test_writing_fails_for_no_reader_that_has_the_file_open(home: TemporaryHome, warehouse: Path) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        written(home)
        assert reader.execute("SELECT count(*) FROM universe").fetchone() != (0,)


@pytest.mark.parametrize("name", ["it's", 'say "home"', "a;b", "50 %", "[1] *", "{x}", "ümlaut"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.write(("universe",), KEYS[0], pl.DataFrame({"symbol": ["A"]}))
    lake.write(("my sleeve", "winners"), KEYS[0], pl.DataFrame({"symbol": ["A"]}))
    target = tmp_path / name / "warehouse.duckdb"
    assert write_warehouse(target, lake.root, tmp_path / name / "market") == [
        "my sleeve__winners",
        "universe",
        "winners",
    ]
    assert rows(target, "SELECT symbol, rebalance::VARCHAR FROM universe") == [("A", KEYS[0])]
    assert rows(target, "SELECT portfolio, symbol FROM winners") == [("my sleeve", "A")]


def test_the_ingest_job_writes_the_warehouse_and_counts_its_views(home: TemporaryHome) -> None:
    assert home.refresh_warehouse().success
    views = home.metadata(("warehouse",))["views"]
    assert "fate" in views
    assert rows(home.store.folders.warehouse, "SELECT count(*) > 0 FROM fate") == [(True,)]
