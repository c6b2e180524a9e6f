"""Daily klines of the exchange as bars under the bar contract."""

from collections.abc import Mapping

import polars as pl

from sleevegraph.bars import BAR_SCHEMA, KEY, validate_bars
from sleevegraph.manifest import SymbolRules
from sleevegraph.symbols import split_symbol


def daily_bars(
    rows: pl.DataFrame, pairs: Mapping[str, tuple[str, str]], rules: SymbolRules, exchange: str
) -> tuple[pl.DataFrame, list[str]]:
    """BAR_SCHEMA rows of one-day klines, and the symbols left out because nobody says what is quoted in what.

    Parameters
    ----------
    rows
        Klines [symbol, open_time, open, high, low, close, volume, quote_volume, …], each (symbol, day) once.
    pairs
        Base and quote as the exchange names them.
    rules
        Quote assets, for symbols that the exchange no longer names.
    exchange
        Prefix of the symbols.

    Raises
    ------
    BarsError
        Rows that break the bar contract.
    """
    symbols = rows["symbol"].unique().sort().to_list()
    # A bar's symbol is letters and digits; Spot has no other, but a folder of the archive may be called anything.
    split = {symbol: None if "_" in symbol else split_symbol(symbol, pairs, rules) for symbol in symbols}
    names = pl.DataFrame(
        [(symbol, *pair) for symbol, pair in split.items() if pair],
        schema={"ticker": pl.String(), "base": pl.String(), "quote": pl.String()},
        orient="row",
    )
    bars = rows.rename({"symbol": "ticker"}).join(names, on="ticker", how="inner")
    bars = bars.select(
        pl.concat_str(pl.lit(f"{exchange}:"), "ticker").alias("symbol"),
        "base",
        "quote",
        pl.col("open_time").dt.date().alias("date"),
        *("open", "high", "low", "close", "volume", "quote_volume"),
        pl.lit(value=False).alias("quote_volume_derived"),
    ).sort(KEY)
    validate_bars(bars.select(BAR_SCHEMA.names()), "daily klines of the exchange")
    return bars, [symbol for symbol, pair in split.items() if pair is None]
