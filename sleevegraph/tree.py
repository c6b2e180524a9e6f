"""A portfolio's tree as data: compiled once, then weights go down it by one multiply per level.

A node below several parents stands in several places, one for each path that leads to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csc_array

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import MetaProfile
from sleevegraph.panel import Floats

Indices = NDArray[np.intp]

MAX_PLACES = 100_000
"""Ten times the sleeves of the largest family; a tree of four metas' depth that shares its children widely has more."""

EDGES_SCHEMA = pl.Schema({"parent": pl.String(), "node": pl.String()})
PLACES_SCHEMA = pl.Schema(
    {
        "place": pl.Int64(),
        "node": pl.String(),
        "parent": pl.Int64(),
        "depth": pl.Int64(),
        "kind": pl.Enum(["meta", "sleeve"]),
        "path": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A compiled tree; arrays hold positions in `places`, `edges` and `nodes`."""

    places: pl.DataFrame
    """`PLACES_SCHEMA`: the root first, then level by level; `parent` is a place, the root's null."""
    edges: pl.DataFrame
    """`EDGES_SCHEMA`, sorted: what a weight belongs to. The first is the root's own, without a parent."""
    nodes: pl.Series
    """Names, sorted."""
    node: Indices
    """Of every place."""
    parent: Indices
    """Of every place; the root's is itself."""
    edge: Indices
    """By which every place is reached."""
    levels: tuple[slice, ...]
    """Places of every depth."""


def compile_tree(root: str, metas: Sequence[MetaProfile]) -> Tree:
    """Compile the tree of the meta `root`; `metas` are it and those below it. Raises what `tree_of_edges` raises."""
    rows = [(None, root), *((meta.name, child) for meta in metas for child in meta.children)]
    return tree_of_edges(pl.DataFrame(rows, schema=EDGES_SCHEMA, orient="row"))


def tree_of_edges(edges: pl.DataFrame) -> Tree:
    """Compile a tree from `EDGES_SCHEMA` rows in any order.

    Raises
    ------
    ConfigurationError
        No root (null parent) or two, an unknown parent, a repeated edge, a cycle, more than `MAX_PLACES` places.
    """
    edges = edges.select(EDGES_SCHEMA.names()).sort("parent", "node", nulls_last=False)
    repeated = edges.filter(edges.is_duplicated())
    if not repeated.is_empty():
        raise ConfigurationError(f"tree: expected each edge once, found {repeated.row(0)} {repeated.height} times")
    roots = edges.filter(pl.col("parent").is_null())["node"].to_list()
    if len(roots) != 1:
        raise ConfigurationError(f"tree: expected one root (null parent), found {roots[:5]}")
    nodes = edges["node"].unique().sort()
    parents = positions(edges["parent"][1:], nodes, "tree: parent")
    below = positions(edges["node"], nodes, "tree: node")
    _check_places(parents, below[1:], below[0], nodes)
    node, parent, edge, levels = _expanded(parents, below, len(nodes))
    is_meta = np.bincount(parents, minlength=len(nodes))[node] > 0
    return Tree(_table(nodes, node, parent, levels, is_meta), edges, nodes, node, parent, edge, levels)


def place_weights(tree: Tree, shares: Floats) -> Floats:
    """Product of the shares down to every place, (..., places), of shares (..., edges) of any number of books."""
    weights: Floats = shares[..., tree.edge]
    for level in tree.levels[1:]:
        weights[..., level] *= weights[..., tree.parent[level]]
    return weights


def node_weights(tree: Tree, places: Floats) -> tuple[Floats, Floats]:
    """Sum of a node's places, and sum of their absolute values, (books, nodes), of weights (books, places)."""
    size = len(tree.node)
    nodes = csc_array((np.ones(size), tree.node, np.arange(size + 1)), shape=(len(tree.nodes), size))
    return np.asarray(nodes @ places.T).T, np.asarray(nodes @ np.abs(places).T).T


def positions(names: pl.Series, sorted_names: pl.Series, what: str) -> Indices:
    """Where each of `names` stands in `sorted_names`; ConfigurationError about `what` where one does not."""
    codes = names.cast(pl.Enum(sorted_names), strict=False).to_physical()
    if codes.null_count():
        unknown = names.filter(codes.is_null()).unique().sort().to_list()
        raise ConfigurationError(f"{what}: expected a node of the tree, found {unknown[:5]}")
    return codes.to_numpy().astype(np.intp)


def _check_places(parent: Indices, child: Indices, root: np.intp, nodes: pl.Series) -> None:
    """Refuse a cycle, or more places than there may be, before either is walked.

    Places are counted in topological order: a node is passed on when all its parents have been.
    """
    places = np.zeros(len(nodes))
    places[root] = 1.0
    waiting = np.bincount(child, minlength=len(nodes))
    passed = np.zeros(len(nodes), dtype=np.bool_)
    level = waiting == 0
    while level.any():
        passed |= level
        edge = np.flatnonzero(level[parent])
        np.add.at(places, child[edge], places[parent[edge]])
        np.subtract.at(waiting, child[edge], 1)
        level = (waiting == 0) & ~passed
    if not passed.all():
        names = nodes.filter(pl.Series(~passed)).to_list()
        raise ConfigurationError(f"tree: expected no cycle, found one among {names[:5]}; remove an edge")
    if places.sum() > MAX_PLACES:
        most = nodes[int(places.argmax())]
        raise ConfigurationError(
            f"tree: expected at most {MAX_PLACES} paths down from {nodes[int(root)]}, found {places.sum():.0f}, of which "
            f"{places.max():.0f} lead to {most}; let fewer metas share it"
        )


def _expanded(parents: Indices, below: Indices, size: int) -> tuple[Indices, Indices, Indices, tuple[slice, ...]]:
    """Node, parent place and edge of every place, and the places of every level; `parents` lacks the root's edge."""
    count = np.bincount(parents, minlength=size)
    first = 1 + np.searchsorted(parents, np.arange(size))
    node, parent, edge = [below[:1]], [np.zeros(1, np.intp)], [np.zeros(1, np.intp)]
    levels, start = [slice(0, 1)], 0
    while True:
        children = count[node[-1]]
        if not children.any():
            break
        above = np.repeat(np.arange(len(children)), children)
        nth = np.arange(len(above)) - np.repeat(np.cumsum(children) - children, children)
        edge.append(first[node[-1]][above] + nth)
        parent.append(start + above)
        node.append(below[edge[-1]])
        start = levels[-1].stop
        levels.append(slice(start, start + len(above)))
    return np.concatenate(node), np.concatenate(parent), np.concatenate(edge), tuple(levels)


def _table(
    nodes: pl.Series, node: Indices, parent: Indices, levels: tuple[slice, ...], is_meta: NDArray[np.bool_]
) -> pl.DataFrame:
    names = nodes.gather(node)
    paths = [names[:1]]
    for i, level in enumerate(levels[1:]):
        above = paths[i].gather(parent[level] - levels[i].start)
        paths.append(above + "/" + names[level.start : level.stop])
    return pl.DataFrame(
        {
            "place": np.arange(len(node)),
            "node": names,
            "parent": pl.Series([None, *parent[1:].tolist()], dtype=pl.Int64),
            "depth": np.repeat(np.arange(len(levels)), [level.stop - level.start for level in levels]),
            "kind": pl.select(pl.when(pl.Series(is_meta)).then(pl.lit("meta")).otherwise(pl.lit("sleeve"))).to_series(),
            "path": pl.concat(paths),
        },
        schema=PLACES_SCHEMA,
    )
