"""A meta at one rebalance as tables: its tree of weights, its leaves, and the physical book they flatten to."""

from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np
import polars as pl

from sleevegraph.errors import ConfigurationError
from sleevegraph.flattening import DUST, book_contributions, flat_books, leaf_rows
from sleevegraph.ledgers import Ledgers
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.metas import MetaSolution
from sleevegraph.panel import Floats
from sleevegraph.track_record import CASH
from sleevegraph.tree import Tree

WEIGHTS_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "child": pl.String(),
        "weight": pl.Float64(),
        "unbounded": pl.Float64(),
        "status": pl.String(),
        "reason": pl.String(),
        "rows_used": pl.Int64(),
        "rows_lost": pl.Int64(),
        "lost_share": pl.Float64(),
        "rows_missing": pl.Int64(),
        "volatility": pl.Float64(),
        "meta_volatility": pl.Float64(),
    }
)
"""One row per risk profile and child; what concerns the profile as a whole stands in every row of it."""
FLAT_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "net": pl.Float64(),
        "gross": pl.Float64(),
        "netted": pl.Float64(),
        "dust": pl.Boolean(),
        "contributions": pl.List(pl.Struct({"path": pl.String(), "contribution": pl.Float64()})),
    }
)

_EDGES = {"node": pl.String, "parent": pl.String, "weight": pl.Float64}

_UNSOLVED = {**dict.fromkeys(WEIGHTS_SCHEMA), "status": "held", "rows_used": 0, "rows_lost": 0, "lost_share": 0.0}

Book = Mapping[str, Mapping[str, float]]
"""Weights by two names: of a symbol in a sleeve, or of a child under a risk profile."""


def weights_rows(solutions: Mapping[str, MetaSolution]) -> pl.DataFrame:
    """Solutions by risk profile as rows in `WEIGHTS_SCHEMA`."""
    return pl.DataFrame(
        [
            {
                "profile": profile,
                "child": child,
                "weight": weight,
                "unbounded": solution.unbounded[child],
                "status": solution.status,
                "reason": solution.reason,
                "rows_used": solution.rows_used,
                "rows_lost": solution.rows_lost,
                "lost_share": solution.lost_share,
                "rows_missing": solution.rows_missing[child],
                "volatility": solution.volatility[child],
                "meta_volatility": solution.meta_volatility,
            }
            for profile, solution in solutions.items()
            for child, weight in solution.weights.items()
        ],
        schema=WEIGHTS_SCHEMA,
    )


def held_rows(in_force: Book, reason: str) -> pl.DataFrame:
    """Drifted child weights by risk profile as rows in `WEIGHTS_SCHEMA`, for a rebalance that was blocked."""
    return pl.DataFrame(
        [
            {**_UNSOLVED, "profile": profile, "child": child, "weight": weight, "reason": reason}
            for profile, weights in in_force.items()
            for child, weight in weights.items()
        ],
        schema=WEIGHTS_SCHEMA,
    )


def subtree(meta: MetaProfile, metas: Sequence[MetaProfile]) -> list[MetaProfile]:
    """Return `meta` and every meta below it, each once."""
    by_name = {m.name: m for m in metas}
    found, waiting = [], [meta]
    while waiting:
        node = waiting.pop(0)
        if node not in found:
            found.append(node)
            waiting += [by_name[child] for child in node.children if child in by_name]
    return found


def tree_of(root: str, weights: Mapping[str, pl.DataFrame], profile: str) -> pl.DataFrame:
    """[node, parent, weight] of one risk profile; `weights` has the `WEIGHTS_SCHEMA` rows of every meta in the tree."""
    edges: list[tuple[str, str | None, float]] = [(root, None, 1.0)]
    for parent, rows in weights.items():
        chosen = rows.filter(pl.col("profile") == profile)
        edges += [(child, parent, weight) for child, weight in chosen.select("child", "weight").iter_rows()]
    return pl.DataFrame(edges, schema=_EDGES, orient="row")


def leaves_of(book: Book) -> pl.DataFrame:
    """[node, symbol, weight], with a CASH leaf for what a sleeve does not hold, so that nothing is lost."""
    rows: list[tuple[str, str, float]] = []
    for sleeve, weights in book.items():
        rows += [(sleeve, symbol, weight) for symbol, weight in weights.items()]
        idle = 1.0 - fsum(map(abs, weights.values()))
        rows.append((sleeve, CASH, max(idle, 0.0)))
    return pl.DataFrame(rows, schema={"node": pl.String, "symbol": pl.String, "weight": pl.Float64}, orient="row")


