"""Flattening every risk profile of a meta: against recursive dictionaries, and what is said of each line."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from math import fsum
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.conservation import conservation
from sleevegraph.errors import ConfigurationError
from sleevegraph.flattening import cancelled
from sleevegraph.ledgers import Ledgers, open_ledgers
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.meta_book import (
    FLAT_SCHEMA,
    WEIGHTS_SCHEMA,
    flattened,
    flattened_before,
    leaves_of,
    tree_of,
)
from sleevegraph.track_record import CASH, Holdings
from sleevegraph.tree import compile_tree
from tests.trees import SHARED, meta, nested

Shares = Mapping[str, Mapping[str, float]]
Books = Mapping[str, Mapping[str, Mapping[str, float]]]

TREE = compile_tree("top", SHARED)
SHARES: Shares = {
    "top": {"left": 0.5, "right": 0.3, "s": 0.2},
    "left": {"s": 0.4, "right": 0.6},
    "right": {"s": 0.25, "t": 0.75},
}
BOOK = {"s": {"BTC": 0.6, "ETH": 0.4}, "t": {"BTC": -0.5, "XRP": -0.5}}
HELD = {"top/s": 0.2, "top/left/s": 0.2, "top/right/s": 0.075, "top/left/right/s": 0.075}
"""What each path gives to `s`; the two to `t` are three times those below `right`."""


def rows_of(shares: Shares) -> dict[str, pl.DataFrame]:
    """The same shares under every risk profile."""
    return {
        name: pl.DataFrame(
            [
                {"profile": profile, "child": child, "weight": weight}
                for profile in RISK_PROFILES
                for child, weight in children.items()
            ],
            schema=WEIGHTS_SCHEMA,
        )
        for name, children in shares.items()
    }


def books_of(book: Mapping[str, Mapping[str, float]]) -> Books:
    return dict.fromkeys(RISK_PROFILES, book)


FLAT = flattened(TREE, rows_of(SHARES), books_of(BOOK))


def recursive(root: str, shares: Shares, book: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Contribution by symbol and path."""
    found: dict[str, dict[str, float]] = defaultdict(dict)

    def descend(node: str, path: str, product: float) -> None:
        for symbol, weight in book.get(node, {}).items():
            found[symbol][path] = product * weight
        for child, share in shares.get(node, {}).items():
            descend(child, f"{path}/{child}", product * share)

    descend(root, root, 1.0)
    return found


def attribution(flat: pl.DataFrame, profile: str = "hrp") -> dict[str, dict[str, float]]:
    rows = flat.filter(pl.col("profile") == profile).select("symbol", "contributions").iter_rows()
    return {symbol: {part["path"]: part["contribution"] for part in parts} for symbol, parts in rows}


def line(flat: pl.DataFrame, symbol: str) -> dict[str, float]:
    return flat.row(by_predicate=(pl.col("profile") == "hrp") & (pl.col("symbol") == symbol), named=True)


@st.composite
def weighted(draw: st.DrawFn) -> tuple[list[MetaProfile], dict[str, pl.DataFrame], dict[str, Books]]:
    """A tree, child weights of its own under every risk profile, and signed books of its sleeves."""
    metas = draw(nested())
    names = {meta.name for meta in metas}
    sleeves = sorted({child for meta in metas for child in meta.children} - names)
    weight = st.floats(-1, 1)
    rows = [
        (meta.name, {"profile": profile, "child": child, "weight": draw(weight)})
        for meta in metas
        for profile in RISK_PROFILES[:2]
        for child in meta.children
    ]
    rows += [
        (meta.name, {"profile": profile, "child": child, "weight": 0.5})
        for meta in metas
        for profile in RISK_PROFILES[2:]
        for child in meta.children
    ]
    book = st.dictionaries(st.sampled_from("ABCDE"), weight, max_size=5)
    books = {p: {sleeve: draw(book) for sleeve in sleeves} for p in RISK_PROFILES[:2]}
    books |= dict.fromkeys(RISK_PROFILES[2:], books["hrp"])
    frames = {
        name: pl.DataFrame([row for owner, row in rows if owner == name], schema=WEIGHTS_SCHEMA) for name in names
    }
    return metas, frames, books


