"""The warehouse: a DuckDB file of views over the Parquet of both lakes, replaced in one step so readers never wait."""

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import duckdb

from resources.atomic import write_atomically
from resources.binance.source import EXCHANGE_INFO
from resources.lake import Lake
from resources.market_views import market_views
from resources.places import Place
from sleevegraph.errors import LakeError


def write_warehouse(target: Path, lake: Place, market: Path) -> list[str]:
    """Write views over every asset that has partitions, and over what was fetched of an exchange; return their names.

    A view reads all partitions of its asset, those written later included; `rebalance` is the partition key, and of
    `exchange_info` it is `day`. Views of sleeves and metas are named `<sleeve>__<asset>`; views without prefix unite an
    asset over all sleeves, and `signals` the scores of all logics. Views of a lake in object storage name its URLs, which
    DuckDB reads with its extension httpfs. Views of the folder `market`, which need not exist, are those of `market_views`.
    """
    folders = sorted({PurePosixPath(*asset) for asset, _ in Lake(lake).stored()})
    views: list[str] = []

    def fill(temporary: Path) -> None:
        temporary.unlink(missing_ok=True)  # DuckDB takes an empty file for a broken one
        with duckdb.connect(str(temporary)) as connection, _reading(connection, lake):
            for folder in folders:
                view = "__".join(folder.parts)
                connection.execute(f"CREATE VIEW {_name(view)} AS {_select(lake.joinpath(*folder.parts))}")
                views.append(view)
            scores = [folder for folder in folders if folder.parts[0] == SIGNALS]
            owned = [folder for folder in folders if len(folder.parts) > 1 and folder not in scores]
            for asset in sorted({folder.parts[-1] for folder in owned}):
                parts = {folder.parts[0]: folder for folder in owned if folder.parts[-1] == asset}
                connection.execute(f"CREATE VIEW {_name(asset)} AS {_united(parts, 'portfolio')}")
                views.append(asset)
            if scores:
                parts = {folder.parts[-1]: folder for folder in scores}
                connection.execute(f"CREATE VIEW {SIGNALS} AS {_united(parts, 'logic')}")
                views.append(SIGNALS)
            for view, select in market_views(market).items():
                connection.execute(f"CREATE VIEW {_name(view)} AS {select}")
                views.append(view)
            if {"universe", "candidates", "winners"} <= set(views):
                connection.execute(f"CREATE VIEW fate AS {_FATE}")
                views.append("fate")

    try:
        write_atomically(target, fill)
    except duckdb.Error as error:
        first = next((line for line in str(error).splitlines() if not line.startswith(("Traceback", " "))), "no word")
        raise LakeError(f"warehouse: expected to write views to {target}, found: {first}") from error
    return views


SIGNALS = "signals"
"""Folder of the scores of users' logics, and the view that unites them by logic."""

_KEYS = {EXCHANGE_INFO[0]: "day"}
"""What a partition's key is, where it is no rebalance."""

_FATE = """
SELECT rebalance, symbol, NULL AS portfolio, 'universe' AS stage, coalesce(rule, 'eligible') AS reason FROM universe
UNION ALL SELECT rebalance, symbol, portfolio, 'candidates', reason FROM candidates
UNION ALL SELECT rebalance, symbol, portfolio, 'winners', reason FROM winners
"""
"""Where a symbol dropped out, and why: one row per stage that saw it."""


@contextmanager
def _reading(connection: duckdb.DuckDBPyConnection, lake: Place) -> Iterator[None]:
    """Let a connection read the lake, so that it knows the columns of the views."""
    if isinstance(lake, Path):
        yield
        return
    from resources.object_views import lake_files  # noqa: PLC0415 - needs the extra s3

    with lake_files(connection, Lake(lake)):
        yield


def _select(folder: Place) -> str:
    # Hidden files are writes under way. The file name, not its content, says which partition it is.
    files = (glob.escape(str(folder)) + "/[0-9]*.parquet").replace("'", "''")
    name = _KEYS.get(folder.name, "rebalance")
    key = f"try_cast(parse_filename(filename, true) AS DATE) AS {name}"
    return f"SELECT {key}, * EXCLUDE (filename) FROM read_parquet('{files}', filename = true, union_by_name = true)"  # noqa: S608 - quoted above


def _united(parts: Mapping[str, PurePosixPath], column: str) -> str:
    """The views of folders below each other, each with its key in a column."""
    selects = [
        f"SELECT '{key}' AS {column}, * FROM {_name('__'.join(folder.parts))}"  # noqa: S608 - quoted
        for key, folder in parts.items()
    ]
    return " UNION ALL BY NAME ".join(selects)


def _name(view: str) -> str:
    return '"' + view.replace('"', '""') + '"'
