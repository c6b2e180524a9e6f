"""Section 4: eligible symbols whose rating, or score of a signal, points the sleeve's way, the strongest first."""

import polars as pl

from sleevegraph.atoms import sign_of
from sleevegraph.manifest import SleeveProfile
from sleevegraph.universe import eligible_in

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "rating": pl.Float64(),
        "median_quote_volume": pl.Float64(),
        "rank": pl.Int64(),
        "kept": pl.Boolean(),
        "reason": pl.String(),
    }
)


def candidates(universe: pl.DataFrame, ratings: pl.DataFrame, sleeve: SleeveProfile) -> pl.DataFrame:
    """Rank the symbols that the sleeve may hold by its rating and keep the first `limit`.

    A LONG sleeve takes ratings above zero, highest first; a SHORT sleeve those below zero, lowest first.
    Ties go to the larger median quote volume, then to the symbol.

    Parameters
    ----------
    universe
        What `sleevegraph.universe.universe` returned for P.
    ratings
        [symbol, rating] at P, a technical rating or a signal's score; null or NaN is unknown.
    sleeve
        Says which direction, which quotes and how many.

    Returns
    -------
    pl.DataFrame
        [symbol, rating, median_quote_volume, rank, kept, reason], one row per symbol of `eligible_in` in
        order of rank (null where the rating is unknown or points the other way), then of symbol. `reason` is kept,
        beyond_limit, rating_wrong_sign or rating_unknown.
    """
    rating = pl.col("rating")
    favourable = (sign_of(sleeve.direction) * rating > 0).fill_null(value=False)
    known = ratings.select("symbol", rating.fill_nan(None))
    ordered = (
        eligible_in(universe, sleeve.quotes)
        .select("symbol", "median_quote_volume")
        .join(known, on="symbol", how="left", validate="1:1")
        .with_columns(favourable=favourable, strength=sign_of(sleeve.direction) * rating)
        .sort(
            "favourable",
            pl.when("favourable").then("strength"),
            pl.when("favourable").then("median_quote_volume"),
            "symbol",
            descending=[True, True, True, False],
        )
    )
    reason = (
        pl.when(rating.is_null())
        .then(pl.lit("rating_unknown"))
        .when(pl.col("rank").is_null())
        .then(pl.lit("rating_wrong_sign"))
        .when(pl.col("rank") > sleeve.selection.limit)
        .then(pl.lit("beyond_limit"))
        .otherwise(pl.lit("kept"))
    )
    return (
        ordered.with_columns(rank=pl.when("favourable").then(pl.int_range(1, pl.len() + 1)))
        .with_columns(reason=reason)
        .with_columns(kept=pl.col("reason") == "kept")
        .select(SCHEMA.names())
        .cast(SCHEMA)
    )
