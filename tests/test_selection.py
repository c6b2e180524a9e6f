from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.atoms import Direction
from sleevegraph.candidates import candidates
from sleevegraph.errors import MissingFeatureError
from sleevegraph.features import FEATURES
from sleevegraph.manifest import SelectionRules, SleeveProfile, UniverseRules
from sleevegraph.panel import Panel, build_panel
from sleevegraph.ratings import technical_ratings
from sleevegraph.selection import Selection, score, select, select_winners
from sleevegraph.universe import universe
from tests.markets import RECORDED_NOT_CRYPTO, bars_of, recorded_bars, recorded_panel, walk, with_noise_from
from tests.shared import needs_shared

BTC = "BINANCE:BTCUSDT"
FINE = {"entropy": 0.95, "efficiency": 0.2, "kurtosis": 3.0, "annual_volatility": 0.8}
WEIGHTS = SelectionRules().feature_weights


def table(qualities: Mapping[str, float], changes: Mapping[str, dict[str, float]] | None = None) -> pl.DataFrame:
    """Candidates whose every ranked feature says the same: the higher the quality, the better."""
    rows = []
    for symbol, quality in qualities.items():
        row = dict.fromkeys(FEATURES, float(quality)) | FINE | {"skew": -float(quality)}
        rows.append({"symbol": symbol, **row, **(changes or {}).get(symbol, {})})
    return pl.DataFrame(rows, schema={"symbol": pl.String, **dict.fromkeys(FEATURES, pl.Float64)})


def best_first(count: int) -> dict[str, float]:
    return {f"S{i:02d}": count - i for i in range(count)}


def run(features: pl.DataFrame, clusters: Sequence[int], benchmark: Collection[str] = (), **rules: float) -> Selection:
    return select(features, np.asarray(clusters), SelectionRules(**rules), benchmark)


def by_symbol(selection: Selection, column: str) -> dict[str, Any]:
    return dict(selection.table.select("symbol", column).rows())


def winners(selection: Selection) -> list[str]:
    return selection.table.filter("winner")["symbol"].to_list()


def test_the_score_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    features = pl.DataFrame({name: rng.integers(0, 6, 9).astype(float) for name in WEIGHTS})
    expected = []
    for i in range(9):
        product = 1.0
        for name, weight in WEIGHTS.items():
            values = features[name].to_list()
            if name in {"entropy", "skew", "kurtosis"}:
                values = [-v for v in values]
            below, equal = (sum(v < values[i] for v in values), sum(v == values[i] for v in values))
            rank = below + (equal + 1) / 2
            product *= (0.01 + 0.99 * (rank - 1) / 8) ** weight
        expected.append(product)
    np.testing.assert_allclose(score(features, WEIGHTS), expected, rtol=1e-12)


def test_a_single_candidate_scores_one() -> None:
    assert score(table({"A": 3.0}), WEIGHTS).tolist() == [1.0]


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_every_feature_moves_the_score_its_own_way(name: str) -> None:
    low, high = score(table({"A": 1.0, "B": 1.0}).with_columns(pl.Series(name, [0.1, 0.2])), WEIGHTS | {"skew": 0.5})
    assert low != high
    assert (low > high) == (name in {"entropy", "skew", "kurtosis"})


def test_a_milder_tail_is_better() -> None:
    mild, bad = score(table({"A": 1.0, "B": 1.0}).with_columns(cvar=pl.Series([-0.02, -0.09])), WEIGHTS)
    assert mild > bad


