"""Whether fine bars add up to the coarse ones."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import polars as pl

KEY: Final = ("symbol", "open_time")
SUM_TOLERANCE: Final = 1e-9
"""Relative, of sums: decimals that are added as binary fractions."""

_RULES: Final[Mapping[str, pl.Expr]] = {
    "open": pl.col("open").first(),
    "high": pl.col("high").max(),
    "low": pl.col("low").min(),
    "close": pl.col("close").last(),
    "volume": pl.col("volume").sum(),
    "quote_volume": pl.col("quote_volume").sum(),
    "trades": pl.col("trades").sum(),
}
_SUMS: Final = ("volume", "quote_volume", "trades")


def interval_sums(
    fine: pl.DataFrame, coarse: pl.DataFrame, fine_step: timedelta, coarse_step: timedelta
) -> pl.DataFrame:
    """Values of coarse bars that their fine bars do not add up to.

    Parameters
    ----------
    fine, coarse
        Klines, one row a bar, in any order. Compared are open (first), high (largest), low (smallest), close (last),
        volume, quote_volume and trades (sums), where both have the column and a value.
    fine_step, coarse_step
        From one bar to the next; the second is a multiple of the first.

    Returns
    -------
    pl.DataFrame
        [symbol, open_time, field, fine, coarse, fine_missing], sorted by symbol, open_time and field, of coarse bars that
        have fine bars at all. `fine_missing` is how many of theirs are not there: where it is above 0, they may be wrong
        and the coarse bar right.
    """
    fields = [name for name in _RULES if name in fine.columns and name in coarse.columns]
    both = added_up(fine, fields, coarse_step).join(coarse.select(*KEY, *fields), on=KEY, suffix="_coarse")
    missing = coarse_step // fine_step - pl.col("fine_bars")
    differing = [
        both.filter(_differs(name)).select(
            *KEY,
            pl.lit(name).alias("field"),
            pl.col(name).cast(pl.Float64).alias("fine"),
            pl.col(f"{name}_coarse").cast(pl.Float64).alias("coarse"),
            missing.alias("fine_missing"),
        )
        for name in fields
    ]
    return pl.concat(differing).sort(*KEY, "field")


def added_up(fine: pl.DataFrame, fields: list[str], coarse_step: timedelta) -> pl.DataFrame:
    """[symbol, open_time, *fields, fine_bars] of the coarse bars that `fine` makes."""
    return (
        fine.sort(*KEY)
        .group_by("symbol", pl.col("open_time").dt.truncate(coarse_step), maintain_order=True)
        .agg(*(_RULES[name] for name in fields), pl.len().cast(pl.Int64).alias("fine_bars"))
    )


def _differs(name: str) -> pl.Expr:
    fine, coarse = pl.col(name), pl.col(f"{name}_coarse")
    if name in _SUMS:
        return (fine - coarse).abs() > SUM_TOLERANCE * pl.max_horizontal(fine.abs(), coarse.abs())
    return fine != coarse
