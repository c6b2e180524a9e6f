import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.conservation import concentration, conservation
from sleevegraph.findings import Finding
from sleevegraph.flattening import flatten

TREE = pl.DataFrame(
    [
        ("fractal", None, 1.0),
        ("benchmark", "fractal", 0.6),
        ("ma", "fractal", 0.4),
        ("all_long", "benchmark", 0.5),
        ("all_short", "benchmark", 0.49),
        ("small", "benchmark", 0.01),
        ("ma_long", "ma", 0.75),
        ("ma_short", "ma", 0.25),
    ],
    schema=["node", "parent", "weight"],
    orient="row",
)
LEAVES = pl.DataFrame(
    [
        ("all_long", "BTC", 0.7),
        ("all_long", "ETH", 0.3),
        ("all_short", "BTC", -0.4),
        ("all_short", "DOGE", -0.6),
        ("small", "SOL", 1.0),
        ("ma_long", "ETH", 1.0),
        ("ma_short", "CASH", 1.0),
    ],
    schema=["node", "symbol", "weight"],
    orient="row",
)
FLAT = flatten(TREE, LEAVES)


def codes(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.symbol) for finding in findings}


def edited(symbol: str, net: float = 0.0, gross: float = 0.0) -> pl.DataFrame:
    """FLAT with something added to one symbol."""
    here = pl.col("symbol") == symbol
    return FLAT.with_columns(
        net=pl.when(here).then(pl.col("net") + net).otherwise("net"),
        gross=pl.when(here).then(pl.col("gross") + gross).otherwise("gross"),
    )


def test_an_honest_book_with_longs_netted_against_shorts_has_no_finding() -> None:
    btc = FLAT.row(by_predicate=pl.col("symbol") == "BTC", named=True)
    assert abs(btc["net"]) < btc["gross"]
    assert conservation(TREE, LEAVES, FLAT) == []


def test_a_symbol_netted_to_zero_is_no_finding() -> None:
    leaves = pl.DataFrame({"node": ["a", "b"], "symbol": ["X", "X"], "weight": [1.0, -1.0]})
    tree = pl.DataFrame({"node": ["r", "a", "b"], "parent": [None, "r", "r"], "weight": [1.0, 0.5, 0.5]})
    assert conservation(tree, leaves, flatten(tree, leaves)) == []


def test_a_child_held_short_counts_in_gross_by_its_size() -> None:
    tree = pl.DataFrame({"node": ["r", "a", "b"], "parent": [None, "r", "r"], "weight": [1.0, 1.5, -0.5]})
    leaves = pl.DataFrame({"node": ["a", "b"], "symbol": ["X", "Y"], "weight": [1.0, 1.0]})
    assert conservation(tree, leaves, flatten(tree, leaves)) == []


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(-1, 1), st.sampled_from("XYZ")), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_flatten_conserves_any_normalised_book(sleeves: list[tuple[float, float, str]]) -> None:
    shares, weights, symbols = (list(column) for column in zip(*sleeves, strict=True))
    nodes = [f"s{i}" for i in range(len(sleeves))]
    tree = pl.DataFrame(
        {
            "node": ["r", *nodes],
            "parent": [None, *["r"] * len(nodes)],
            "weight": [1.0, *(np.array(shares) / sum(shares)).tolist()],
        }
    )
    leaves = pl.DataFrame({"node": nodes, "symbol": symbols, "weight": weights})
    assert conservation(tree, leaves, flatten(tree, leaves)) == []


def test_a_sleeve_of_one_per_cent_without_rows_is_lost() -> None:
    without = LEAVES.filter(pl.col("node") != "small")
    assert codes(conservation(TREE, without, flatten(TREE, without))) == {("SLEEVE_LOST", "small")}


def test_a_sleeve_of_one_per_cent_left_out_of_the_book_breaks_net_and_gross() -> None:
    without = flatten(TREE, LEAVES.filter(pl.col("node") != "small"))
    assert codes(conservation(TREE, LEAVES, without)) == {("NET_NOT_CONSERVED", "SOL"), ("GROSS_NOT_CONSERVED", "")}


def test_a_sleeve_cut_from_the_tree_is_lost_and_its_siblings_no_longer_sum_to_one() -> None:
    tree = TREE.filter(pl.col("node") != "small")
    found = codes(conservation(tree, LEAVES, FLAT))
    assert {("SLEEVE_LOST", "small"), ("CHILD_WEIGHTS_NOT_NORMALIZED", "benchmark")} <= found


