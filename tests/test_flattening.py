from collections import defaultdict
from math import fsum
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph import flattening
from sleevegraph.errors import ConfigurationError
from sleevegraph.flattening import BLOCK, DUST, cancelled, collapse, contributions, flatten

TREE = {"node": pl.String, "parent": pl.String, "weight": pl.Float64}
LEAVES = {"node": pl.String, "symbol": pl.String, "weight": pl.Float64}


def tree_of(*rows: tuple[str | None, str | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TREE, orient="row")


def leaves_of(*rows: tuple[str | None, str | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LEAVES, orient="row")


NESTED = tree_of(
    ("root", None, 1.0), ("left", "root", 0.6), ("right", "root", 0.4), ("a", "left", 0.5), ("b", "left", 0.5)
)
BOOK = leaves_of(("a", "X", 0.7), ("a", "Y", 0.3), ("b", "X", -1.0), ("right", "Y", -0.25), ("right", "Z", 0.75))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A root, up to 12 nodes under one to three earlier ones, and leaf rows anywhere, duplicates included."""
    weight = st.floats(-1, 1)
    rows = [("n0", None, draw(weight))]
    for i in range(1, draw(st.integers(1, 12))):
        parents = draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3))
        rows += [(f"n{i}", f"n{p}", draw(weight)) for p in sorted(parents)]
    nodes = sorted({node for node, _, _ in rows})
    leaves = draw(st.lists(st.tuples(st.sampled_from(nodes), st.sampled_from("ABCDE"), weight), max_size=30))
    return tree_of(*rows), leaves_of(*leaves)


def by_recursion(tree: pl.DataFrame, leaves: pl.DataFrame) -> dict[str, tuple[float, float]]:
    paths = defaultdict(list)

    def walk(node: str, product: float) -> None:
        for leaf, symbol, weight in leaves.iter_rows():
            if leaf == node:
                paths[symbol].append(product * weight)
        for child, parent, weight in tree.iter_rows():
            if parent == node:
                walk(child, product * weight)

    root, _, weight = tree.row(0)
    walk(root, weight)
    return {symbol: (fsum(values), fsum(map(abs, values))) for symbol, values in sorted(paths.items())}


def test_nested_book_nets_across_levels() -> None:
    flat = flatten(NESTED, BOOK)
    assert flat.columns == ["symbol", "net", "gross"]
    assert flat["symbol"].to_list() == ["X", "Y", "Z"]
    np.testing.assert_allclose(flat["net"], [0.3 * 0.7 - 0.3, 0.3 * 0.3 - 0.4 * 0.25, 0.4 * 0.75], atol=1e-16)
    np.testing.assert_allclose(flat["gross"], [0.3 * 0.7 + 0.3, 0.3 * 0.3 + 0.4 * 0.25, 0.4 * 0.75], atol=1e-16)


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_flatten_is_the_sum_over_paths(graph: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    flat, expected = flatten(*graph), by_recursion(*graph)
    assert flat["symbol"].to_list() == list(expected)
    np.testing.assert_allclose(flat["net"], [net for net, _ in expected.values()], atol=1e-12)
    np.testing.assert_allclose(flat["gross"], [gross for _, gross in expected.values()], atol=1e-12)


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_contributions_add_up_to_flatten(graph: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    flat = flatten(*graph)
    parts = (
        contributions(*graph)
        .group_by("symbol")
        .agg(net=pl.col("contribution").sum(), gross=pl.col("contribution").abs().sum())
    )
    both = flat.join(parts, on="symbol", how="full", coalesce=True)
    assert both.null_count().sum_horizontal().item() == 0
    np.testing.assert_allclose(both["net"], both["net_right"], atol=1e-12)
    np.testing.assert_allclose(both["gross"], both["gross_right"], atol=1e-12)


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_row_order_does_not_change_a_bit(graph: tuple[pl.DataFrame, pl.DataFrame], random: Random) -> None:
    tree, leaves = graph
    moved = [pl.DataFrame(random.sample(f.rows(), f.height), schema=f.schema, orient="row") for f in graph]
    assert flatten(*moved)["net"].to_numpy().tobytes() == flatten(tree, leaves)["net"].to_numpy().tobytes()
    assert flatten(*moved)["gross"].to_numpy().tobytes() == flatten(tree, leaves)["gross"].to_numpy().tobytes()
    assert contributions(*moved).equals(contributions(tree, leaves))


def test_edge_order_does_not_change_a_bit_of_a_child_of_many() -> None:
    parents = ["p", "q", "r"]
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    top = tree_of(("root", None, 1.0), *((name, "root", 1.0) for name in parents))
    edges = [("s", name, weight) for name, weight in zip(parents, (0.1, 0.2, 0.3), strict=True)]
    leaves = leaves_of(("s", "X", 1.0))
    forth, back = (flatten(pl.concat([top, tree_of(*rows)]), leaves) for rows in (edges, edges[::-1]))
    assert forth.equals(back)


def test_sums_keep_their_bits_where_addition_does_not_associate() -> None:
    weights = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-9, 1, 1000)
    forth = leaves_of(*(("a", "X", w) for w in weights.tolist()))
    plain = (float(np.add.accumulate(weights)[-1]), float(np.add.accumulate(weights[::-1])[-1]))
    assert plain[0] != plain[1]
    assert flatten(NESTED, forth).equals(flatten(NESTED, forth.reverse()))
    rounding = 1e-15 * fsum(np.abs(weights))
    assert flatten(tree_of(("a", None, 1.0)), forth)["net"][0] == pytest.approx(fsum(weights), abs=rounding, rel=0)


def test_symbol_that_nets_out_stays_with_its_gross() -> None:
    flat = flatten(NESTED, leaves_of(("a", "X", 1.0), ("b", "X", -1.0)))
    assert flat.rows() == [("X", 0.0, 0.6)]


def test_shared_child_is_reached_by_every_path() -> None:
    shared = tree_of(("root", None, 1.0), ("l", "root", 0.5), ("r", "root", 0.5), ("s", "l", 1.0), ("s", "r", -0.5))
    assert flatten(shared, leaves_of(("s", "X", 1.0))).rows() == [("X", 0.25, 0.75)]
    assert contributions(shared, leaves_of(("s", "X", 1.0))).rows() == [
        ("X", "root/l/s", 0.5),
        ("X", "root/r/s", -0.25),
    ]


def test_contribution_names_its_path_and_is_one_multiply_per_level() -> None:
    rows = contributions(NESTED, leaves_of(("b", "X", -0.1), ("right", "X", 0.2))).rows()
    assert rows == [("X", "root/left/b", 0.6 * 0.5 * -0.1), ("X", "root/right", 0.4 * 0.2)]


def test_root_weight_scales_the_book_and_a_root_may_hold_symbols() -> None:
    assert flatten(tree_of(("only", None, 0.5)), leaves_of(("only", "X", -0.4))).rows() == [("X", -0.2, 0.2)]


def test_no_leaves_is_an_empty_book() -> None:
    assert flatten(NESTED, leaves_of()).schema == {"symbol": pl.String, "net": pl.Float64, "gross": pl.Float64}
    assert flatten(NESTED, leaves_of()).is_empty()
    assert contributions(NESTED, leaves_of()).is_empty()


def test_extra_columns_and_integer_weights_are_accepted() -> None:
    tree = NESTED.with_columns(kind=pl.lit("meta"))
    leaves = pl.DataFrame({"symbol": ["X"], "weight": [1], "node": ["right"]})
    assert flatten(tree, leaves).rows() == [("X", 0.4, 0.4)]


def diamonds(count: int) -> pl.DataFrame:
    """So many diamonds below one another: every one of them doubles the paths."""
    rows: list[tuple[str, str | None, float]] = [("n0", None, 1.0)]
    for i in range(count):
        rows += [
            (f"l{i}", f"n{i}", 0.5),
            (f"r{i}", f"n{i}", 0.5),
            (f"n{i + 1}", f"l{i}", 1.0),
            (f"n{i + 1}", f"r{i}", 1.0),
        ]
    return tree_of(*rows)


BROKEN = {
    "no root": (NESTED[1:].with_columns(parent=pl.col("parent").replace("root", "left")), BOOK, "one root"),
    "two roots": (pl.concat([NESTED, tree_of(("other", None, 1.0))]), BOOK, "one root"),
    "unknown parent": (pl.concat([NESTED, tree_of(("c", "nobody", 1.0))]), BOOK, "nobody"),
    "cycle below the root": (pl.concat([NESTED, tree_of(("left", "a", 1.0))]), BOOK, "cycle"),
    "cycle apart": (pl.concat([NESTED, tree_of(("p", "q", 1.0), ("q", "p", 1.0))]), BOOK, "cycle"),
    "cycle through the root": (pl.concat([NESTED, tree_of(("root", "a", 1.0))]), BOOK, "cycle"),
    "self": (pl.concat([NESTED, tree_of(("p", "p", 1.0))]), BOOK, "cycle"),
    "repeated edge": (pl.concat([NESTED, NESTED[1:2]]), BOOK, "each edge once"),
    "unknown leaf node": (NESTED, pl.concat([BOOK, leaves_of(("ghost", "X", 0.1))]), "ghost"),
    "infinite edge": (NESTED.with_columns(weight=pl.lit(np.inf)), BOOK, "finite"),
    "NaN leaf": (NESTED, BOOK.with_columns(weight=pl.lit(np.nan)), "finite"),
    "null leaf weight": (NESTED, leaves_of(("a", "X", None)), "null in .'weight'"),
    "null symbol": (NESTED, leaves_of(("a", None, 1.0)), "null in .'symbol'"),
    "null node": (pl.concat([NESTED, tree_of((None, "root", 1.0))]), BOOK, "null in .'node'"),
    "missing tree column": (NESTED.drop("parent"), BOOK, "parent"),
    "missing leaf column": (NESTED, BOOK.drop("weight"), "weight"),
    "empty tree": (tree_of(), BOOK, "one root"),
    "too many paths": (diamonds(17), BOOK, "at most 100000 paths"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tree_is_refused_in_one_line(name: str) -> None:
    tree, leaves, found = BROKEN[name]
    for function in (flatten, contributions):
        with pytest.raises(ConfigurationError, match=found) as error:
            function(tree, leaves)
        assert "\n" not in str(error.value)


def test_legs_that_net_to_nothing_are_cancelled_and_dust_is_not() -> None:
    rows = [
        ("pair", 0.0, 0.5),
        ("rounded", 3e-17, 0.2),
        ("held", 1e-9, 0.2),
        ("dust", 0.0, DUST / 2),
        ("CASH", 0.3, 0.3),
    ]
    flat = pl.DataFrame(rows, schema=["symbol", "net", "gross"], orient="row")
    assert cancelled(flat)["symbol"].to_list() == ["pair", "rounded"]


@pytest.mark.parametrize("block", [BLOCK, 64, 7])
def test_leaf_rows_sorted_or_not_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(flattening, "BLOCK", block)
    rng = np.random.default_rng(3)
    node, symbol = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    weight, net = rng.normal(size=1000), rng.normal(size=50)
    straight = collapse(net, np.abs(net), node, symbol, weight, 20)
    mixed = rng.permutation(1000)
    shuffled = collapse(net, np.abs(net), node[mixed], symbol[mixed], weight[mixed], 20)
    assert [part.tobytes() for part in straight] == [part.tobytes() for part in shuffled]
    small = collapse(net, np.abs(net), node.astype(np.uint8), symbol.astype(np.uint8), weight, 20)
    assert [part.tobytes() for part in straight] == [part.tobytes() for part in small]
    more = np.concatenate([net, np.ones(300)])
    wide = collapse(more, np.abs(more), node.astype(np.uint8), symbol.astype(np.uint8), weight, 20)
    assert [part.tobytes() for part in straight] == [part.tobytes() for part in wide], "of nodes that hold nothing"
    dense = (net[:, None] * weight.reshape(50, 20)).sum(axis=0)
    np.testing.assert_allclose(straight[0], dense, rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        straight[1], (np.abs(net)[:, None] * np.abs(weight.reshape(50, 20))).sum(axis=0), rtol=1e-14
    )


@pytest.mark.parametrize(
    ("node", "symbol", "weight", "found"),
    [
        (3, 0, 1.0, "node"),
        (-1, 0, 1.0, "node"),
        (0, 2, 1.0, "symbol"),
        (0, 0, np.nan, "finite"),
        (0, 1, np.inf, "finite"),
    ],
)
def test_codes_outside_their_range_and_weights_that_are_not_finite_are_refused(
    node: int, symbol: int, weight: float, found: str
) -> None:
    ones = np.ones(3)
    with pytest.raises(ConfigurationError, match=found):
        collapse(ones, ones, np.array([node]), np.array([symbol]), np.array([weight]), 2)


def test_a_root_needs_no_weight() -> None:
    tree = pl.DataFrame({"node": ["m", "a"], "parent": [None, "m"], "weight": [None, 0.5]})
    leaves = pl.DataFrame({"node": ["a"], "symbol": ["X"], "weight": [-0.5]})
    assert flatten(tree, leaves).rows() == [("X", -0.25, 0.25)]