def test_stage_one_takes_the_best_of_each_cluster_that_pass_the_vetoes() -> None:
    features = table(best_first(6), {"S00": {"kurtosis": 25.0}, "S03": {"annual_volatility": 3.0}})
    found = run(features, [1, 1, 1, 2, 2, 2], top_n=1, min_winners=2, sparse_below=1)
    assert (found.stage, found.sparse, winners(found)) == (1, False, ["S01", "S04"])
    assert by_symbol(found, "reason") == {
        "S00": "vetoed: kurtosis 25 > 20",
        "S01": "stage 1: rank 1 of cluster 1",
        "S02": "beyond top_n of cluster 1",
        "S03": "vetoed: volatility 3 > 2.5",
        "S04": "stage 1: rank 1 of cluster 2",
        "S05": "beyond top_n of cluster 2",
    }
    assert by_symbol(found, "vetoes") == {
        s: {"S00": ["kurtosis"], "S03": ["volatility"]}.get(s, []) for s in best_first(6)
    }
    assert found.table["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert by_symbol(found, "stage")["S01"] == 1
    assert by_symbol(found, "stage")["S02"] is None


def test_stage_two_relaxes_and_keeps_who_is_in() -> None:
    changes = {"S00": {"efficiency": 0.045}, "S01": {"efficiency": 0.03}, "S04": {"efficiency": 0.041}}
    found = run(table(best_first(5), changes), [1, 1, 1, 2, 2], top_n=1, min_winners=3, sparse_below=1)
    # S02 and S03 won stage 1; their clusters are full, so the relaxed S00 and S04 do not displace them.
    assert by_symbol(found, "stage") == {"S00": 4, "S01": None, "S02": 1, "S03": 1, "S04": None}
    wider = run(table(best_first(5), changes), [1, 1, 1, 2, 2], top_n=2, min_winners=3, sparse_below=1)
    assert (wider.stage, winners(wider)) == (2, ["S00", "S02", "S03", "S04"])
    assert by_symbol(wider, "reason")["S00"] == "stage 2: rank 1 of cluster 1"
    assert by_symbol(wider, "reason")["S01"] == "vetoed: efficiency 0.03 < 0.04"
    assert by_symbol(wider, "vetoes")["S00"] == ["efficiency"]


def test_stage_three_gives_a_cluster_without_survivor_its_best_member() -> None:
    changes = {s: {"kurtosis": 30.0} for s in ("S01", "S02")}
    found = run(table(best_first(4), changes), [1, 2, 2, 3], min_winners=3, sparse_below=1)
    assert (found.stage, winners(found)) == (3, ["S00", "S01", "S03"])
    assert by_symbol(found, "reason")["S01"] == "stage 3: best of cluster 2, which had no survivor"
    assert by_symbol(found, "reason")["S02"] == "vetoed: kurtosis 30 > 20"


def test_stage_four_fills_by_score_from_those_not_vetoed_and_stops_when_there_are_enough() -> None:
    changes = {"S01": {"kurtosis": 30.0}}
    found = run(table(best_first(8), changes), [1] * 8, top_n=2, min_winners=4, sparse_below=1)
    assert (found.stage, winners(found)) == (4, ["S00", "S02", "S03", "S04"])
    assert by_symbol(found, "stage")["S03"] == 4
    assert by_symbol(found, "reason")["S05"] == "beyond top_n of cluster 1"


def test_enough_winners_end_the_protocol_at_once() -> None:
    changes = {"S05": {"efficiency": 0.045}}
    assert run(table(best_first(6), changes), [1] * 6, min_winners=5).stage == 1
    assert run(table(best_first(6), changes), [1] * 6, min_winners=6).stage == 2


def test_at_most_max_winners_the_best_scores_first() -> None:
    found = run(table(best_first(40)), list(range(1, 41)))
    assert winners(found) == [f"S{i:02d}" for i in range(25)]
    assert by_symbol(found, "reason")["S25"] == "beyond max_winners"


def test_too_few_winners_are_sparse_and_nobody_wins() -> None:
    found = run(table(best_first(2)), [1, 2])
    assert (found.sparse, winners(found), found.stage) == (True, [], 4)
    assert by_symbol(found, "reason")["S00"] == "sparse: 2 winners, expected at least 3"
    assert run(table(best_first(3)), [1, 2, 3]).sparse is False


def test_no_candidates_are_sparse_with_an_empty_table() -> None:
    found = run(table({}), np.empty(0, dtype=int))
    assert found.sparse
    assert found.table.is_empty()
    assert found.table.schema == run(table(best_first(3)), [1, 1, 1]).table.schema


def test_the_benchmark_is_never_vetoed() -> None:
    features = table({BTC: 1.0, "A": 2.0}, {BTC: {"kurtosis": 99.0}, "A": {"kurtosis": 99.0}})
    spared = run(features, [1, 1], [BTC], sparse_below=1)
    assert winners(spared) == [BTC]
    assert by_symbol(spared, "vetoes") == {"A": ["kurtosis"], BTC: []}
    assert spared.vetoes.filter(rule="kurtosis").select("fired", "candidates").row(0) == (1, 1)
    assert winners(run(features, [1, 1], sparse_below=1)) == ["A"]  # stage 3: the best of a dead cluster


@pytest.mark.parametrize("column", ["entropy", "annual_volatility", "momentum"])
def test_a_column_that_a_veto_or_a_weight_needs_must_be_there_and_known(column: str) -> None:
    features = table(best_first(4))
    with pytest.raises(MissingFeatureError, match=column):
        run(features.drop(column), [1] * 4)
    with pytest.raises(MissingFeatureError, match=f"S00: {column}"):
        run(features.with_columns(pl.lit(None, pl.Float64).alias(column)), [1] * 4)


def test_equal_scores_are_ordered_by_symbol() -> None:
    found = run(table(dict.fromkeys("CAB", 1.0)), [1, 1, 1])
    assert found.table["symbol"].to_list() == ["A", "B", "C"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_protocol_keeps_its_promises(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 30))
    values = st.sampled_from([0.01, 0.045, 0.3])
    changes = {s: {"efficiency": data.draw(values)} for s in best_first(count)}
    labels = [data.draw(st.integers(1, 5)) for _ in range(count)]
    top_n, least, most = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 8)), data.draw(st.integers(8, 12))
    found = run(
        table(best_first(count), changes), labels, top_n=top_n, min_winners=least, max_winners=most, sparse_below=2
    )
    rows = found.table.to_dicts()
    chosen = [r for r in rows if r["winner"]]
    passed = [r for r in rows if not r["vetoes"]]
    assert len(rows) == count
    assert len(chosen) <= most
    assert found.sparse == (len([r for r in rows if r["reason"].startswith(("stage", "sparse"))]) < 2)
    assert not found.sparse or not chosen
    assert all(r["reason"] and (r["stage"] is not None) == r["winner"] for r in rows)
    assert all(r["stage"] != 1 or not r["vetoes"] for r in chosen)
    assert all(r["stage"] <= found.stage for r in chosen)
    if found.stage < 4:
        assert len(chosen) >= least
    per_cluster = {c: sum(r["cluster"] == c and r["stage"] in (1, 2) for r in chosen) for c in labels}
    assert max(per_cluster.values(), default=0) <= top_n
    if found.stage == 1 and not found.sparse:
        assert {r["cluster"] for r in passed} >= {r["cluster"] for r in chosen}