@pytest.mark.parametrize("off", [1e-6, -1e-6, 2e-9, float("nan")])
def test_an_edited_net_weight_is_found(off: float) -> None:
    assert codes(conservation(TREE, LEAVES, edited("BTC", net=off))) == {("NET_NOT_CONSERVED", "BTC")}


@pytest.mark.parametrize("off", [1e-6, -1e-6, 2e-9, float("nan")])
def test_an_edited_gross_is_found(off: float) -> None:
    assert codes(conservation(TREE, LEAVES, edited("ETH", gross=off))) == {("GROSS_NOT_CONSERVED", "")}


def test_rounding_is_no_finding() -> None:
    assert conservation(TREE, LEAVES, edited("BTC", net=1e-12, gross=1e-12)) == []


def test_a_flipped_sign_is_found() -> None:
    flipped = FLAT.with_columns(net=pl.when(pl.col("symbol") == "DOGE").then(-pl.col("net")).otherwise("net"))
    assert codes(conservation(TREE, LEAVES, flipped)) == {("NET_NOT_CONSERVED", "DOGE")}


def test_gross_reported_after_netting_is_found() -> None:
    netted = FLAT.with_columns(gross=pl.col("net").abs())
    assert codes(conservation(TREE, LEAVES, netted)) == {("GROSS_NOT_CONSERVED", "")}


@pytest.mark.parametrize("node", ["all_long", "ma_long", "benchmark"])
def test_a_child_weight_off_by_a_millionth_is_found(node: str) -> None:
    tree = TREE.with_columns(weight=pl.col("weight") + 1e-6 * (pl.col("node") == node).cast(pl.Float64))
    parent = TREE.row(by_predicate=pl.col("node") == node, named=True)["parent"]
    assert codes(conservation(tree, LEAVES, flatten(tree, LEAVES))) == {("CHILD_WEIGHTS_NOT_NORMALIZED", parent)}


def test_a_symbol_that_no_sleeve_holds_is_unexplained() -> None:
    extra = pl.concat([FLAT, pl.DataFrame({"symbol": ["XRP"], "net": [0.0], "gross": [0.0]})])
    assert codes(conservation(TREE, LEAVES, extra)) == {("SYMBOL_UNEXPLAINED", "XRP")}


def test_every_conservation_finding_is_an_error() -> None:
    findings = conservation(TREE.filter(pl.col("node") != "small"), LEAVES, FLAT[:2])
    assert findings
    assert {finding.level for finding in findings} == {"ERROR"}


def book(**net: float) -> pl.DataFrame:
    """A book in which nothing nets."""
    rows = [(symbol, weight, abs(weight)) for symbol, weight in net.items()]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "net": pl.Float64, "gross": pl.Float64}, orient="row")


def test_one_symbol_above_a_quarter_of_gross_warns_and_above_two_fifths_blocks() -> None:
    findings = concentration(book(A=-0.41, B=0.26, C=0.25, D=0.08))
    assert [(f.level, f.code, f.symbol) for f in findings] == [
        ("ERROR", "CONCENTRATION_BLOCK", "A"),
        ("WARN", "CONCENTRATION_WARN", "B"),
    ]


def test_what_is_left_of_a_netted_book_is_judged_against_the_gross_before_netting() -> None:
    netted = pl.DataFrame({"symbol": ["A", "B"], "net": [0.01, 0.0], "gross": [0.5, 0.5]})
    assert concentration(netted) == []


def test_concentration_is_a_share_of_the_gross_not_of_wealth() -> None:
    assert codes(concentration(book(A=0.05, B=-0.05, CASH=0.9))) == {
        ("CONCENTRATION_BLOCK", "A"),
        ("CONCENTRATION_BLOCK", "B"),
    }


def test_concentration_limits_come_from_the_caller() -> None:
    assert concentration(book(A=0.5, B=0.5), warn=0.5, block=0.6) == []
    assert codes(concentration(book(A=0.5, B=0.5), warn=0.1, block=0.6)) == {
        ("CONCENTRATION_WARN", "A"),
        ("CONCENTRATION_WARN", "B"),
    }


def test_a_weight_that_is_not_a_number_blocks() -> None:
    assert ("CONCENTRATION_BLOCK", "A") in codes(concentration(book(A=float("nan"), B=0.5)))


@pytest.mark.parametrize("empty", [book(), book(CASH=1.0), book(A=0.0)])
def test_a_book_without_exposure_is_not_concentrated(empty: pl.DataFrame) -> None:
    assert concentration(empty) == []
