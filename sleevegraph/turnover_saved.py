"""What netting saves: sleeves that trade through one book cross with each other before anything reaches the market."""

from math import fsum

import polars as pl

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.track_record import CASH

TURNOVER_SCHEMA = pl.Schema(
    {"profile": pl.String(), "alone": pl.Float64(), "traded": pl.Float64(), "saved": pl.Float64()}
)


def turnover_saved(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Turnover of every risk profile from one book to another, in shares of wealth; sales and purchases both count.

    Parameters
    ----------
    before, after
        `meta_book.FLAT_SCHEMA` rows of the drifted book in force before P and of the one from P on. Cash is no trade;
        dust is not held.

    Returns
    -------
    pl.DataFrame
        `TURNOVER_SCHEMA`, a row for each risk profile: `alone` is the sum over paths and symbols of |change of the
        contribution|, which the sleeves would trade by themselves; `traded` the sum over symbols of |change of net|;
        `saved` the first less the second, never negative.
    """
    rows = []
    for profile in RISK_PROFILES:
        held = pl.concat([_held(before, profile, -1.0), _held(after, profile, 1.0)])
        alone = _turnover(held.explode("contributions").unnest("contributions"), ["symbol", "path"], "contribution")
        traded = _turnover(held, ["symbol"], "net")
        rows.append((profile, alone, traded, max(alone - traded, 0.0)))
    return pl.DataFrame(rows, schema=TURNOVER_SCHEMA, orient="row")


def _held(flat: pl.DataFrame, profile: str, side: float) -> pl.DataFrame:
    rows = flat.filter(pl.col("profile") == profile, ~pl.col("dust"), pl.col("symbol") != CASH)
    return rows.select("symbol", "net", "contributions", pl.lit(side).alias("side"))


def _turnover(held: pl.DataFrame, keys: list[str], column: str) -> float:
    """Sum of |after - before|, exact, so that the order of rows does not matter."""
    changes = held.group_by(keys, maintain_order=True).agg((pl.col(column) * pl.col("side")).sum())
    return fsum(changes[column].abs())
