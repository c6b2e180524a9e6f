"""What the exchange says of its symbols: `GET /api/v3/exchangeInfo` as rows, and what changed between two answers."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.datasets import is_symbol

SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "status": pl.String(),
        "base_asset": pl.String(),
        "quote_asset": pl.String(),
        "base_precision": pl.Int64(),
        "quote_precision": pl.Int64(),
        "tick_size": pl.String(),
        "min_price": pl.String(),
        "step_size": pl.String(),
        "min_qty": pl.String(),
        "max_qty": pl.String(),
        "min_notional": pl.String(),
        "is_spot": pl.Boolean(),
        "is_margin": pl.Boolean(),
        "permission_sets": pl.String(),
        "as_of": pl.Datetime("us", "UTC"),
    }
)
"""Prices and quantities stay the decimals that the exchange wrote; `permission_sets` is JSON."""

CHANGES: Final = pl.Schema(
    {"symbol": pl.String(), "change": pl.String(), "field": pl.String(), "before": pl.String(), "after": pl.String()}
)

_NAMES: Final = {"symbol": "symbol", "status": "status", "base_asset": "baseAsset", "quote_asset": "quoteAsset"}
_PRECISIONS: Final = {"base_precision": "baseAssetPrecision", "quote_precision": "quoteAssetPrecision"}
_FLAGS: Final = {"is_spot": "isSpotTradingAllowed", "is_margin": "isMarginTradingAllowed"}
_FILTERS: Final = {
    "tick_size": (("PRICE_FILTER",), "tickSize"),
    "min_price": (("PRICE_FILTER",), "minPrice"),
    "step_size": (("LOT_SIZE",), "stepSize"),
    "min_qty": (("LOT_SIZE",), "minQty"),
    "max_qty": (("LOT_SIZE",), "maxQty"),
    "min_notional": (("NOTIONAL", "MIN_NOTIONAL"), "minNotional"),  # the older name is Binance.US's
}
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")

Row = dict[str, object]


def exchange_info(answer: Mapping[str, object], as_of: datetime) -> pl.DataFrame:
    """Rows of one answer, sorted by symbol, without the entries that are `unusable`.

    Parameters
    ----------
    answer
        The decoded JSON.
    as_of
        When it was asked for; with a time zone.

    Returns
    -------
    pl.DataFrame
        SCHEMA; null where the entry has no such field or filter, or one of another kind.

    Raises
    ------
    ArchiveError
        No list of symbols, no symbol in it, one that is listed twice, or more than half of the entries unusable.
    """
    entries = _entries(answer)
    rows = [row for row in map(_row, entries) if row is not None]
    if 2 * len(rows) < len(entries):
        left_out = unusable(answer)
        raise ArchiveError(
            f"exchangeInfo: symbols: expected {', '.join(_NAMES.values())} in most of {len(entries)} entries, "
            f"found {len(left_out)} without, first {left_out[0]}; ask again"
        )
    frame = pl.DataFrame(rows, schema={name: kind for name, kind in SCHEMA.items() if name != "as_of"})
    twice = frame.filter(pl.col("symbol").is_duplicated())
    if twice.height:
        raise ArchiveError(
            f"exchangeInfo: {twice['symbol'][0]}: expected each symbol once, found it several times; ask again"
        )
    return frame.with_columns(as_of=pl.lit(as_of).cast(SCHEMA["as_of"])).sort("symbol")


def unusable(answer: Mapping[str, object]) -> list[str]:
    """Entries without a symbol, status, base and quote that are tickers, by their symbols or else as they stand."""
    return [_called(entry) for entry in _entries(answer) if _row(entry) is None]


def changes(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """What is different in a later snapshot.

    Parameters
    ----------
    before, after
        Two results of `exchange_info`.

    Returns
    -------
    pl.DataFrame
        CHANGES, sorted by symbol and field. `change` is `listed` (trades now, did not before), `delisted` (gone, or no
        longer TRADING) or `changed` (any other field; for these `field` names it). A symbol that is gone has no `after`.
    """
    fields = [name for name in SCHEMA if name not in {"symbol", "as_of"}]
    old, new = (_long(frame, fields) for frame in (before, after))
    both = old.join(new, on=["symbol", "field"], how="full", coalesce=True, suffix="_new")
    different = both.rename({"value": "before", "value_new": "after"}).filter(
        pl.col("before").ne_missing(pl.col("after"))
    )
    traded, trades = ((pl.col(when) == "TRADING").fill_null(value=False) for when in ("before", "after"))
    status = pl.col("field") == "status"
    change = (
        pl.when(status & trades)
        .then(pl.lit("listed"))
        .when(status & traded)
        .then(pl.lit("delisted"))
        .otherwise(pl.lit("changed"))
    )
    # Of a symbol that came or went whole, its status says all.
    stayed = before.join(after, on="symbol", how="semi")["symbol"]
    kept = status | pl.col("symbol").is_in(stayed.implode())
    return different.with_columns(change=change).filter(kept).select(CHANGES.names()).sort("symbol", "field")


def _long(frame: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    texts = frame.select("symbol", *(pl.col(name).cast(pl.String) for name in fields))
    return texts.unpivot(fields, index="symbol", variable_name="field", value_name="value")


def _entries(answer: Mapping[str, object]) -> list[object]:
    entries = answer.get("symbols")
    if not isinstance(entries, list):
        raise ArchiveError(f"exchangeInfo: symbols: expected list, found {entries!r:.80}; ask again")
    if not entries:
        raise ArchiveError("exchangeInfo: symbols: expected at least one, found none; ask again")
    return entries


def _row(entry: object) -> Row | None:
    """What an entry says of its symbol; None for an unusable one."""
    if not isinstance(entry, dict):
        return None
    row: Row = {name: entry.get(key) for name, key in _NAMES.items()}
    if not all(isinstance(value, str) and is_symbol(value) for value in row.values()):
        return None
    row |= {name: _count(entry.get(key)) for name, key in _PRECISIONS.items()}
    row |= {name: value if isinstance(value := entry.get(key), bool) else None for name, key in _FLAGS.items()}
    # Binance.US still answers with the one set that came before them.
    sets = entry["permissionSets"] if "permissionSets" in entry else [entry.get("permissions")]
    row["permission_sets"] = json.dumps(sets, separators=(",", ":")) if _lists(sets) else None
    filters = entry.get("filters")
    found = [item for item in filters if isinstance(item, dict)] if isinstance(filters, list) else []
    return row | {name: _decimal(found, kinds, key) for name, (kinds, key) in _FILTERS.items()}


def _called(entry: object) -> str:
    symbol = entry.get("symbol", entry) if isinstance(entry, dict) else entry
    return symbol if isinstance(symbol, str) and is_symbol(symbol) else f"{symbol!r:.60}"


def _count(value: object) -> int | None:
    # To Python true is a number; to the exchange it is not.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _lists(sets: object) -> bool:
    return isinstance(sets, list) and all(isinstance(one, list) for one in sets)


def _decimal(filters: list[dict[str, Any]], kinds: tuple[str, ...], key: str) -> str | None:
    text = next((item.get(key) for item in filters if item.get("filterType") in kinds), None)
    return text if isinstance(text, str) and _DECIMAL.fullmatch(text) else None