@given(st.permutations(range(8)))
def test_the_order_of_the_candidates_does_not_matter(order: list[int]) -> None:
    features = table(best_first(8), {"S02": {"kurtosis": 22.0}})
    labels = np.array([1, 1, 2, 2, 3, 3, 3, 1])
    turned = run(features[list(order)], labels[list(order)], top_n=2, min_winners=5)
    assert turned.table.equals(run(features, labels, top_n=2, min_winners=5).table)


def sleeve(direction: Direction, logic: str = "all", **rules: Any) -> SleeveProfile:
    if logic == "ma":
        rules = {"feature_weights": {"rating": 3.0, "momentum": 0.5}} | rules
    return SleeveProfile(
        name=f"{logic}_{direction.lower()}",
        logic=f"rating_{logic}",
        rating=f"recommend_{logic}",
        direction=direction,
        selection=SelectionRules(**rules),
    )


def kept(known: Panel, rating: Sequence[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": known.symbols,
            "rating": rating,
            "median_quote_volume": np.linspace(1e6, 2e6, len(known.symbols)),
            "kept": True,
        }
    )


def test_flipping_the_sign_of_all_returns_turns_a_short_sleeve_into_a_long_one() -> None:
    market = bars_of({f"C{i:02d}": walk(300, i) for i in range(30)}, date(2022, 12, 31))
    known = build_panel(market).last(260)
    assert np.nanmax(np.abs(known.returns)) < 1.0
    rating = np.linspace(-0.9, -0.1, 30)
    short = select_winners(known, kept(known, rating), sleeve("SHORT"), (BTC,))
    flipped = replace(known, returns=-known.returns)
    long = select_winners(flipped, kept(known, -rating), sleeve("LONG"), (BTC,))
    assert long.table.equals(short.table)
    assert long.vetoes.equals(short.vetoes)
    unflipped = select_winners(known, kept(known, -rating), sleeve("LONG"), (BTC,))
    assert not unflipped.table.equals(short.table)


