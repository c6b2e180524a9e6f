"""The tree as data: every place of every node once, whatever the order in which edges come."""

from itertools import pairwise
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import MetaProfile
from sleevegraph.tree import MAX_PLACES, PLACES_SCHEMA, Tree, compile_tree, node_weights, place_weights, tree_of_edges
from tests.trees import SHARED, meta, nested

SCHEMA = {"parent": pl.String, "node": pl.String}


def paths_by_recursion(metas: list[MetaProfile]) -> list[str]:
    children = {meta.name: meta.children for meta in metas}

    def below(name: str, path: str) -> list[str]:
        return [path, *(deeper for child in children.get(name, ()) for deeper in below(child, f"{path}/{child}"))]

    return sorted(below(metas[0].name, metas[0].name))


def test_a_shared_child_has_a_place_for_every_path() -> None:
    tree = compile_tree("top", SHARED)
    assert tree.places.schema == PLACES_SCHEMA
    assert tree.places.select("path", "depth", "kind").rows() == [
        ("top", 0, "meta"),
        ("top/left", 1, "meta"),
        ("top/right", 1, "meta"),
        ("top/s", 1, "sleeve"),
        ("top/left/right", 2, "meta"),
        ("top/left/s", 2, "sleeve"),
        ("top/right/s", 2, "sleeve"),
        ("top/right/t", 2, "sleeve"),
        ("top/left/right/s", 3, "sleeve"),
        ("top/left/right/t", 3, "sleeve"),
    ]
    assert tree.edges.rows() == sorted(tree.edges.rows(), key=lambda edge: (edge[0] or "", edge[1]))
    assert tree.edges.height == 8, "each edge once, however often it is walked"


@given(nested())
@settings(max_examples=60, deadline=None)
def test_places_are_the_paths_of_a_recursion_and_parents_lead_up_them(metas: list[MetaProfile]) -> None:
    tree = compile_tree(metas[0].name, metas)
    assert sorted(tree.places["path"]) == paths_by_recursion(metas)
    paths = tree.places["path"].to_list()
    for row in tree.places.iter_rows(named=True):
        above = paths[row["parent"]] if row["parent"] is not None else None
        assert row["path"] == (f"{above}/{row['node']}" if above else row["node"])
        assert row["depth"] == row["path"].count("/")
        assert row["kind"] == ("meta" if row["node"] in {meta.name for meta in metas} else "sleeve")


@given(nested(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_edges_changes_nothing(metas: list[MetaProfile], random: Random) -> None:
    tree = compile_tree(metas[0].name, metas)
    moved = tree_of_edges(
        tree.edges.select(pl.all().gather(random.sample(range(tree.edges.height), tree.edges.height)))
    )
    assert moved.places.equals(tree.places)
    for name in ("node", "parent", "edge"):
        assert np.array_equal(getattr(moved, name), getattr(tree, name))


def weighed(tree: Tree, shares: np.ndarray) -> dict[str, float]:
    return dict(zip(tree.places["path"], place_weights(tree, shares).tolist(), strict=True))


def test_weights_go_down_by_one_multiply_per_level_for_any_number_of_books() -> None:
    tree = compile_tree("top", SHARED)
    shares = np.random.default_rng(2).random((4, 3, tree.edges.height))
    by_edge = {edge: i for i, edge in enumerate(tree.edges.rows())}
    weights = place_weights(tree, shares)
    assert weights.shape == (4, 3, tree.places.height)
    for place, path in enumerate(tree.places["path"]):
        names = path.split("/")
        product = shares[..., 0]
        for edge in pairwise(names):
            product = product * shares[..., by_edge[edge]]
        assert np.array_equal(weights[..., place], product), path


def test_a_node_weighs_the_sum_of_its_places_with_and_without_signs() -> None:
    tree = compile_tree("top", SHARED)
    shares = np.random.default_rng(2).normal(size=(2, tree.edges.height))
    net, gross = node_weights(tree, place_weights(tree, shares))
    for book in range(2):
        by_path = weighed(tree, shares[book])
        for node, name in enumerate(tree.nodes):
            own = [weight for path, weight in by_path.items() if path.split("/")[-1] == name]
            assert net[book, node] == pytest.approx(sum(own), abs=1e-15)
            assert gross[book, node] == pytest.approx(sum(map(abs, own)), abs=1e-15)


def edges_of(*rows: tuple[str | None, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


BROKEN = {
    "no root": (edges_of(("a", "b"), ("b", "a")), "one root .null parent., found .."),
    "two roots": (edges_of((None, "a"), (None, "b")), "one root"),
    "unknown parent": (edges_of((None, "a"), ("x", "b")), "expected a node of the tree, found .'x'."),
    "repeated": (edges_of((None, "a"), ("a", "b"), ("a", "b")), "each edge once"),
    "cycle": (edges_of((None, "a"), ("a", "b"), ("b", "c"), ("c", "b")), "no cycle, found one among .'b', 'c'."),
    "through the root": (edges_of((None, "a"), ("a", "b"), ("b", "a")), "no cycle"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tree_is_refused_in_one_line(name: str) -> None:
    edges, found = BROKEN[name]
    with pytest.raises(ConfigurationError, match=found) as error:
        tree_of_edges(edges)
    assert "\n" not in str(error.value)


def test_a_tree_that_shares_its_children_too_widely_is_refused_before_it_is_walked() -> None:
    width = round((MAX_PLACES / 10) ** (1 / 3)) + 10
    levels = [["m"], *([f"m{level}_{i}" for i in range(width)] for level in range(3)), [f"s{i}" for i in range(10)]]
    metas = [meta(name, *levels[i + 1]) for i in range(4) for name in levels[i]]
    with pytest.raises(ConfigurationError, match=rf"at most {MAX_PLACES} paths down from m, found .* lead to s0;"):
        compile_tree("m", metas)


def test_metas_outside_the_tree_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="tree: parent"):
        compile_tree("left", SHARED)