def flattened(tree: Tree, weights: Mapping[str, pl.DataFrame], books: Mapping[str, Book]) -> pl.DataFrame:
    """Flatten every risk profile of a meta.

    Parameters
    ----------
    tree
        Of the meta, compiled from the profiles.
    weights
        `WEIGHTS_SCHEMA` rows of it and of every meta below it, by meta.
    books
        By risk profile, the signed physical weights in force of every sleeve below it.

    Returns
    -------
    pl.DataFrame
        `FLAT_SCHEMA`: `netted` is what gross loses to netting; dust is marked, not lost; every symbol keeps its
        contributions by path.

    Raises
    ------
    ConfigurationError
        A child without a weight or with two, a weight of no child, a sleeve outside the tree, a weight that is not finite.
    """
    return _flattened(tree, _shares(tree, weights), books)


def flattened_before(tree: Tree, ledgers: Mapping[str, Ledgers]) -> pl.DataFrame:
    """`FLAT_SCHEMA` of what every meta and sleeve of the tree held at the close before P, drifted; by name, as P finds it.

    A child that a meta does not hold weighs nothing.
    """
    in_force = {name: ledger.in_force() for name, ledger in ledgers.items()}
    shares = np.ones((len(RISK_PROFILES), tree.edges.height))
    for row, profile in enumerate(RISK_PROFILES):
        for column, (parent, node) in enumerate(tree.edges.iter_rows()):
            if parent is not None:
                shares[row, column] = in_force[parent][profile].get(node, 0.0)
    sleeves = tree.places.filter(pl.col("kind") == "sleeve")["node"].unique().sort().to_list()
    books = {profile: {sleeve: in_force[sleeve][profile] for sleeve in sleeves} for profile in RISK_PROFILES}
    return _flattened(tree, shares, books)


def _flattened(tree: Tree, shares: Floats, books: Mapping[str, Book]) -> pl.DataFrame:
    """Flatten all risk profiles at once: (profiles, edges) `shares` of one tree."""
    parts = [leaves_of(books[name]).with_columns(book=pl.lit(i)) for i, name in enumerate(RISK_PROFILES)]
    leaves = leaf_rows(tree, pl.concat(parts))
    paths = (
        book_contributions(tree, shares, leaves)
        .group_by("book", "symbol", maintain_order=True)
        .agg(pl.struct("path", "contribution").alias("contributions"))
    )
    return (
        flat_books(tree, shares, leaves)
        .join(paths, on=["book", "symbol"], how="left", maintain_order="left")
        .select(
            pl.col("book").replace_strict(range(len(RISK_PROFILES)), RISK_PROFILES).alias("profile"),
            "symbol",
            "net",
            "gross",
            (pl.col("gross") - pl.col("net").abs()).clip(lower_bound=0.0).alias("netted"),
            (pl.col("gross") < DUST).alias("dust"),
            "contributions",
        )
        .cast(FLAT_SCHEMA)
    )


def _shares(tree: Tree, weights: Mapping[str, pl.DataFrame]) -> Floats:
    """(profiles, edges) weight of every child; the root weighs 1."""
    columns = ("profile", "child", "weight")
    rows = pl.concat(
        frame.select(columns).with_columns(pl.lit(meta).alias("parent")) for meta, frame in weights.items()
    )
    wanted = tree.edges[1:].rename({"node": "child"}).join(pl.DataFrame({"profile": RISK_PROFILES}), how="cross")
    edge = ["profile", "parent", "child"]
    for frame, other, what in (
        (wanted, rows, "a weight of every child, found none of"),
        (rows, wanted, "children of the tree, found"),
    ):
        odd = frame.join(other, on=edge, how="anti")
        if not odd.is_empty():
            profile, parent, child = odd.select(edge).row(0)
            raise ConfigurationError(f"{parent}: expected {what} {child} under {profile}")
    if rows.select(edge).is_duplicated().any() or not rows["weight"].is_finite().fill_null(value=False).all():
        odd = rows.filter(rows.select(edge).is_duplicated() | ~pl.col("weight").is_finite().fill_null(value=False))
        raise ConfigurationError(
            f"child weights: expected one finite weight of each, found {odd.select(*edge, 'weight').row(0)}"
        )
    found = wanted.join(rows, on=edge, how="left", maintain_order="left")["weight"].to_numpy()
    below = found.reshape(-1, len(RISK_PROFILES)).T
    return np.column_stack([np.ones(len(RISK_PROFILES)), below])