def test_only_kept_candidates_and_only_the_train_window_are_measured() -> None:
    market = bars_of({f"C{i:02d}": walk(300, i) for i in range(10)}, date(2022, 12, 31))
    known = build_panel(market)
    chosen = kept(known, np.full(10, 0.5)).with_columns(kept=pl.col("symbol") != known.symbols[3])
    found = select_winners(known, chosen, sleeve("LONG"), ())
    assert sorted(found.table["symbol"]) == sorted(set(known.symbols) - {known.symbols[3]})
    recent = select_winners(known.last(252), chosen, sleeve("LONG"), ())
    assert recent.table.equals(found.table)
    fewer = select_winners(known, chosen, sleeve("LONG", train_days=200), ())
    assert not fewer.table.equals(found.table)


def test_a_sleeve_without_candidates_is_sparse() -> None:
    known = build_panel(bars_of({"AAA": walk(300, 1)}, date(2022, 12, 31)))
    found = select_winners(known, kept(known, [0.1]).clear(), sleeve("LONG"), (BTC,))
    assert found.sparse
    assert found.table.is_empty()


RULES = UniverseRules(excluded_bases=RECORDED_NOT_CRYPTO)
SLEEVES = [sleeve(d, logic) for logic in ("all", "ma") for d in ("LONG", "SHORT")]


@cache
def recorded_ratings() -> pl.DataFrame:
    return technical_ratings(recorded_bars())


def recorded_selection(
    at: date, profile: SleeveProfile, panel: Panel | None = None, ratings: pl.DataFrame | None = None
) -> Selection:
    known = (panel or recorded_panel()).before(at)
    rated = recorded_ratings() if ratings is None else ratings
    newest = rated.filter(pl.col("date") == at - timedelta(days=1))
    yesterday = newest.select("symbol", rating=profile.rating)
    return select_winners(known, candidates(universe(known, at, RULES), yesterday, profile), profile, (BTC,))


@needs_shared
@pytest.mark.parametrize("profile", SLEEVES, ids=lambda p: p.name)
@pytest.mark.parametrize("at", [date(2022, 6, 29), date(2022, 12, 6), date(2023, 8, 3)])
def test_recorded_sleeves_are_selected_with_a_reason_for_everybody(at: date, profile: SleeveProfile) -> None:
    found = recorded_selection(at, profile)
    chosen = winners(found)
    assert not found.sparse
    assert 3 <= len(chosen) <= 25
    assert found.table["reason"].str.len_chars().min() > 0
    assert found.table["score"].is_sorted(descending=True)
    assert found.vetoes.filter(rule="entropy")["defect"].item() == "can never fire"
    assert found.vetoes.filter(rule="efficiency")["fired"].item() > 0


@needs_shared
@pytest.mark.parametrize("profile", SLEEVES[:2], ids=lambda p: p.name)
def test_the_recorded_future_changes_no_bit_of_the_selection(profile: SleeveProfile) -> None:
    at = date(2022, 12, 6)
    noisy = with_noise_from(recorded_bars(), at)
    calm = recorded_selection(at, profile)
    found = recorded_selection(at, profile, build_panel(noisy), technical_ratings(noisy))
    assert found.table.equals(calm.table)
    assert found.vetoes.equals(calm.vetoes)
