"""From a tree of sleeves to physical weights: a sparse linear map, from leaf rows to symbols.

Bits do not depend on the order of the input rows: edges are sorted, and leaf rows are summed in one order.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csc_array

from sleevegraph.errors import ConfigurationError
from sleevegraph.panel import Floats
from sleevegraph.tree import Indices, Tree, node_weights, place_weights, positions, tree_of_edges

TREE_KEYS = ("node", "parent")
LEAF_KEYS = ("node", "symbol")

DUST = 1e-6
"""Gross weight below which a symbol is not worth holding."""
CANCELLED = 1e-12
"""Of a symbol's gross: what rounding may leave of legs that net to nothing."""

BLOCK = 2**17
"""Rows that are summed at once: they stay in the processor's cache, so that a row of a million costs what one of a few does."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """Leaf rows of any number of books over one tree, as codes: arrays (rows,)."""

    book: Indices
    node: Indices
    """In the tree's `nodes`."""
    symbol: Indices
    """In `symbols`."""
    weight: Floats
    """Signed physical weight within the node."""
    symbols: pl.Series
    """Names, sorted."""


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
        edge, a cycle, too many paths.
    """
    compiled, shares = _read_tree(tree)
    return flat_books(compiled, shares, leaf_rows(compiled, leaves)).drop("book")


def contributions(tree: pl.DataFrame, leaves: pl.DataFrame) -> pl.DataFrame:
    """What each path gives to each symbol: [symbol, path, contribution], a path being `root/child/…/leaf node`.

    One row per path and leaf row, sorted; their sum per symbol is `flatten`'s net and their absolute sum its gross.
    Same inputs and errors as `flatten`.
    """
    compiled, shares = _read_tree(tree)
    return book_contributions(compiled, shares, leaf_rows(compiled, leaves)).drop("book")


def leaf_rows(tree: Tree, leaves: pl.DataFrame) -> Leaves:
    """Code [node, symbol, weight] rows, and of several books [book] from 0 on; raises what `flatten` raises of leaves."""
    rows = _checked(leaves, LEAF_KEYS, "leaves")
    symbols = rows["symbol"].unique().sort()
    return Leaves(
        book=leaves["book"].to_numpy().astype(np.intp) if "book" in leaves.columns else np.zeros(rows.height, np.intp),
        node=positions(rows["node"], tree.nodes, "leaves: node"),
        symbol=positions(rows["symbol"], symbols, "leaves: symbol"),
        weight=rows["weight"].to_numpy(),
        symbols=symbols,
    )


def flat_books(tree: Tree, shares: Floats, leaves: Leaves) -> pl.DataFrame:
    """Flatten books whose trees differ in their weights only.

    Parameters
    ----------
    shares
        (books, edges): weight of every edge of the tree.

    Returns
    -------
    pl.DataFrame
        [book, symbol, net, gross] sorted, of the symbols that a book has a leaf row of.
    """
    net, gross = node_weights(tree, place_weights(tree, shares))
    size = len(shares) * len(leaves.symbols)
    symbol = leaves.book * len(leaves.symbols) + leaves.symbol
    node = leaves.book * len(tree.nodes) + leaves.node
    net, gross = collapse(net.ravel(), gross.ravel(), node, symbol, leaves.weight, size)
    held = np.flatnonzero(np.bincount(symbol, minlength=size))
    return pl.DataFrame(
        {
            "book": held // max(len(leaves.symbols), 1),
            "symbol": leaves.symbols.gather(held % max(len(leaves.symbols), 1)),
            "net": net[held],
            "gross": gross[held],
        }
    )


def book_contributions(tree: Tree, shares: Floats, leaves: Leaves) -> pl.DataFrame:
    """[book, symbol, path, contribution] sorted, one row per leaf row and place of its node."""
    weights = place_weights(tree, shares)
    by_node = np.argsort(tree.node, kind="stable")
    count = np.bincount(tree.node, minlength=len(tree.nodes))
    times = count[leaves.node]
    row = np.repeat(np.arange(len(leaves.node)), times)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    place = by_node[(np.cumsum(count) - count)[leaves.node][row] + nth]
    book, symbol = leaves.book[row], leaves.symbol[row]
    contribution = weights[book, place] * leaves.weight[row]
    rank = tree.places["path"].rank("ordinal").to_numpy()[place]
    order = np.lexsort((contribution, rank, symbol, book))
    return pl.DataFrame(
        {
            "book": book[order],
            "symbol": leaves.symbols.gather(symbol[order]),
            "path": tree.places["path"].gather(place[order]),
            "contribution": contribution[order],
        }
    )


def collapse(
    net: Floats, gross: Floats, node: Indices, symbol: Indices, weight: Floats, size: int
) -> tuple[Floats, Floats]:
    """Sum leaf rows by symbol: the sparse map of one date, applied to the weights of its nodes.

    Parameters
    ----------
    net, gross
        (nodes,) weight of every node, summed over its places with and without signs.
    node, symbol, weight
        (rows,) leaf rows as codes. Rows sorted by node and symbol, each pair once, are taken as they are; others are
        sorted first, so that the same rows in any order give the same bits.
    size
        Number of symbols.

    Returns
    -------
    tuple
        (size,) net and gross.

    Raises
    ------
    ConfigurationError
        A code outside its range, a weight that is not finite.
    """
    _check_codes(node, len(net), "node")
    _check_codes(symbol, size, "symbol")
    node, symbol, weight = _in_order(node, symbol, weight, size)
    nodes = np.arange(len(net) + 1, dtype=np.promote_types(node.dtype, np.min_scalar_type(len(net))))  # copies no codes
    starts = np.searchsorted(node, nodes)
    flat_net, flat_gross = np.zeros(size), np.zeros(size)
    for first in range(0, len(weight), BLOCK):
        rows = slice(first, first + BLOCK)
        within = np.clip(starts, first, min(rows.stop, len(weight))) - first
        book = csc_array((weight[rows], symbol[rows], within), shape=(size, len(net)))
        flat_net += np.asarray(book @ net)
        book.data = np.abs(weight[rows])
        flat_gross += np.asarray(book @ gross)
    if not np.isfinite(flat_gross).all():
        raise ConfigurationError(
            f"leaves: expected finite weights, found others in {np.flatnonzero(~np.isfinite(flat_gross))[:5].tolist()}"
            " (codes of symbols)"
        )
    return flat_net, flat_gross


def cancelled(flat: pl.DataFrame) -> pl.DataFrame:
    """Rows of [net, gross, …] whose legs net to nothing, though each of them is worth holding.

    That is netting at its best and no error; such a line is empty, and worth a note.
    """
    return flat.filter(pl.col("gross") >= DUST, pl.col("net").abs() <= CANCELLED * pl.col("gross"))


def _in_order(node: Indices, symbol: Indices, weight: Floats, size: int) -> tuple[Indices, Indices, Floats]:
    """Rows by node and symbol, and by weight where a pair stands twice: sums then have one order."""
    further = node[1:] > node[:-1]
    if (further | ((node[1:] == node[:-1]) & (symbol[1:] > symbol[:-1]))).all():
        return node, symbol, weight
    pair = node.astype(np.int64) * size + symbol
    order = np.argsort(pair, kind="stable")
    pair = pair[order]
    if (pair[1:] == pair[:-1]).any():
        order = np.lexsort((weight, symbol, node))  # three times as slow, and equal pairs are rare
    return node[order], symbol[order], weight[order]


def _check_codes(codes: Indices, size: int, what: str) -> None:
    if len(codes) and not (codes.min() >= 0 and codes.max() < size):
        raise ConfigurationError(
            f"leaves: {what}: expected codes from 0 to {size - 1}, found {codes.min()} to {codes.max()}"
        )


def _read_tree(frame: pl.DataFrame) -> tuple[Tree, Floats]:
    """Compiled tree and its shares (1, edges)."""
    if {*TREE_KEYS, "weight"} <= set(frame.columns):  # a root needs no weight
        root_weight = pl.when(pl.col("parent").is_null()).then(pl.col("weight").fill_null(1.0)).otherwise("weight")
        frame = frame.with_columns(root_weight.alias("weight"))
    rows = _checked(frame, TREE_KEYS, "tree").sort("parent", "node", nulls_last=False)
    return tree_of_edges(rows), rows["weight"].to_numpy()[None]


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
