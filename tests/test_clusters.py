import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from sleevegraph.clusters import _distance, cluster
from sleevegraph.errors import MissingFeatureError

LOOKBACKS = (60, 120, 200)


def factor_streams(groups: list[int], seed: int = 0, days: int = 252, noise: float = 0.2) -> np.ndarray:
    """Streams that follow one factor per group."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((days, max(groups) + 1))
    return factors[:, groups] + noise * rng.standard_normal((days, len(groups)))


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(np.equal.outer(a, a), np.equal.outer(b, b))


def labels_by_definition(stream: np.ndarray, threshold: float = 0.45) -> np.ndarray:
    layers = [np.sqrt(0.5 * (1 - np.clip(np.corrcoef(stream[-days:].T), -1, 1))) for days in LOOKBACKS]
    distance = np.mean(layers, axis=0)
    np.fill_diagonal(distance, 0.0)
    return fcluster(linkage(squareform(distance, checks=False), "ward"), threshold, "distance")


def test_planted_groups_are_found_and_numbered_by_first_appearance() -> None:
    groups = [2, 0, 0, 2, 1, 0, 1, 2]
    assert cluster(factor_streams(groups)).tolist() == [1, 2, 2, 1, 3, 2, 3, 1]


@pytest.mark.parametrize("seed", range(5))
def test_labels_equal_a_library_on_complete_data(seed: int) -> None:
    stream = factor_streams([i % 6 for i in range(20)], seed, noise=1.0)
    assert same_partition(cluster(stream, max_clusters=99), labels_by_definition(stream))
    assert cluster(stream, max_clusters=99).max() > 1


def test_missing_days_are_left_out_pair_by_pair() -> None:
    groups = [0, 0, 1, 1, 2, 2]
    stream = factor_streams(groups)
    stream[np.random.default_rng(1).random(stream.shape) < 0.1] = np.nan
    assert cluster(stream).tolist() == [1, 1, 2, 2, 3, 3]


def test_the_distance_of_a_pair_is_that_of_the_days_it_shares() -> None:
    stream = factor_streams([0, 0, 1, 1], days=60, noise=1.0) + np.linspace(-3.0, 3.0, 60)[:, None]
    stream[:25, 1], stream[40:, 2], stream[::3, 3] = np.nan, np.nan, np.nan
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        shared = np.isfinite(stream[:, [i, j]]).all(axis=1)
        rho = np.corrcoef(stream[shared][:, [i, j]].T)[0, 1]
        assert _distance(stream)[i, j] == pytest.approx(np.sqrt((1 - rho) / 2), rel=1e-9)


def test_a_missing_day_weighs_like_a_day_that_is_not_there() -> None:
    stream = factor_streams([0, 0, 1, 1, 1, 2], noise=0.6)
    holed = np.insert(stream, [200, 230], np.nan, axis=0)
    expected = cluster(stream, (60,))
    assert cluster(holed, (62,)).tolist() == expected.tolist()


def test_only_the_lookback_decides() -> None:
    stream = factor_streams([0, 0, 1, 1])
    stream[:-200] = factor_streams([0, 1, 0, 1], seed=9)[:-200] * 50
    assert cluster(stream).tolist() == [1, 1, 2, 2]


def test_more_clusters_than_allowed_are_merged() -> None:
    stream = np.random.default_rng(0).standard_normal((252, 40))
    assert cluster(stream, max_clusters=99).max() > 10
    assert cluster(stream, max_clusters=10).max() == 10


def test_the_threshold_decides_where_the_tree_is_cut() -> None:
    stream = factor_streams([0, 0, 1, 1])
    assert cluster(stream, threshold=99.0).tolist() == [1, 1, 1, 1]
    assert cluster(stream, threshold=1e-6).tolist() == [1, 2, 3, 4]


def test_one_stream_is_one_cluster_and_none_is_none() -> None:
    assert cluster(np.ones((252, 1))).tolist() == [1]
    assert cluster(np.empty((252, 0))).tolist() == []


def test_two_streams_without_a_day_in_common_are_an_error() -> None:
    stream = factor_streams([0, 1, 1])
    stream[::2, 1], stream[1::2, 2] = np.nan, np.nan
    with pytest.raises(MissingFeatureError, match="columns 1 and 2"):
        cluster(stream)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_the_streams_does_not_change_the_partition(order: list[int]) -> None:
    stream = factor_streams([i % 4 for i in range(12)], noise=0.8)
    turned = cluster(stream[:, order])
    assert same_partition(cluster(stream)[list(order)], turned)
    first = [int(np.flatnonzero(turned == label)[0]) for label in range(1, turned.max() + 1)]
    assert first == sorted(first)
