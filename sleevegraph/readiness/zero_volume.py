"""Days on which a symbol was open and nobody traded."""

import polars as pl


def zero_volume(bars: pl.DataFrame) -> pl.DataFrame:
    """Symbols that have bars without volume.

    Parameters
    ----------
    bars
        [symbol, date, volume].

    Returns
    -------
    pl.DataFrame
        [symbol, days, first, last], sorted by days (descending) and symbol: how many such days, the first and the last.
    """
    return (
        bars.filter(pl.col("volume") == 0)
        .group_by("symbol")
        .agg(
            pl.len().cast(pl.Int64).alias("days"),
            pl.col("date").min().alias("first"),
            pl.col("date").max().alias("last"),
        )
        .sort("days", "symbol", descending=[True, False])
    )
