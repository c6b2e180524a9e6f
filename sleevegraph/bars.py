"""The bar contract: what a daily bar is, how foreign bars become one, and how stored bars are revised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Final

import polars as pl

from sleevegraph.errors import BarsError

PRICES: Final = ("open", "high", "low", "close")
KEY: Final = ("symbol", "date")

BAR_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "base": pl.String(),
        "quote": pl.String(),
        "date": pl.Date(),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "quote_volume": pl.Float64(),
        "quote_volume_derived": pl.Boolean(),
    }
)
"""Columns of a bar, in order: one UTC day of one symbol; `volume` in base units."""

# fmt: off
KNOWN_QUOTES: Final = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "USDS", "PAX", "USD1", "AEUR", "EURI", "UST", "BTC",
    "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "EUR", "GBP", "AUD", "TRY", "BRL", "JPY", "ARS", "COP", "CZK",
    "IDRT", "BIDR", "BKRW", "BVND", "MXN", "NGN", "PLN", "RON", "RUB", "UAH", "VAI", "ZAR",
)
# fmt: on
"""Quote assets of Binance Spot, for bars that come without exchange metadata."""

_TICKER = r"^[\p{L}\p{N}][\p{L}\p{N}\p{M}]*$"
_SYMBOL = r"^[A-Z][A-Z0-9_]*:[\p{L}\p{N}][\p{L}\p{N}\p{M}]*$"
_ISO_DAY = r"^\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?(Z|\+00:00))?$"


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What one ingest changed. `first_revised` is the earliest date whose stored bar was replaced or withdrawn."""

    added: int
    revised: int
    withdrawn: int
    unchanged: int
    first_revised: date | None


def validate_bars(frame: pl.DataFrame, where: str) -> None:
    """Raise BarsError, naming `where` and the first offender, unless `frame` keeps the bar contract.

    Symbols may interleave, but the dates of one symbol must increase strictly in file order. The order
    of open, high, low and close is left to the completeness gate, which judges it per rebalance.
    """
    for name, dtype in BAR_SCHEMA.items():
        _require_column(frame, name, where)
        if frame.schema[name] != dtype:
            raise BarsError(
                f"{where}: {name}: expected type {dtype}, found {frame.schema[name]}; cast the column first"
            )
    _validate_identities(frame, where)
    _validate_values(frame, where)
    _validate_order(frame, where)


def canonical_bars(
    raw: pl.DataFrame, where: str, *, exchange: str = "BINANCE", quotes: Sequence[str] = KNOWN_QUOTES
) -> pl.DataFrame:
    """Foreign daily bars as validated BAR_SCHEMA rows, sorted by symbol and date.

    Parameters
    ----------
    raw
        At least symbol, date, open, high, low, close, volume, in file order. `base`, `quote` and
        `quote_volume` are used when given; other columns are ignored. A quote volume that is absent
        or null becomes close x volume and is marked as derived.
    where
        The file, as it shall stand in errors.
    exchange
        Prefix for symbols that have none.
    quotes
        Quote assets that a symbol may end in, where `raw` names no base and quote.

    Raises
    ------
    BarsError
        A broken contract, a date that is not a UTC day, or a symbol whose quote is unknown or ambiguous.
    """
    for name in (*KEY, *PRICES, "volume"):
        _require_column(raw, name, where)
    if raw.schema["symbol"] != pl.String:
        raise BarsError(f"{where}: symbol: expected text, found {raw.schema['symbol']}; cast the column first")
    columns = {"symbol": _prefixed(raw["symbol"], exchange)}
    columns |= _identities(raw, columns["symbol"], quotes, where)
    columns["date"] = _utc_days(raw, where)
    for name in (*PRICES, "volume"):
        columns[name] = _numbers(raw, name, where)
    columns |= _quote_volumes(raw, columns["close"] * columns["volume"], where)
    bars = pl.DataFrame([columns[name].alias(name) for name in BAR_SCHEMA])
    validate_bars(bars, where)
    return bars.sort(KEY)