@given(weighted())
@settings(max_examples=40, deadline=None)
def test_every_risk_profile_flattens_to_what_recursive_dictionaries_give(
    drawn: tuple[list[MetaProfile], dict[str, pl.DataFrame], Books],
) -> None:
    metas, weights, books = drawn
    root = metas[0].name
    flat = flattened(compile_tree(root, metas), weights, books)
    assert flat.schema == FLAT_SCHEMA
    assert flat["profile"].unique(maintain_order=True).to_list() == list(RISK_PROFILES)
    for profile in RISK_PROFILES[:3]:
        shares = {
            name: dict(rows.filter(pl.col("profile") == profile).select("child", "weight").iter_rows())
            for name, rows in weights.items()
        }
        expected = recursive(root, shares, books[profile])
        found = attribution(flat, profile)
        assert found.keys() - {CASH} == expected.keys()
        own = flat.filter(pl.col("profile") == profile)
        assert own["symbol"].is_sorted()
        for symbol, net, gross, netted in own.select("symbol", "net", "gross", "netted").iter_rows():
            paths = expected.get(symbol, found.get(CASH, {}))
            assert found[symbol] == pytest.approx(paths, abs=1e-12)
            assert net == pytest.approx(fsum(paths.values()), abs=1e-12)
            assert gross == pytest.approx(fsum(map(abs, paths.values())), abs=1e-12)
            assert netted == pytest.approx(gross - abs(net), abs=1e-12)


