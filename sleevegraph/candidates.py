"""Section 4: eligible symbols whose rating, or score of a signal, points the sleeve's way, the strongest first."""

import polars as pl

from sleevegraph.atoms import sign_of
from sleevegraph.manifest import SleeveProfile

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
    """Rank the eligible symbols by the sleeve's rating and keep the first `limit`.

    A LONG sleeve takes ratings above zero, highest first; a SHORT sleeve those below zero, lowest first. A sleeve with
    quotes of its own takes symbols quoted in these only.
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
        [symbol, rating, median_quote_volume, rank, kept, reason], one row per eligible symbol in order of
        rank (null where the rating is unknown or points the other way, or the quote is another), then of symbol.
        `reason` is kept, beyond_limit, rating_wrong_sign, rating_unknown or other_quote.
    """
    rating = pl.col("rating")
    quoted = pl.col("quote").is_in(list(sleeve.quotes)) if sleeve.quotes else pl.lit(value=True)
    favourable = (quoted & (sign_of(sleeve.direction) * rating > 0)).fill_null(value=False)
    known = ratings.select("symbol", rating.fill_nan(None))
    ordered = (
        universe.filter("eligible")
        .select("symbol", "quote", "median_quote_volume")
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
        pl.when(~quoted)
        .then(pl.lit("other_quote"))
        .when(rating.is_null())
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
