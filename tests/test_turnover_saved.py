"""Turnover that netting saves, against sums over dictionaries."""

from math import fsum

import numpy as np
import polars as pl
import pytest

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.meta_book import FLAT_SCHEMA, WEIGHTS_SCHEMA, flattened
from sleevegraph.track_record import CASH
from sleevegraph.tree import compile_tree
from sleevegraph.turnover_saved import TURNOVER_SCHEMA, turnover_saved
from tests.trees import SHARED

EMPTY = FLAT_SCHEMA.to_frame()
TREE = compile_tree("top", SHARED)


def flat(*lines: tuple[str, dict[str, float]], dust: bool = False) -> pl.DataFrame:
    """A book of `hrp` from contributions by path."""
    rows = [
        {
            "profile": "hrp",
            "symbol": symbol,
            "net": fsum(paths.values()),
            "gross": fsum(map(abs, paths.values())),
            "netted": 0.0,
            "dust": dust,
            "contributions": [{"path": path, "contribution": weight} for path, weight in paths.items()],
        }
        for symbol, paths in lines
    ]
    return pl.DataFrame(rows, schema=FLAT_SCHEMA)


def hrp(before: pl.DataFrame, after: pl.DataFrame) -> tuple[float, float, float]:
    return turnover_saved(before, after).row(by_predicate=pl.col("profile") == "hrp")[1:]


def made(seed: int) -> pl.DataFrame:
    """Random weights in the shared tree."""
    rng = np.random.default_rng(seed)
    weights = {
        meta.name: pl.DataFrame(
            [
                {"profile": profile, "child": child, "weight": weight}
                for profile in RISK_PROFILES
                for child, weight in zip(
                    meta.children, rng.dirichlet(np.ones(len(meta.children))).tolist(), strict=True
                )
            ],
            schema=WEIGHTS_SCHEMA,
        )
        for meta in SHARED
    }
    books = {
        profile: {
            sleeve: dict(
                zip(
                    rng.permutation(list("ABCDEF"))[:4].tolist(),
                    (sign * rng.dirichlet(np.ones(4))).tolist(),
                    strict=True,
                )
            )
            for sleeve, sign in (("s", 1.0), ("t", -1.0))
        }
        for profile in RISK_PROFILES
    }
    return flattened(TREE, weights, books)


def test_sleeves_that_trade_against_each_other_save_both_sides() -> None:
    before = flat(("BTC", {"m/long": 0.5}))
    after = flat(("BTC", {"m/long": 0.3, "m/short": -0.1}), ("ETH", {"m/long": 0.2, "m/short": -0.2}))
    alone, traded, saved = hrp(before, after)
    assert alone == pytest.approx(0.2 + 0.1 + 0.2 + 0.2, abs=1e-15)
    assert traded == pytest.approx(0.3, abs=1e-15)
    assert saved == pytest.approx(0.4, abs=1e-15)


def test_what_leaves_is_sold_and_what_stays_is_not_traded() -> None:
    before = flat(("BTC", {"m/a": 0.5}), ("ETH", {"m/a": 0.25, "m/b": 0.25}))
    after = flat(("BTC", {"m/a": 0.5}))
    assert hrp(before, after) == (0.5, 0.5, 0.0)
    assert hrp(EMPTY, after) == (0.5, 0.5, 0.0)
    assert hrp(after, after) == (0.0, 0.0, 0.0)


def test_cash_is_no_trade_and_dust_is_not_held() -> None:
    after = pl.concat([flat((CASH, {"m/a": 0.5})), flat(("BTC", {"m/a": 5e-7}), dust=True)])
    assert hrp(EMPTY, after) == (0.0, 0.0, 0.0)


def test_every_risk_profile_has_a_row_whether_it_traded_or_not() -> None:
    found = turnover_saved(EMPTY, EMPTY)
    assert found.schema == TURNOVER_SCHEMA
    assert found.rows() == [(profile, 0.0, 0.0, 0.0) for profile in RISK_PROFILES]


@pytest.mark.parametrize("seed", range(5))
def test_whole_books_agree_with_sums_over_dictionaries_and_never_cost_more(seed: int) -> None:
    before, after = made(seed), made(seed + 100)
    for profile, alone, traded, saved in turnover_saved(before, after).iter_rows():
        legs: dict[tuple[str, str], float] = {}
        nets: dict[str, float] = {}
        for book, side in ((before, -1.0), (after, 1.0)):
            rows = book.filter(pl.col("profile") == profile, pl.col("symbol") != CASH, ~pl.col("dust"))
            for symbol, net, parts in rows.select("symbol", "net", "contributions").iter_rows():
                nets[symbol] = nets.get(symbol, 0.0) + side * net
                for part in parts:
                    key = (part["path"], symbol)
                    legs[key] = legs.get(key, 0.0) + side * part["contribution"]
        assert alone == pytest.approx(fsum(map(abs, legs.values())), abs=1e-14)
        assert traded == pytest.approx(fsum(map(abs, nets.values())), abs=1e-14)
        assert saved == pytest.approx(alone - traded, abs=1e-14)
        assert saved > 0.0, "long s and short t cross"


def test_the_order_of_rows_does_not_change_a_bit() -> None:
    before, after = made(1), made(2)
    assert turnover_saved(before.reverse(), after.sample(fraction=1.0, shuffle=True, seed=1)).equals(
        turnover_saved(before, after)
    )
