"""What the exchange says of its symbols: `GET /api/v3/exchangeInfo` as rows, and what changed between two answers."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeVar

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

_TEXTS: Final = {"status": "status", "base_asset": "baseAsset", "quote_asset": "quoteAsset"}
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

Value = TypeVar("Value")
Row = dict[str, object]


def exchange_info(answer: Mapping[str, object], as_of: datetime) -> pl.DataFrame:
    """Rows of one answer, sorted by symbol.

    Parameters
    ----------
    answer
        The decoded JSON.
    as_of
        When it was asked for; with a time zone.

    Returns
    -------
    pl.DataFrame
        SCHEMA.

    Raises
    ------
    ArchiveError
        A field that is absent or of another kind, a symbol listed twice, or no symbol at all.
    """
    entries = _field(answer, "symbols", list, "the answer")
    if not entries:
        raise ArchiveError("exchangeInfo: symbols: expected at least one, found none; ask again")
    rows = [_row(entry, number) for number, entry in enumerate(entries)]
    frame = pl.DataFrame(rows, schema={name: kind for name, kind in SCHEMA.items() if name != "as_of"})
    twice = frame.filter(pl.col("symbol").is_duplicated())
    if twice.height:
        raise ArchiveError(
            f"exchangeInfo: {twice['symbol'][0]}: expected each symbol once, found it several times; ask again"
        )
    return frame.with_columns(as_of=pl.lit(as_of).cast(SCHEMA["as_of"])).sort("symbol")


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
    kept = status | (pl.col("before").is_not_null() & pl.col("after").is_not_null())
    return different.with_columns(change=change).filter(kept).select(CHANGES.names()).sort("symbol", "field")


def _long(frame: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    texts = frame.select("symbol", *(pl.col(name).cast(pl.String) for name in fields))
    return texts.unpivot(fields, index="symbol", variable_name="field", value_name="value")


def _row(entry: object, number: int) -> Row:
    if not isinstance(entry, dict):
        raise ArchiveError(f"exchangeInfo: symbols[{number}]: expected an object, found {entry!r:.80}; ask again")
    symbol = _field(entry, "symbol", str, f"symbols[{number}]")
    if not is_symbol(symbol):
        raise ArchiveError(f"exchangeInfo: symbols[{number}]: expected a symbol, found {symbol!r:.80}; ask again")
    row: Row = {"symbol": symbol}
    row |= {name: _field(entry, key, str, symbol) for name, key in _TEXTS.items()}
    row |= {name: _field(entry, key, int, symbol) for name, key in _PRECISIONS.items()}
    row |= {name: _field(entry, key, bool, symbol) for name, key in _FLAGS.items()}
    # Binance.US still answers with the one set that came before them.
    sets = _field(entry, "permissionSets", list, symbol) if "permissionSets" in entry else [entry.get("permissions")]
    row["permission_sets"] = json.dumps(sets, separators=(",", ":"))
    filters = _field(entry, "filters", list, symbol)
    return row | {name: _decimal(filters, kinds, key, symbol) for name, (kinds, key) in _FILTERS.items()}


def _decimal(filters: list[object], kinds: tuple[str, ...], key: str, symbol: str) -> str:
    for entry in filters:
        if isinstance(entry, dict) and entry.get("filterType") in kinds:
            text = _field(entry, key, str, f"{symbol}: {entry['filterType']}")
            if _DECIMAL.fullmatch(text):
                return text
            raise ArchiveError(f"exchangeInfo: {symbol}: {key}: expected a decimal, found {text!r:.80}; ask again")
    raise ArchiveError(f"exchangeInfo: {symbol}: filters: expected {' or '.join(kinds)}, found none; ask again")


def _field(entry: Mapping[str, object], key: str, kind: type[Value], where: str) -> Value:
    value = entry.get(key)
    # To Python true is a number; to the exchange it is not.
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) and value != "":
        return value
    raise ArchiveError(f"exchangeInfo: {where}: {key}: expected {kind.__name__}, found {value!r:.80}; ask again")
