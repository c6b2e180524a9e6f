from collections.abc import Collection, Mapping
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.atoms import Direction
from sleevegraph.candidates import candidates
from sleevegraph.manifest import SelectionRules, SleeveProfile, UniverseRules
from sleevegraph.ratings import technical_ratings
from sleevegraph.universe import universe
from tests.markets import recorded_bars, recorded_panel
from tests.shared import needs_shared


def sleeve(direction: Direction = "LONG", limit: int = 100, quotes: tuple[str, ...] = ()) -> SleeveProfile:
    rules = SelectionRules(limit=limit)
    return SleeveProfile(
        name="some", logic="rating", rating="recommend_all", direction=direction, quotes=quotes, selection=rules
    )


def listed(volumes: Mapping[str, float], ineligible: Collection[str] = ()) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": list(volumes),
            "base": list(volumes),
            "eligible": [s not in ineligible for s in volumes],
            "rule": ["pegged" if s in ineligible else None for s in volumes],
            "quote": ["USDC" if s in "BD" else "USDT" for s in volumes],
            "median_quote_volume": [float(v) for v in volumes.values()],
        }
    )


def rated(values: Mapping[str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(list(values.items()), schema={"symbol": pl.String, "rating": pl.Float64}, orient="row")


def reasons(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("symbol", "reason").rows())


VOLUMES = dict.fromkeys("ABCDEF", 1e6)
RATINGS = {"A": 0.2, "B": 0.9, "C": -0.1, "D": -0.7, "E": 0.0, "F": None}


def test_a_long_sleeve_takes_positive_ratings_highest_first() -> None:
    found = candidates(listed(VOLUMES), rated(RATINGS), sleeve())
    assert found.filter("kept").select("symbol", "rank").rows() == [("B", 1), ("A", 2)]
    assert reasons(found) == {
        "B": "kept",
        "A": "kept",
        "C": "rating_wrong_sign",
        "D": "rating_wrong_sign",
        "E": "rating_wrong_sign",
        "F": "rating_unknown",
    }


def test_a_short_sleeve_takes_negative_ratings_most_bearish_first() -> None:
    found = candidates(listed(VOLUMES), rated(RATINGS), sleeve("SHORT"))
    assert found.filter("kept").select("symbol", "rank", "rating").rows() == [("D", 1, -0.7), ("C", 2, -0.1)]


@pytest.mark.parametrize(("direction", "kept"), [("LONG", {"A"}), ("SHORT", {"C"})])
def test_a_sleeve_with_quotes_takes_no_symbol_of_another_quote(direction: Direction, kept: set[str]) -> None:
    found = candidates(listed(VOLUMES), rated(RATINGS), sleeve(direction, quotes=("USDT", "EUR")))
    assert set(found.filter("kept")["symbol"]) == kept
    assert set(found["symbol"]) == set("ACEF")
    both = candidates(listed(VOLUMES), rated(RATINGS), sleeve(direction, quotes=("USDC", "USDT")))
    assert both.equals(candidates(listed(VOLUMES), rated(RATINGS), sleeve(direction)))


@pytest.mark.parametrize("direction", ["LONG", "SHORT"])
def test_ties_go_to_liquidity_then_to_the_symbol(direction: Direction) -> None:
    volumes = {"A": 1.0, "B": 3.0, "C": 2.0, "D": 3.0}
    value = 0.5 if direction == "LONG" else -0.5
    found = candidates(listed(volumes), rated(dict.fromkeys(volumes, value)), sleeve(direction))
    assert found["symbol"].to_list() == ["B", "D", "C", "A"]


def test_the_limit_keeps_the_best_and_says_who_was_beyond_it() -> None:
    found = candidates(listed(VOLUMES), rated({s: 0.1 * i for i, s in enumerate("FEDCBA", 1)}), sleeve(limit=4))
    assert found["kept"].to_list() == [True] * 4 + [False] * 2
    assert found["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert reasons(found)["E"] == reasons(found)["F"] == "beyond_limit"


def test_an_ineligible_symbol_is_no_candidate_and_one_without_a_rating_is_reported() -> None:
    found = candidates(listed(VOLUMES, ineligible=("B",)), rated({"A": 0.1, "B": 0.9}), sleeve())
    assert "B" not in found["symbol"]
    assert reasons(found) == {"A": "kept", **dict.fromkeys("CDEF", "rating_unknown")}


def test_a_nan_rating_is_unknown() -> None:
    found = candidates(listed({"A": 1.0}), rated({"A": float("nan")}), sleeve())
    assert reasons(found) == {"A": "rating_unknown"}


def test_nobody_eligible_is_an_empty_table() -> None:
    found = candidates(listed(VOLUMES, ineligible=VOLUMES), rated(RATINGS), sleeve())
    assert found.is_empty()
    assert found.columns == ["symbol", "rating", "median_quote_volume", "rank", "kept", "reason"]


@needs_shared
def test_recorded_long_and_short_candidates_are_disjoint_and_ordered() -> None:
    known, at = recorded_panel(), recorded_panel().dates[700].astype(object)
    verdict = universe(known.before(at), at, UniverseRules())
    bars = recorded_bars().filter(pl.col("date") < at)
    newest = technical_ratings(bars).filter(pl.col("date") == at - timedelta(days=1))
    ratings = newest.select("symbol", rating="recommend_all")
    long, short = (candidates(verdict, ratings, sleeve(d)).filter("kept") for d in ("LONG", "SHORT"))
    assert not set(long["symbol"]) & set(short["symbol"])
    for table, sign in ((long, 1.0), (short, -1.0)):
        strength = sign * table["rating"].to_numpy()
        assert strength.size > 20
        assert (strength > 0).all()
        assert (np.diff(strength) <= 0).all()
