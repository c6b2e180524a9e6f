"""A meta at one rebalance as tables: its tree of weights, its leaves, and the physical book they flatten to."""

from collections.abc import Mapping, Sequence

import polars as pl

from sleevegraph.flattening import contributions, drop_dust, flatten
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.metas import MetaSolution
from sleevegraph.track_record import CASH

WEIGHTS_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "child": pl.String(),
        "weight": pl.Float64(),
        "status": pl.String(),
        "reason": pl.String(),
        "rows_used": pl.Int64(),
        "rows_lost": pl.Int64(),
        "lost_share": pl.Float64(),
    }
)
FLAT_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "net": pl.Float64(),
        "gross": pl.Float64(),
        "dust": pl.Boolean(),
        "contributions": pl.List(pl.Struct({"path": pl.String(), "contribution": pl.Float64()})),
    }
)

_EDGES = {"node": pl.String, "parent": pl.String, "weight": pl.Float64}

Book = Mapping[str, Mapping[str, float]]
"""Weights by two names: of a symbol in a sleeve, or of a child under a risk profile."""


def weights_rows(solutions: Mapping[str, MetaSolution]) -> pl.DataFrame:
    """Solutions by risk profile as rows in `WEIGHTS_SCHEMA`."""
    return pl.DataFrame(
        [
            (profile, child, weight, s.status, s.reason, s.rows_used, s.rows_lost, s.lost_share)
            for profile, s in solutions.items()
            for child, weight in s.weights.items()
        ],
        schema=WEIGHTS_SCHEMA,
        orient="row",
    )


def held_rows(in_force: Book, reason: str) -> pl.DataFrame:
    """Drifted child weights by risk profile as rows in `WEIGHTS_SCHEMA`, for a rebalance that was blocked."""
    return pl.DataFrame(
        [(profile, child, w, "held", reason, 0, 0, 0.0) for profile, ws in in_force.items() for child, w in ws.items()],
        schema=WEIGHTS_SCHEMA,
        orient="row",
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
        idle = 1.0 - sum(abs(weight) for weight in weights.values())
        rows.append((sleeve, CASH, max(idle, 0.0)))
    return pl.DataFrame(rows, schema={"node": pl.String, "symbol": pl.String, "weight": pl.Float64}, orient="row")


def flattened(root: str, weights: Mapping[str, pl.DataFrame], books: Mapping[str, Book]) -> pl.DataFrame:
    """Flatten every risk profile of a meta.

    Parameters
    ----------
    root
        The meta.
    weights
        Child weights of it and of every meta below it, by meta.
    books
        By risk profile, the signed physical weights in force of every sleeve below it.

    Returns
    -------
    pl.DataFrame
        `FLAT_SCHEMA`: dust is marked, not lost; every symbol keeps its contributions by path.
    """
    # One tree for all profiles, each a branch of its own: eight times fewer passes than one tree each.
    tree, leaves = _forest(root, weights), _forest_leaves(books)
    flat = flatten(tree, leaves)
    kept, _ = drop_dust(flat)
    paths = (
        contributions(tree, leaves)
        .with_columns(pl.col("path").str.strip_prefix("all/").str.replace_all(f"[a-z_]+{_SEPARATOR}", ""))
        .group_by("symbol", maintain_order=True)
        .agg(pl.struct("path", "contribution").alias("contributions"))
    )
    flat = flat.join(paths, on="symbol", how="left", maintain_order="left")
    names = pl.col("symbol").str.split_exact(_SEPARATOR, 1).struct
    order = pl.col("profile").replace_strict(RISK_PROFILES, range(len(RISK_PROFILES)))
    return (
        flat.select(
            names.field("field_0").alias("profile"),
            names.field("field_1").alias("symbol"),
            "net",
            "gross",
            (~pl.col("symbol").is_in(kept["symbol"].implode())).alias("dust"),
            "contributions",
        )
        .sort(order, "symbol")
        .cast(FLAT_SCHEMA)
    )


_SEPARATOR = "\x1f"
"""In no name: the unit separator."""


def _forest(root: str, weights: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The trees of all profiles under one root; a node's name is `<profile>SEP<node>`."""
    trees = [pl.DataFrame({"node": "all", "parent": None, "weight": 1.0}, schema=_EDGES)]
    for profile in RISK_PROFILES:
        tree = tree_of(root, weights, profile)
        branch = pl.lit(profile + _SEPARATOR)
        trees.append(
            tree.select(
                (branch + pl.col("node")).alias("node"),
                (branch + pl.col("parent")).fill_null("all").alias("parent"),
                "weight",
            )
        )
    return pl.concat(trees)


def _forest_leaves(books: Mapping[str, Book]) -> pl.DataFrame:
    parts = []
    for profile in RISK_PROFILES:
        branch = pl.lit(profile + _SEPARATOR)
        parts.append(
            leaves_of(books[profile]).select(
                (branch + pl.col("node")).alias("node"), (branch + pl.col("symbol")).alias("symbol"), "weight"
            )
        )
    return pl.concat(parts)
