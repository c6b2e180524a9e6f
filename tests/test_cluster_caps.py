import numpy as np
import polars as pl
import pytest
from scipy.optimize import linprog, minimize

from profiles.load import load_manifest
from sleevegraph.cluster_caps import feasible_limit, project_on_clusters
from sleevegraph.findings import Finding
from sleevegraph.manifest import SleeveProfile
from sleevegraph.risk_weights import risk_weights
from sleevegraph.solver_cells import SCHEMA
from sleevegraph.weight_sanity import weight_sanity
from tests.homes import solved_by


def clustered(seed: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Values, labels, cap and a limit that some weights satisfy."""
    rng = np.random.default_rng(seed)
    N = int(rng.integers(3, 25))
    labels, cap = rng.integers(0, max(2, N // 2), N), max(0.25, 1 / N)
    values = rng.dirichlet(np.full(N, 0.3)) if seed % 2 else rng.normal(size=N)
    return values, labels, cap, feasible_limit(labels, cap, float(rng.choice([0.1, 0.25, 0.4, 0.6])))


def sums(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, weights)


def test_projected_weights_respect_every_cap() -> None:
    for seed in range(200):
        values, labels, cap, limit = clustered(seed)
        weights = project_on_clusters(values, cap, labels, limit)
        assert abs(weights.sum() - 1.0) <= 1e-12
        assert weights.min() >= 0.0
        assert weights.max() <= cap + 1e-12
        assert sums(weights, labels).max() <= limit + 1e-12


def test_no_permitted_move_brings_the_projection_nearer() -> None:
    # In a polytope the nearest point w satisfies (v - w)'(x - w) <= 0 for every x in it: a linear programme.
    for seed in range(60):
        values, labels, cap, limit = clustered(seed)
        weights = project_on_clusters(values, cap, labels, limit)
        away = values - weights
        rows = (labels[None, :] == np.unique(labels)[:, None]).astype(float)
        best = linprog(
            -away, A_ub=rows, b_ub=np.full(len(rows), limit + 1e-12), A_eq=np.ones((1, len(values))), b_eq=[1.0],
            bounds=(0.0, cap),
        )  # fmt: skip
        assert best.success
        assert -best.fun - away @ weights <= 1e-9


def test_that_test_would_catch_clipping_and_renormalising() -> None:
    values, labels, cap, limit = np.array([0.6, 0.2, 0.1, 0.1, 0.0]), np.array([0, 0, 1, 2, 2]), 0.5, 0.5
    clipped = np.array([0.375, 0.125, 0.25, 0.25, 0.0])
    weights = project_on_clusters(values, cap, labels, limit)
    assert np.linalg.norm(values - weights) < np.linalg.norm(values - clipped) - 1e-3


def test_a_general_solver_finds_the_same_point() -> None:
    values, labels, cap, limit = clustered(17)
    found = minimize(
        lambda w: ((w - values) ** 2).sum(), np.full(len(values), 1 / len(values)), method="SLSQP", bounds=[(0, cap)] * len(values),
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1}, {"type": "ineq", "fun": lambda w: limit - sums(w, labels)}],
        options={"ftol": 1e-15, "maxiter": 1000},
    )  # fmt: skip
    np.testing.assert_allclose(project_on_clusters(values, cap, labels, limit), found.x, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "cap", "limit", "least"),
    [
        ([0, 0, 0, 0], 0.25, 0.4, 1.0),
        ([0, 0, 1, 1], 0.5, 0.4, 0.5),
        ([0, 1, 2, 3], 0.25, 0.1, 0.25),
        ([0, 0, 0, 0, 1], 0.25, 0.3, 0.75),  # the cluster of one holds a quarter at most
        ([0, 1, 2, 3, 4], 0.25, 0.3, 0.3),
    ],
)
def test_with_few_clusters_the_limit_gives_way_to_the_least_that_leaves_a_portfolio(
    labels: list[int], cap: float, limit: float, least: float
) -> None:
    assert feasible_limit(np.array(labels), cap, limit) == pytest.approx(least, abs=1e-15)


CLUSTERS = {"A": 1, "B": 1, "C": 2, "D": 3, "E": 4}
WEIGHTS = {"A": 0.4, "B": 0.3, "C": 0.2, "D": 0.06, "E": 0.04}


def sleeve(**risk: object) -> SleeveProfile:
    return solved_by(load_manifest().sleeves[0], "native", cluster_cap=0.4, **risk)


def cells(profile: str = "hrp") -> pl.DataFrame:
    row = {"engine": "native", "profile": profile, "status": "native", "reason": "", "cap": 0.4}
    listed = [{"symbol": symbol, "weight": weight} for symbol, weight in WEIGHTS.items()]
    return pl.DataFrame([{**row, "weights": listed}], schema=SCHEMA)


def test_a_sleeve_with_a_cluster_cap_holds_no_cluster_above_it() -> None:
    plain = risk_weights(cells(), sleeve(), CLUSTERS)
    capped = risk_weights(cells(), sleeve(max_cluster_weight=0.5), CLUSTERS)
    assert plain["weight"].to_list() == list(WEIGHTS.values())
    assert capped.filter(pl.col("cluster") == 1)["weight"].sum() == pytest.approx(0.5, abs=1e-12)
    assert capped["weight"].sum() == pytest.approx(1.0, abs=1e-12)
    # Nearest: within the full cluster and outside of it, every weight moved by the same amount.
    moved = (capped["weight"] - plain["weight"]).to_list()
    np.testing.assert_allclose(moved, [-0.1, -0.1, 0.2 / 3, 0.2 / 3, 0.2 / 3], atol=1e-12)


@pytest.mark.parametrize("profile", ["equal_weight", "market", "benchmark"])
def test_recipes_that_choose_nothing_have_no_cluster_cap(profile: str) -> None:
    rows = risk_weights(cells(profile), sleeve(max_cluster_weight=0.5), CLUSTERS)
    assert rows["weight"].to_list() == list(WEIGHTS.values())
    assert rows["cluster_limit"].null_count() == rows.height


def test_a_turnover_limit_stays_within_the_cluster_cap() -> None:
    before = {("native", "hrp"): {"A": 0.25, "B": 0.25, "C": 0.25, "D": 0.25}}
    rows = risk_weights(cells(), sleeve(max_cluster_weight=0.5, turnover_limit=0.05), CLUSTERS, before)
    assert rows.filter(pl.col("cluster") == 1)["weight"].sum() <= 0.5 + 1e-12
    held = np.array([before["native", "hrp"].get(symbol, 0.0) for symbol in rows["symbol"]])
    assert np.abs(rows["weight"].to_numpy() - held).sum() == pytest.approx(0.05, abs=1e-9)
    assert rows["turnover"][0] == pytest.approx(0.05, abs=1e-9)


def test_a_planted_excess_of_a_cluster_is_found() -> None:
    rows = risk_weights(cells(), sleeve(max_cluster_weight=0.5), CLUSTERS)
    planted = rows.with_columns(weight=pl.Series([0.3, 0.25, 0.15, 0.15, 0.15]))
    expected, rules = [("native", "hrp")], sleeve(max_cluster_weight=0.5).risk
    assert weight_sanity(rows, expected, rules) == []
    assert weight_sanity(planted, expected, rules) == [
        Finding("ERROR", "CLUSTER_CAP_EXCEEDED", "", "native/hrp: cluster 1: expected at most 0.5, found 0.55")
    ]
