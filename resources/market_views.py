"""Views over the market lake: rows as they count, and where each stored file came from."""

import glob
from pathlib import Path

from resources.binance.market_lake import SOURCES_KEY
from sleevegraph.market_data.datasets import DATASETS, Dataset
from sleevegraph.market_data.hosts import FOREIGN_HOSTS
from sleevegraph.market_data.planning import SOURCES

MARKET_FILES = "market_files"
_STORED_IN = "array_to_string(parse_path(filename)[-3:], '/')"
"""Dataset, month and name of a file of the market lake."""
_TYPES = {"Date": "DATE", "Int64": "BIGINT", "Datetime": "TIMESTAMPTZ"}


def market_views(market: Path) -> dict[str, str]:
    """Name and SELECT of a view for each dataset with rows, and of `market_files`; none where nothing was ingested.

    A dataset's view has what `MarketLake.rows` has, and of each row the `host` of the REST API that answered it (null:
    it is the archive's) and `stored_in` with `source`, by which `market_files` names the archive's file. That view has
    one row for each of them: dataset, key, symbol, days, SHA-256, rows, host, time of the transfer.
    """
    stored = {name: dataset for name, dataset in DATASETS.items() if _any(market, dataset, "archive")}
    answered = {name: dataset for name, dataset in DATASETS.items() if _any(market, dataset, "rest")}
    views = {
        name: _rows(market, dataset, archive=name in stored, rest=name in answered)
        for name, dataset in DATASETS.items()
        if name in stored or name in answered
    }
    if stored:
        views[MARKET_FILES] = " UNION ALL ".join(_sources(market, dataset) for dataset in stored.values())
    return views


def _rows(market: Path, dataset: Dataset, *, archive: bool, rest: bool) -> str:
    """Archive rows, and REST rows where the archive has none: the newest answer of the exchange itself counts."""
    columns, at = ", ".join(dataset.schema.names()), f"symbol, {dataset.time}"
    kept, answers = (f"read_parquet({_files(market, dataset, kind)}, filename = true)" for kind in ("archive", "rest"))
    parts = []
    if archive:
        parts.append(f"SELECT {columns}, NULL::VARCHAR AS host, {_STORED_IN} AS stored_in, source FROM {kept}")  # noqa: S608 - quoted
    if rest:
        newest = (
            f"SELECT {columns}, host, {_STORED_IN} AS stored_in, NULL::UINTEGER AS source FROM {answers} QUALIFY 1 = "  # noqa: S608 - quoted
            f"row_number() OVER (PARTITION BY {at} ORDER BY regexp_matches(host, '{FOREIGN_HOSTS}'), fetched_at DESC)"
        )
        parts.append(f"FROM ({newest})" + (f" ANTI JOIN {kept} USING ({at})" if archive else ""))
    return " UNION ALL ".join(parts)


def _sources(market: Path, dataset: Dataset) -> str:
    """What the files' own footers say."""
    columns = {name: _TYPES.get(type(kind).__name__, "VARCHAR") for name, kind in SOURCES.items()}
    shape = "{" + ", ".join(f'"{name}": ["VARCHAR"]' for name in columns) + "}"
    fields = ", ".join(f"unnest(said.{_quoted(name)})::{kind} AS {_quoted(name)}" for name, kind in columns.items())
    return (
        f"SELECT '{dataset.name}' AS dataset, {fields}, {_STORED_IN} AS stored_in, "  # noqa: S608 - quoted below
        "unnest(range(len(said.key)))::UINTEGER AS source FROM ("
        f"SELECT file_name AS filename, from_json(decode(value), '{shape}') AS said "
        f"FROM parquet_kv_metadata({_files(market, dataset, 'archive')}) WHERE decode(key) = '{SOURCES_KEY}')"
    )


def _any(market: Path, dataset: Dataset, kind: str) -> bool:
    return any(market.joinpath(dataset.name).glob(f"????-??/{kind}-*.parquet"))


def _files(market: Path, dataset: Dataset, kind: str) -> str:
    """A glob in quotes. Hidden files are writes under way."""
    pattern = f"{glob.escape(str(market / dataset.name))}/????-??/{kind}-*.parquet"
    return "'" + pattern.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