@given(weighted(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_weights_and_holdings_does_not_change_a_bit(
    drawn: tuple[list[MetaProfile], dict[str, pl.DataFrame], Books], random: Random
) -> None:
    metas, weights, books = drawn
    tree = compile_tree(metas[0].name, metas)

    def shuffled(items: Mapping) -> dict:
        return {key: shuffled(items[key]) if isinstance(items[key], Mapping) else items[key] for key in mixed(items)}

    def mixed(items: Mapping) -> list:
        return random.sample(list(items), len(items))

    moved = {name: weights[name][mixed(range(weights[name].height))] for name in mixed(weights)}
    assert flattened(tree, moved, shuffled(books)).equals(flattened(tree, weights, books))


@given(weighted(), st.sampled_from([0.5, 0.25, 2.0]), st.data())
@settings(max_examples=30, deadline=None)
def test_scaling_a_childs_weight_scales_what_comes_through_it_and_nothing_else(
    drawn: tuple[list[MetaProfile], dict[str, pl.DataFrame], Books], factor: float, data: st.DataObject
) -> None:
    metas, weights, books = drawn
    tree = compile_tree(metas[0].name, metas)
    parent, child = data.draw(st.sampled_from(tree.edges.rows()[1:]))
    here = pl.when(pl.col("child") == child).then(pl.col("weight") * factor).otherwise("weight")
    scaled = weights | {parent: weights[parent].with_columns(here)}
    before, after = (attribution(flattened(tree, w, books)) for w in (weights, scaled))
    for symbol, paths in before.items():
        for path, contribution in paths.items():
            through = f"/{parent}/{child}/" in f"/{path}/"
            expected = contribution * (factor if through else 1.0)
            assert after[symbol][path] == pytest.approx(expected, rel=1e-15, abs=1e-300), "but for underflow"


def test_a_sleeve_under_two_metas_and_a_nested_one_is_attributed_to_each_path() -> None:
    found = attribution(FLAT)
    assert found["ETH"] == pytest.approx({path: 0.4 * weight for path, weight in HELD.items()}, abs=1e-15)
    of_s = {path: 0.6 * weight for path, weight in HELD.items()}
    of_t = {"top/right/t": -0.5 * 0.225, "top/left/right/t": -0.5 * 0.225}
    assert found["BTC"] == pytest.approx(of_s | of_t, abs=1e-15)
    assert found["XRP"] == pytest.approx(of_t, abs=1e-15)


def test_netted_is_what_longs_and_shorts_take_from_each_other() -> None:
    btc = line(FLAT, "BTC")
    assert btc["gross"] == pytest.approx(0.6 * 0.55 + 0.5 * 0.45, abs=1e-15)
    assert btc["net"] == pytest.approx(0.6 * 0.55 - 0.5 * 0.45, abs=1e-15)
    assert btc["netted"] == pytest.approx(2 * 0.5 * 0.45, abs=1e-15)
    assert line(FLAT, "ETH")["netted"] == line(FLAT, "XRP")["netted"] == 0.0


def test_a_cancelled_pair_is_an_empty_line_with_a_note_and_no_finding() -> None:
    pair = (meta("pair", "long", "short"),)
    weights = rows_of({"pair": {"long": 0.5, "short": 0.5}})
    book = {"long": {"BTC": 0.3, "ETH": 0.7}, "short": {"BTC": -0.3, "XRP": -0.7}}
    flat = flattened(compile_tree("pair", pair), weights, books_of(book))
    found = line(flat, "BTC")
    assert (found["net"], found["gross"], found["netted"], found["dust"]) == (0.0, 0.3, 0.3, False)
    assert attribution(flat)["BTC"] == {"pair/long": 0.15, "pair/short": -0.15}
    assert cancelled(flat).select("profile", "symbol").rows() == [(profile, "BTC") for profile in RISK_PROFILES]
    own = flat.filter(pl.col("profile") == "hrp")
    assert conservation(tree_of("pair", weights, "hrp"), leaves_of(book), own) == []


def test_dust_is_marked_by_gross_and_kept() -> None:
    book = {"s": {"BTC": 1e-6, "ETH": 1 - 1e-6}, "t": {"XRP": -1.0}}
    flat = flattened(TREE, rows_of(SHARES), books_of(book))
    assert line(flat, "BTC")["net"] == pytest.approx(0.55e-6, abs=1e-18)
    assert flat.filter("dust").select("profile", "symbol").rows() == [
        (profile, symbol) for profile in RISK_PROFILES for symbol in ("BTC", CASH)
    ]


def without(child: str) -> dict[str, pl.DataFrame]:
    return {name: rows.filter(pl.col("child") != child) for name, rows in rows_of(SHARES).items()}


def planted(**changes: float | str | None) -> dict[str, pl.DataFrame]:
    """Rows with the first of `top`'s children changed under one risk profile."""
    rows = rows_of(SHARES)
    odd = rows["top"][:1].with_columns(
        pl.lit(value, WEIGHTS_SCHEMA[name]).alias(name) for name, value in changes.items()
    )
    return rows | {"top": pl.concat([odd, rows["top"][1:]])}


BROKEN = {
    "a child without a weight": (without("t"), BOOK, "right: expected a weight of every child, found none of t under"),
    "a meta without weights": (
        {name: rows for name, rows in rows_of(SHARES).items() if name != "left"},
        BOOK,
        "left: expected a weight of every child",
    ),
    "a child that is none": (
        rows_of(SHARES) | {"left": rows_of({"left": {"s": 0.4, "right": 0.6, "x": 0.0}})["left"]},
        BOOK,
        "left: expected children of the tree, found x under",
    ),
    "a weight that is not finite": (
        planted(weight=float("nan")),
        BOOK,
        "one finite weight of each, found .'hrp', 'top'",
    ),
    "a null weight": (planted(weight=None), BOOK, "one finite weight of each"),
    "two weights of a child": (
        rows_of(SHARES) | {"top": pl.concat([rows_of(SHARES)["top"], rows_of(SHARES)["top"][:1]])},
        BOOK,
        "one finite weight of each",
    ),
    "a sleeve outside the tree": (rows_of(SHARES), BOOK | {"ghost": {"BTC": 0.1}}, "ghost"),
    "a holding that is not finite": (rows_of(SHARES), BOOK | {"s": {"BTC": float("inf")}}, "finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_do_not_fit_the_tree_are_refused_in_one_line(name: str) -> None:
    weights, book, found = BROKEN[name]
    with pytest.raises(ConfigurationError, match=found) as error:
        flattened(TREE, weights, books_of(book))
    assert "\n" not in str(error.value)


def ledger(positions: Mapping[str, float]) -> Ledgers:
    """Wealth 2 of which `positions` are shares."""
    held = Holdings(
        2.0 - 2.0 * fsum(positions.values()), {name: (2.0 * w, 2.0 * abs(w)) for name, w in positions.items()}
    )
    return Ledgers(date(2024, 1, 1), dict.fromkeys(RISK_PROFILES, held), date(2023, 12, 23))


def test_the_book_before_is_flattened_from_what_every_ledger_held() -> None:
    ledgers = {name: ledger(held) for name, held in {**SHARES, **BOOK}.items()}
    before = flattened_before(TREE, ledgers)
    assert attribution(before).keys() == attribution(FLAT).keys()
    for symbol, paths in attribution(FLAT).items():
        assert attribution(before)[symbol] == pytest.approx(paths, abs=1e-15)


def test_a_child_that_was_not_held_gave_nothing() -> None:
    names = [*SHARES, *BOOK]
    nothing = flattened_before(TREE, {name: open_ledgers(date(2024, 1, 1)) for name in names})
    assert nothing["symbol"].unique().to_list() == [CASH]
    assert nothing["gross"].sum() == 0.0
    ledgers = {name: ledger(held) for name, held in {**SHARES, **BOOK, "left": {"s": 1.0}}.items()}
    found = attribution(flattened_before(TREE, ledgers))["BTC"]
    assert found["top/left/right/t"] == 0.0
    assert found["top/left/s"] == pytest.approx(0.5 * 0.6, abs=1e-15)
