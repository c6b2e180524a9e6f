"""Where the archive and the REST API tell different things of one bar."""

from typing import Final

import polars as pl

KEY: Final = ("symbol", "open_time")


def cross_check(archive: pl.DataFrame, rest: pl.DataFrame) -> pl.DataFrame:
    """Values that differ on the bars that both have.

    Both are the exchange's own decimals, so they are equal exactly or not at all.

    Parameters
    ----------
    archive, rest
        Klines, one row a bar; `rest` has the `host` that served each. Compared are the numbers that both have.

    Returns
    -------
    pl.DataFrame
        [symbol, open_time, field, archive, rest, host], sorted by symbol, open_time and field.
    """
    fields = [name for name, kind in archive.schema.items() if kind.is_numeric() and name in rest.columns]
    both = archive.select(*KEY, *fields).join(rest.select(*KEY, *fields, "host"), on=KEY, suffix="_rest")
    differing = [
        both.filter(pl.col(name).ne_missing(pl.col(f"{name}_rest"))).select(
            *KEY,
            pl.lit(name).alias("field"),
            pl.col(name).cast(pl.Float64).alias("archive"),
            pl.col(f"{name}_rest").cast(pl.Float64).alias("rest"),
            "host",
        )
        for name in fields
    ]
    return pl.concat(differing).sort(*KEY, "field")