def merge_bars(
    stored: pl.DataFrame, incoming: pl.DataFrame, *, whole: bool = False
) -> tuple[pl.DataFrame, MergeReport]:
    """Stored bars with `incoming` put over them: on one (symbol, date) the incoming record wins.

    Both frames keep the bar contract; so does the result, sorted by symbol and date. Merging the same
    bars again changes nothing. With `whole`, stored bars that `incoming` lacks are withdrawn.
    """
    old, new = stored.select(BAR_SCHEMA.names()), incoming.select(BAR_SCHEMA.names())
    values = [name for name in BAR_SCHEMA if name not in KEY]
    both = new.join(old, on=KEY, how="inner", suffix="_old")
    changed = both.filter(pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_old")) for v in values))
    others = old.join(new, on=KEY, how="anti")
    kept, withdrawn = (others.clear(), others) if whole else (others, others.clear())
    merged = pl.concat([kept, new]).sort(KEY)
    _validate_identities(merged, "daily_bars with the new bars")
    first = pl.concat([changed["date"], withdrawn["date"]]).min()
    return merged, MergeReport(
        added=new.height - both.height,
        revised=changed.height,
        withdrawn=withdrawn.height,
        unchanged=both.height - changed.height,
        first_revised=first if isinstance(first, date) else None,
    )


def _require_column(frame: pl.DataFrame, name: str, where: str) -> None:
    if name not in frame.columns:
        found = ", ".join(frame.columns[:12]) or "none"
        raise BarsError(f"{where}: {name}: expected a column of that name, found {found}; add or rename it")


def _validate_identities(frame: pl.DataFrame, where: str) -> None:
    """Names are few, so they are judged once each and not per row."""
    names = frame.select("symbol", "base", "quote").unique(maintain_order=True)
    for column, pattern in (("symbol", _SYMBOL), ("base", _TICKER), ("quote", _TICKER)):
        broken = names.filter(~pl.col(column).str.contains(pattern).fill_null(value=False))
        if broken.height:
            expected = "EXCHANGE:TICKER" if column == "symbol" else "letters and digits"
            raise BarsError(
                f"{where}: {broken['symbol'][0]}: {column}: expected {expected}, found {broken[column][0]!r}; correct it"
            )
    twice = names.filter(pl.col("symbol").is_duplicated()).head(2)
    if twice.height:
        pairs = " and ".join(f"{base}/{quote}" for _, base, quote in twice.sort("symbol", maintain_order=True).rows())
        raise BarsError(f"{where}: {twice['symbol'][0]}: base, quote: expected one pair per symbol, found {pairs}")


def _validate_values(frame: pl.DataFrame, where: str) -> None:
    expected = dict.fromkeys(PRICES, "a finite price > 0")
    expected |= dict.fromkeys(("volume", "quote_volume"), "a finite volume >= 0")
    expected |= {"date": "a date", "quote_volume_derived": "true or false"}
    sound = {c: pl.col(c).is_finite() & (pl.col(c) > 0) for c in PRICES}
    sound |= {c: pl.col(c).is_finite() & (pl.col(c) >= 0) for c in ("volume", "quote_volume")}
    sound |= {c: pl.col(c).is_not_null() for c in ("date", "quote_volume_derived")}
    flags = frame.select((~rule).fill_null(value=True).alias(c) for c, rule in sound.items())
    broken = flags.select(pl.any_horizontal(pl.all())).to_series()
    row = broken.arg_max()
    if row is None or not broken[row]:
        return
    column = next(c for c in flags.columns if flags[c][row])
    raise BarsError(
        f"{where}: {frame['symbol'][row]} {frame['date'][row]}: {column}: expected {expected[column]}, "
        f"found {frame[column][row]}; correct or drop the row"
    )


def _validate_order(frame: pl.DataFrame, where: str) -> None:
    backwards = frame.select(pl.col("date").diff().over("symbol") <= pl.duration()).to_series().fill_null(value=False)
    if not backwards.any():
        return
    repeated = frame.filter(frame.select(KEY).is_duplicated())
    if repeated.height:
        symbol, day = repeated.select(KEY).row(0)
        raise BarsError(f"{where}: {symbol} {day}: date: expected one bar a day, found several; keep one of them")
    symbol, day = frame.filter(backwards).select(KEY).row(0)
    raise BarsError(
        f"{where}: {symbol} {day}: date: expected a later date than the row before, found {day}; sort the file"
    )


def _prefixed(symbols: pl.Series, exchange: str) -> pl.Series:
    bare = ~symbols.str.contains(":", literal=True)
    return pl.select(pl.when(bare).then(exchange + ":" + symbols).otherwise(symbols)).to_series()


def _identities(raw: pl.DataFrame, symbols: pl.Series, quotes: Sequence[str], where: str) -> dict[str, pl.Series]:
    """Base and quote as the exchange names them, else read off the symbol where only one reading exists."""
    if {"base", "quote"} <= set(raw.columns):
        return {"base": raw["base"], "quote": raw["quote"]}
    base, quote = {}, {}
    for symbol in symbols.drop_nulls().unique(maintain_order=True):
        ticker = symbol.split(":", 1)[1]
        found = [q for q in quotes if ticker.endswith(q) and ticker != q]
        if len(found) != 1:
            # ADAEUR ends in AEUR and in EUR: taking the longer one would make ADA another coin.
            raise BarsError(
                f"{where}: {symbol}: symbol: expected a base followed by one known quote ({', '.join(quotes[:4])} …), "
                f"found {' or '.join(found) or 'none'}; add columns base and quote"
            )
        base[symbol], quote[symbol] = ticker.removesuffix(found[0]), found[0]
    kind = pl.String()
    return {
        "base": symbols.replace_strict(base, default=None, return_dtype=kind),
        "quote": symbols.replace_strict(quote, default=None, return_dtype=kind),
    }


def _utc_days(raw: pl.DataFrame, where: str) -> pl.Series:
    """The date column as UTC days; what could be another zone's day is refused, never assumed."""
    days = raw["date"]
    if days.dtype == pl.Date:
        return days
    if days.dtype == pl.Datetime:
        zone = getattr(days.dtype, "time_zone", None)
        if zone != "UTC":
            found = f"time zone {zone}" if zone else "a timestamp without a time zone"
            raise BarsError(f"{where}: date: expected dates or UTC timestamps, found {found}; convert to UTC")
        _require_days(raw, days.is_null() | (days.dt.time() == time()), "midnight UTC, one bar a day", where)
        return days.dt.date()
    if days.dtype == pl.String:
        parsed = days.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        iso = days.is_null() | (days.str.contains(_ISO_DAY) & parsed.is_not_null())
        _require_days(raw, iso, "an ISO date such as 2021-04-05, or its midnight with Z or +00:00", where)
        return parsed
    raise BarsError(f"{where}: date: expected dates or UTC timestamps, found type {days.dtype}; convert the column")


def _require_days(raw: pl.DataFrame, sound: pl.Series, expected: str, where: str) -> None:
    broken = raw.filter(~sound)
    if broken.height:
        symbol, found = broken.select(KEY).row(0)
        raise BarsError(f"{where}: {symbol}: date: expected {expected}, found {str(found)!r}; convert the column")


def _numbers(raw: pl.DataFrame, name: str, where: str) -> pl.Series:
    if not raw.schema[name].is_numeric():
        raise BarsError(f"{where}: {name}: expected numbers, found type {raw.schema[name]}; cast the column first")
    return raw[name].cast(pl.Float64)


def _quote_volumes(raw: pl.DataFrame, derived: pl.Series, where: str) -> dict[str, pl.Series]:
    absent = pl.repeat(value=True, n=raw.height, dtype=pl.Boolean(), eager=True)
    if "quote_volume" not in raw.columns or raw.schema["quote_volume"] == pl.Null:
        return {"quote_volume": derived, "quote_volume_derived": absent}
    given = _numbers(raw, "quote_volume", where)
    marked = given.is_null()
    if raw.schema.get("quote_volume_derived") == pl.Boolean:
        marked |= raw["quote_volume_derived"].fill_null(value=False)
    return {"quote_volume": given.fill_null(derived), "quote_volume_derived": marked}
