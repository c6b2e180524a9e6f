"""What flattening must conserve, recomputed by a plain walk down the tree that shares no code with it."""

from collections import defaultdict
from math import fsum

import polars as pl

from sleevegraph.findings import Finding
from sleevegraph.track_record import CASH

NORMALISATION_TOLERANCE = 1e-9

Walk = dict[str, list[float]]
"""Node to the product of weights of each path that reaches it."""


def conservation(
    tree: pl.DataFrame, leaves: pl.DataFrame, flat: pl.DataFrame, *, tolerance: float = 1e-9
) -> list[Finding]:
    """Check `flat` [symbol, net, gross], before dust is dropped, against what it was flattened from.

    `tree` [node, parent, weight] and `leaves` [node, symbol, weight] as `flatten` accepts them: a cycle has no answer
    here. A sleeve in cash must say so with a CASH row. Errors come in the order: sleeves, child weights, symbols, gross.
    """
    edges = list(tree.select("node", "parent", "weight").iter_rows())
    rows = list(leaves.select("node", "symbol", "weight").iter_rows())
    children: dict[str | None, list[tuple[str, float]]] = defaultdict(list)
    for node, parent, weight in edges:
        children[parent].append((node, weight))
    products: Walk = defaultdict(list)
    _descend(children, None, 1.0, products)
    return [
        *_lost_sleeves(children, products, {node for node, _, _ in rows}),
        *_child_weights(children),
        *_symbols(products, rows, flat, tolerance),
        *_gross(products, rows, flat, tolerance),
    ]


def concentration(flat: pl.DataFrame, warn: float = 0.25, block: float = 0.40) -> list[Finding]:
    """Symbols of [symbol, net, gross] whose |net| is above `warn` or `block` of the gross before netting.

    Before netting, because a long book against a short book nets to little, of which any symbol is a large share. Cash
    is neither a symbol nor part of the gross.
    """
    rows = [row for row in flat.select("symbol", "net", "gross").iter_rows() if row[0] != CASH]
    book = [(symbol, abs(net)) for symbol, net, _ in rows]
    gross = fsum(gross for _, _, gross in rows)
    findings = []
    for symbol, net in book:
        share = net / gross if gross else 0.0
        text = f"expected a share of the book's gross of at most {{:.0%}}, found {share:.2%}"
        if not share <= block:  # also when it is not a number
            findings.append(Finding("ERROR", "CONCENTRATION_BLOCK", symbol, text.format(block)))
        elif not share <= warn:
            findings.append(Finding("WARN", "CONCENTRATION_WARN", symbol, text.format(warn)))
    return findings


def _descend(
    children: dict[str | None, list[tuple[str, float]]], parent: str | None, product: float, products: Walk
) -> None:
    for node, weight in children.get(parent, []):
        products[node].append(product * weight)
        _descend(children, node, product * weight, products)


def _lost_sleeves(
    children: dict[str | None, list[tuple[str, float]]], products: Walk, with_rows: set[str]
) -> list[Finding]:
    without = [node for node in products if node not in children and node not in with_rows]
    unreached = [node for node in with_rows if node not in products]
    text = {
        **dict.fromkeys(without, "expected weights of every sleeve, found none"),
        **dict.fromkeys(unreached, "expected a place in the tree for every sleeve with weights, found none"),
    }
    return [Finding("ERROR", "SLEEVE_LOST", node, text[node]) for node in sorted(text)]


def _child_weights(children: dict[str | None, list[tuple[str, float]]]) -> list[Finding]:
    findings = []
    for parent in sorted(name for name in children if name is not None):
        total = fsum(weight for _, weight in children[parent])
        if not abs(total - 1.0) <= NORMALISATION_TOLERANCE:
            text = f"expected child weights that sum to 1, found {total!r}"
            findings.append(Finding("ERROR", "CHILD_WEIGHTS_NOT_NORMALIZED", parent, text))
    return findings


def _symbols(products: Walk, rows: list[tuple[str, str, float]], flat: pl.DataFrame, tolerance: float) -> list[Finding]:
    """Net per symbol, and symbols on one side only."""
    paths: dict[str, list[float]] = defaultdict(list)
    for node, symbol, weight in rows:
        paths[symbol].extend(product * weight for product in products.get(node, []))
    found: dict[str, float] = dict(flat.select("symbol", "net").iter_rows())
    findings = []
    for symbol in sorted({*paths, *found}):
        if symbol not in paths:
            text = f"expected a sleeve that holds it, found none for net {found[symbol]!r}"
            findings.append(Finding("ERROR", "SYMBOL_UNEXPLAINED", symbol, text))
            continue
        expected, net = fsum(paths[symbol]), found.get(symbol, 0.0)
        if not abs(net - expected) <= tolerance:
            text = f"expected the sum of signed paths {expected!r}, found {net!r}"
            findings.append(Finding("ERROR", "NET_NOT_CONSERVED", symbol, text))
    return findings


def _gross(products: Walk, rows: list[tuple[str, str, float]], flat: pl.DataFrame, tolerance: float) -> list[Finding]:
    """Gross before netting is what the paths give to the sleeves times the gross of each sleeve."""
    sleeve_gross: dict[str, list[float]] = defaultdict(list)
    for node, _, weight in rows:
        sleeve_gross[node].append(abs(weight))
    expected = fsum(
        abs(product) * fsum(weights) for node, weights in sleeve_gross.items() for product in products.get(node, [])
    )
    found = fsum(flat["gross"])
    if abs(found - expected) <= tolerance:
        return []
    return [Finding("ERROR", "GROSS_NOT_CONSERVED", "", f"expected gross before netting {expected!r}, found {found!r}")]
