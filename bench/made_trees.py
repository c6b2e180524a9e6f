"""Trees of sleeves with made-up weights in Parquet, and two ways to flatten them: as arrays and as dictionaries.

A folder holds the profiles of the metas, the names that codes stand for, the shares of the children (a column for each
date) and a file for each date with the leaf weights: rows by node and symbol, as integer codes and a float. With codes a
date of a million rows takes 3 ms to read; with names in an Enum it takes eight times as long.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from sleevegraph.calendar import START, grid_dates
from sleevegraph.errors import ConfigurationError
from sleevegraph.flattening import collapse
from sleevegraph.manifest import MetaProfile
from sleevegraph.panel import Floats
from sleevegraph.tree import Indices, Tree, compile_tree, node_weights, place_weights

ROOT = "meta"
SYMBOLS = ("BINANCE:PAIRUSDT", *(f"BINANCE:S{i:03d}USDT" for i in range(399)))
"""The first is held by two sleeves, one long and one short, that weigh the same."""
ALONE = 0.01
"""Share of each of the last three sleeves, which the root itself holds: a small one, and the pair."""
WIDE, SHARED = 80, 50
"""Sleeves below one meta of a large tree; one in so many of them has a second parent."""

Book = dict[str, dict[str, float]]


def sleeve_names(sleeves: int) -> list[str]:
    """Names in order; the last three stand below the root."""
    return [f"sleeve_{i:05d}" for i in range(sleeves)]


def made_metas(sleeves: int) -> list[MetaProfile]:
    """Metas on four levels, each with as many below it, and the sleeves below the last."""
    branches = max(2, round((sleeves / WIDE) ** (1 / 3)))
    children: dict[str, list[str]] = {}
    level = [ROOT]
    for _ in range(3):
        for name in level:
            children[name] = [f"{name}_{i}" for i in range(branches)]
        level = [child for name in level for child in children[name]]
    names = sleeve_names(sleeves)
    children[ROOT] += names[-3:]
    below = [names[:-3][i :: len(level)] for i in range(len(level))]
    for name, own, others in zip(level, below, [*below[1:], below[0]], strict=True):
        children[name] = [*own, *others[::SHARED]]
    return [MetaProfile(name=n, children=tuple(c), weight_min=0.0, weight_max=1.0) for n, c in children.items()]


def make(folder: Path, sleeves: int, atoms: int, dates: int, seed: int = 7) -> None:
    """Write profiles, names, shares and leaf weights; half of the sleeves are short."""
    rng = np.random.default_rng(seed)
    metas = made_metas(sleeves)
    tree = compile_tree(ROOT, metas)
    (folder / "metas.json").write_text(json.dumps([meta.model_dump() for meta in metas]), "utf-8")
    tree.nodes.to_frame("node").write_parquet(folder / "nodes.parquet")
    *usual, small, long, short = np.searchsorted(tree.nodes.to_numpy(), sleeve_names(sleeves)).tolist()
    held = np.array([*usual, small])
    pools = 1 + np.sort(np.argsort(rng.random((len(held), len(SYMBOLS) - 1)), axis=1)[:, :atoms], axis=1)
    signs = np.where(np.arange(len(held)) % 2, -1.0, 1.0)
    codes = {
        "node": np.concatenate([np.repeat(held, atoms), [long, short]]).astype(np.min_scalar_type(len(tree.nodes))),
        "symbol": np.concatenate([pools.ravel(), [0, 0]]).astype(np.min_scalar_type(len(SYMBOLS))),
    }
    days = [str(day) for day in grid_dates(START, date.max)[:dates]]
    pl.DataFrame({day: _made_shares(tree, rng) for day in days}).write_parquet(folder / "shares.parquet")
    for day in days:
        sizes = rng.exponential(size=pools.shape)
        weights = signs[:, None] * sizes / sizes.sum(axis=1, keepdims=True)
        leaves = pl.DataFrame({**codes, "weight": np.concatenate([weights.ravel(), [1.0, -1.0]])})
        leaves.write_parquet(folder / f"{day}.parquet", compression="uncompressed")


def _made_shares(tree: Tree, rng: np.random.Generator) -> Floats:
    """Shares of every edge, which add up to 1 below each meta."""
    sizes = tree.edges.with_columns(pl.Series("size", rng.exponential(size=tree.edges.height)))
    alone = (pl.col("parent") == ROOT) & pl.col("node").str.starts_with("sleeve")
    rest = pl.when(pl.col("parent") == ROOT).then(1.0 - 3 * ALONE).otherwise(1.0)
    part = rest * pl.col("size") / pl.col("size").filter(~alone).sum().over("parent")
    shares = sizes.select(pl.when(alone).then(ALONE).when(pl.col("parent").is_null()).then(1.0).otherwise(part))
    return shares.to_series().to_numpy()


def stored_dates(folder: Path) -> list[str]:
    """Dates, ascending."""
    return sorted(path.stem for path in folder.glob("????-??-??.parquet"))


def stored_tree(folder: Path) -> Tree:
    """The tree, compiled from the profiles; ConfigurationError where the codes stand for other nodes."""
    metas = [MetaProfile(**fields) for fields in json.loads((folder / "metas.json").read_text("utf-8"))]
    tree = compile_tree(ROOT, metas)
    if not pl.read_parquet(folder / "nodes.parquet")["node"].equals(tree.nodes):
        raise ConfigurationError(
            f"{folder / 'nodes.parquet'}: expected the nodes of the tree, found others; make it again"
        )
    return tree


def stored_shares(folder: Path) -> Floats:
    """(dates, edges) share of every edge of the tree."""
    return pl.read_parquet(folder / "shares.parquet").to_numpy().T


def leaves_of(folder: Path, day: str) -> tuple[Indices, Indices, Floats]:
    """Node, symbol and weight of every leaf row, the first two as codes."""
    rows = pl.read_parquet(folder / f"{day}.parquet")
    return rows["node"].to_numpy(), rows["symbol"].to_numpy(), rows["weight"].to_numpy()


def flattened_dates(folder: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """Net and gross of every symbol, one date at a time: no leaf row is kept for the next."""
    tree = stored_tree(folder)
    weights = node_weights(tree, place_weights(tree, stored_shares(folder)))
    for day, net, gross in zip(stored_dates(folder), *weights, strict=True):
        yield day, *collapse(net, gross, *leaves_of(folder, day), len(SYMBOLS))


def dictionaries(folder: Path, tree: Tree, shares: Floats, day: str) -> tuple[Book, Book]:
    """Children by parent and weights by sleeve of one date, as a program without arrays has them."""
    children: Book = {}
    for (parent, node), share in zip(tree.edges.iter_rows(), shares.tolist(), strict=True):
        children.setdefault(parent or "", {})[node] = share
    names = tree.nodes.to_list()
    held: Book = {}
    for node, symbol, weight in zip(*(column.tolist() for column in leaves_of(folder, day)), strict=True):
        held.setdefault(names[node], {})[SYMBOLS[symbol]] = weight
    return children, held


def recursive(children: Book, held: Book) -> tuple[dict[str, float], dict[str, float]]:
    """Net and gross by symbol, by the plain recursion."""
    net: dict[str, float] = {}
    gross: dict[str, float] = {}

    def descend(node: str, product: float) -> None:
        for symbol, weight in held.get(node, {}).items():
            part = product * weight
            net[symbol] = net.get(symbol, 0.0) + part
            gross[symbol] = gross.get(symbol, 0.0) + abs(part)
        for child, share in children.get(node, {}).items():
            descend(child, product * share)

    descend("", 1.0)
    return net, gross
