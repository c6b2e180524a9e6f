"""From a tree of sleeves to physical weights: a sparse linear map, from leaf rows to symbols.

Bits do not depend on the order of the input rows: edges are sorted, and leaf rows are summed in steps that are exact.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.errors import ConfigurationError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

TREE_KEYS = ("node", "parent")
LEAF_KEYS = ("node", "symbol")


@dataclass(frozen=True, slots=True)
class _Tree:
    names: pl.Series
    """Nodes sorted; the arrays below hold positions in it."""
    root: int
    root_weight: float
    parent: Indices
    child: Indices
    weight: Floats


def flatten(tree: pl.DataFrame, leaves: pl.DataFrame) -> pl.DataFrame:
    """Net physical weight and gross before netting, per symbol.

    Parameters
    ----------
    tree
        [node, parent, weight], one row per edge; the root's parent is null. A node may have several parents: its
        weight is then the sum over its paths.
    leaves
        [node, symbol, weight], weights signed physical within the node. A symbol may stand in many rows.

    Returns
    -------
    pl.DataFrame
        [symbol, net, gross] sorted by symbol. A symbol that nets out stays, with net 0.

    Raises
    ------
    ConfigurationError
        A missing column or value, a weight that is not finite, no root or two, an unknown parent or node, a repeated
        edge, a cycle.
    """
    edges = _read_tree(tree)
    rows = _checked(leaves, LEAF_KEYS, "leaves")
    node = _positions(rows["node"], edges.names, "leaves: node")
    symbols = rows["symbol"].unique().sort()
    symbol = _positions(rows["symbol"], symbols, "leaves: symbol")
    weight = rows["weight"].to_numpy()
    node_net, node_gross = _node_weights(edges)
    return pl.DataFrame(
        {
            "symbol": symbols,
            "net": _sum_by(symbol, node_net[node] * weight, len(symbols)),
            "gross": _sum_by(symbol, node_gross[node] * np.abs(weight), len(symbols)),
        }
    )


def contributions(tree: pl.DataFrame, leaves: pl.DataFrame) -> pl.DataFrame:
    """What each path gives to each symbol: [symbol, path, contribution], a path being `root/child/…/leaf node`.

    One row per path and leaf row, sorted; their sum per symbol is `flatten`'s net and their absolute sum its gross.
    Same inputs and errors as `flatten`.
    """
    edges = _read_tree(tree)
    rows = _checked(leaves, LEAF_KEYS, "leaves")
    _positions(rows["node"], edges.names, "leaves: node")
    _node_weights(edges)  # refuses a cycle, which would never end below
    links = pl.DataFrame({"parent": edges.names[edges.parent], "node": edges.names[edges.child], "share": edges.weight})
    root = edges.names[edges.root]
    level = pl.DataFrame({"node": [root], "path": [root], "product": [edges.root_weight]})
    paths = [level]
    while not level.is_empty():
        level = links.join(level, left_on="parent", right_on="node").select(
            "node", pl.concat_str("path", "node", separator="/"), pl.col("product") * pl.col("share")
        )
        paths.append(level)
    return (
        rows.join(pl.concat(paths), on="node")
        .select("symbol", "path", contribution=pl.col("product") * pl.col("weight"))
        .sort("symbol", "path", "contribution")
    )


def drop_dust(flat: pl.DataFrame, threshold: float = 1e-6) -> tuple[pl.DataFrame, float]:
    """Rows whose gross is at least `threshold`, and the sum of |net| of the others."""
    dust = flat.filter(pl.col("gross") < threshold)
    return flat.filter(pl.col("gross") >= threshold), float(dust["net"].abs().sum())


def _node_weights(tree: _Tree) -> tuple[Floats, Floats]:
    """Per node, the sum over its paths of the product of weights, and of its absolute value.

    One multiply per level, in topological order: a node is passed on when all its parents have been.
    """
    size = len(tree.names)
    net, gross = np.zeros(size), np.zeros(size)
    net[tree.root], gross[tree.root] = tree.root_weight, abs(tree.root_weight)
    waiting = np.bincount(tree.child, minlength=size)
    passed = np.zeros(size, dtype=np.bool_)
    level = waiting == 0
    while level.any():
        passed |= level
        edge = np.flatnonzero(level[tree.parent])
        parent, child = tree.parent[edge], tree.child[edge]
        np.add.at(net, child, net[parent] * tree.weight[edge])
        np.add.at(gross, child, gross[parent] * np.abs(tree.weight[edge]))
        np.subtract.at(waiting, child, 1)
        level = (waiting == 0) & ~passed
    if not passed.all():
        names = tree.names.filter(pl.Series(~passed)).to_list()
        raise ConfigurationError(f"tree: expected no cycle, found one among {names[:5]}; remove an edge")
    return net, gross


def _sum_by(group: Indices, values: Floats, size: int) -> Floats:
    """Sum `values` by `group`, with bits that do not depend on the order of the rows.

    Each pass rounds the values to a common grid on which their sums are exact (Demmel and Nguyen, 2013). What is left
    of a value after both is below n squared / 2^102 of the largest: 2e-19 for a million rows, 2e-27 for a hundred.
    """
    total = np.zeros(size)
    rest = values
    for _ in range(2):
        largest = float(np.abs(rest).max(initial=0.0))
        if largest == 0.0:
            break
        grid = np.ldexp(1.5, int(np.ceil(np.log2(largest) + np.log2(len(rest)))) + 1)
        rounded = (rest + grid) - grid
        total += np.bincount(group, rounded, minlength=size)
        rest = rest - rounded
    return total


def _read_tree(frame: pl.DataFrame) -> _Tree:
    if {*TREE_KEYS, "weight"} <= set(frame.columns):  # a root needs no weight
        root_weight = pl.when(pl.col("parent").is_null()).then(pl.col("weight").fill_null(1.0)).otherwise("weight")
        frame = frame.with_columns(root_weight.alias("weight"))
    rows = _checked(frame, TREE_KEYS, "tree").sort("parent", "node", nulls_last=False)
    repeated = rows.filter(rows.select(TREE_KEYS).is_duplicated())
    if not repeated.is_empty():
        raise ConfigurationError(f"tree: expected each edge once, found {repeated.row(0)[:2]} {repeated.height} times")
    roots = rows.filter(pl.col("parent").is_null())
    if roots.height != 1:
        raise ConfigurationError(f"tree: expected one root (null parent), found {roots['node'].to_list()[:5]}")
    names = rows["node"].unique().sort()
    edges = rows.filter(pl.col("parent").is_not_null())
    root, root_weight = roots["node"].item(), roots["weight"].item()
    return _Tree(
        names=names,
        root=int(np.searchsorted(names.to_numpy(), root)),
        root_weight=root_weight,
        parent=_positions(edges["parent"], names, "tree: parent"),
        child=_positions(edges["node"], names, "tree: node"),
        weight=edges["weight"].to_numpy(),
    )


def _checked(frame: pl.DataFrame, keys: tuple[str, str], what: str) -> pl.DataFrame:
    """Only `keys` and `weight`, typed; a null is legal as a parent only."""
    missing = [column for column in (*keys, "weight") if column not in frame.columns]
    if missing:
        raise ConfigurationError(f"{what}: expected columns {[*keys, 'weight']}, found none named {missing}")
    rows = frame.select(pl.col(keys).cast(pl.String), pl.col("weight").cast(pl.Float64))
    required = [column for column in (*keys, "weight") if column != "parent"]
    empty = [column for column in required if rows[column].null_count()]
    if empty:
        raise ConfigurationError(f"{what}: expected a value in every row, found null in {empty}")
    wrong = rows.filter(~pl.col("weight").is_finite())
    if not wrong.is_empty():
        raise ConfigurationError(f"{what}: expected finite weights, found {wrong.row(0)}")
    return rows


def _positions(values: pl.Series, sorted_names: pl.Series, what: str) -> Indices:
    codes = values.cast(pl.Enum(sorted_names), strict=False).to_physical()
    if codes.null_count():
        unknown = values.filter(codes.is_null()).unique().sort().to_list()
        raise ConfigurationError(f"{what}: expected a node of the tree, found {unknown[:5]}")
    return codes.to_numpy().astype(np.intp)
