"""What the weights of a meta's children rest on, per risk profile: the days that joined, and the bounds that bind."""

from math import sqrt

import polars as pl

from sleevegraph.manifest import RISK_PROFILES, MetaProfile

JOIN_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "rows_used": pl.Int64(),
        "rows_lost": pl.Int64(),
        "lost_share": pl.Float64(),
        "lost_for": pl.String(),
    }
)
BOUNDS_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "moved": pl.Float64(),
        "at_min": pl.List(pl.String()),
        "at_max": pl.List(pl.String()),
    }
)
SHOWN = 5
"""Children named per profile, those that lack most days first."""


def joins(rows: pl.DataFrame) -> pl.DataFrame:
    """`JOIN_SCHEMA` of `meta_book.WEIGHTS_SCHEMA` rows: `lost_for` says who lacks how many of the rows lost."""
    found = []
    for profile, own in _profiles(rows):
        lacking = own.filter(pl.col("rows_missing") > 0).sort(-pl.col("rows_missing"), "child")
        named = [f"{child} ({days})" for child, days in lacking.select("child", "rows_missing").iter_rows()]
        more = [f"{len(named) - SHOWN} more"] if len(named) > SHOWN else []
        shares = own.select("rows_used", "rows_lost", "lost_share").row(0)
        found.append((profile, *shares, ", ".join([*named[:SHOWN], *more])))
    return pl.DataFrame(found, schema=JOIN_SCHEMA, orient="row")


def bounds(rows: pl.DataFrame, meta: MetaProfile) -> pl.DataFrame:
    """`BOUNDS_SCHEMA` of `meta_book.WEIGHTS_SCHEMA` rows.

    `moved` is the Euclidean distance from the weights without bounds, null of weights that are held over; `at_min` and
    `at_max` are the children whose bound binds, none where nothing was moved.
    """
    found = []
    for profile, own in _profiles(rows):
        squares = (own["weight"] - own["unbounded"]) ** 2
        moved = None if squares.null_count() else sqrt(squares.sum())
        binding = own if moved else own.clear()
        low, high = (binding.filter(pl.col("weight") == b)["child"] for b in (meta.weight_min, meta.weight_max))
        found.append((profile, moved, low.to_list(), high.to_list()))
    return pl.DataFrame(found, schema=BOUNDS_SCHEMA, orient="row")


def lost_too_much(rows: pl.DataFrame, meta: MetaProfile) -> list[str]:
    """One line per risk profile of which the join lost more than the meta's share of the days."""
    return [
        f"{profile}: the join of dates lost {lost} of {used + lost} days ({share:.0%}), for lack of {who}"
        for profile, used, lost, share, who in joins(rows).iter_rows()
        if share is not None and share > meta.max_rows_lost
    ]


def _profiles(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    parts = rows.partition_by("profile", as_dict=True)
    return [(profile, parts[(profile,)]) for profile in RISK_PROFILES if (profile,) in parts]
