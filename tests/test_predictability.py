from collections.abc import Callable
from math import factorial, log

import antropy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from sleevegraph.predictability import (
    compact,
    efficiency_ratio,
    hurst_rs,
    max_permutation_entropy,
    permutation_entropy,
)

Measure = Callable[[np.ndarray], np.ndarray]
MEASURES: list[Measure] = [permutation_entropy, hurst_rs, efficiency_ratio]


def noise(days: int, columns: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((days, columns))


def punched(streams: np.ndarray, share: float = 0.08, seed: int = 2) -> np.ndarray:
    holes = np.random.default_rng(seed).random(streams.shape) < share
    return np.where(holes, np.nan, streams)


def hurst_by_definition(x: np.ndarray) -> float:
    """The same estimator told window by window, with a library's straight line."""
    points = []
    for k in range(40):
        w = round(8 * 2 ** (k / 2))
        if w > len(x) // 2:
            break
        ratios = []
        for end in range(len(x), w - 1, -w):
            block = x[end - w : end]
            if np.ptp(block) > 0:
                path = np.cumsum(block - block.mean())
                ratios.append(np.ptp(path) / block.std())
        if ratios:
            points.append((np.log(w), np.log(np.mean(ratios))))
    return np.polyfit(*np.array(points).T, 1)[0]


def test_compact_moves_known_values_to_the_end_in_order() -> None:
    streams = np.array([[1.0, np.nan], [np.nan, 5.0], [3.0, 6.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(compact(streams), [[np.nan, np.nan, 1.0, 3.0], [np.nan, np.nan, 5.0, 6.0]])


@pytest.mark.parametrize("order", [3, 4, 5])
def test_permutation_entropy_equals_antropy(order: int) -> None:
    streams = np.concatenate([noise(252, 8), np.round(noise(252, 8), 1), np.cumsum(noise(252, 4), axis=0)], axis=1)
    expected = [antropy.perm_entropy(np.ascontiguousarray(c), order=order, delay=1, normalize=True) for c in streams.T]
    np.testing.assert_allclose(permutation_entropy(streams, order), expected, rtol=0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (30, 2), elements=st.sampled_from([-0.1, 0.0, 0.1, 0.3])))
def test_permutation_entropy_equals_antropy_on_ties(streams: np.ndarray) -> None:
    expected = [antropy.perm_entropy(np.ascontiguousarray(c), order=5, delay=1, normalize=True) for c in streams.T]
    np.testing.assert_allclose(permutation_entropy(streams), expected, rtol=0, atol=1e-12)


def test_a_straight_line_has_no_entropy() -> None:
    np.testing.assert_array_equal(permutation_entropy(np.arange(252.0)[:, None]), [0.0])


def test_permutation_entropy_of_noise_depends_on_the_length_as_published() -> None:
    assert permutation_entropy(noise(500, 400)).mean() == pytest.approx(0.974, abs=0.001)
    assert permutation_entropy(noise(120, 400)).mean() == pytest.approx(0.88, abs=0.005)


def test_the_highest_entropy_at_252_bars_is_below_the_default_threshold() -> None:
    assert max_permutation_entropy(252) == pytest.approx(entropy([3] * 8 + [2] * 112) / log(120))
    assert max_permutation_entropy(252) < 0.999


def test_the_highest_entropy_is_that_of_an_even_spread() -> None:
    assert max_permutation_entropy(124) == pytest.approx(1.0)  # 120 windows, each pattern once
    assert max_permutation_entropy(64) == pytest.approx(log(60) / log(factorial(5)))
    assert np.isnan(max_permutation_entropy(4))


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 80), st.integers(0, 10**6))
def test_no_stream_exceeds_the_highest_entropy(days: int, seed: int) -> None:
    assert permutation_entropy(noise(days, 20, seed)).max() <= max_permutation_entropy(days) + 1e-12


def test_an_order_three_stream_can_reach_the_highest_entropy() -> None:
    # A cycle through all six patterns of three values: the bound is attained, not only approached.
    best = max(permutation_entropy(noise(8, 4000), 3))
    assert best == pytest.approx(max_permutation_entropy(8, 3))


@pytest.mark.parametrize(("days", "mean"), [(120, 0.59), (252, 0.58), (500, 0.57)])
def test_hurst_of_white_noise_is_where_the_calibration_says(days: int, mean: float) -> None:
    assert hurst_rs(noise(days, 2000)).mean() == pytest.approx(mean, abs=0.006)


def test_hurst_tells_persistent_from_anti_persistent_streams() -> None:
    steps = noise(252, 200)
    persistent = np.cumsum(steps, axis=0)
    for i in range(1, 252):
        persistent[i] = 0.9 * persistent[i - 1] + steps[i]
    assert hurst_rs(persistent).mean() > 0.7
    assert hurst_rs(np.diff(steps, axis=0)).mean() < 0.4


def test_hurst_equals_its_definition_window_by_window() -> None:
    streams = noise(252, 10)
    streams[100:140, 3] = 0.0  # windows without variance are left out
    np.testing.assert_allclose(hurst_rs(streams), [hurst_by_definition(c) for c in streams.T], rtol=1e-10)


def test_efficiency_is_net_over_gross() -> None:
    streams = np.array([[0.1, 0.1, -0.1], [0.1, -0.1, -0.3], [0.2, 0.0, np.nan]])
    np.testing.assert_allclose(efficiency_ratio(streams), [1.0, 0.0, 1.0])


@pytest.mark.parametrize("share", [0.08, 0.4])
@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_of_a_stream_with_holes_is_that_of_its_known_values(measure: Measure, share: float) -> None:
    streams = punched(noise(252, 12), share)
    expected = [measure(c[np.isfinite(c)][:, None])[0] for c in streams.T]
    np.testing.assert_allclose(measure(streams), expected, rtol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_stream_is_measured_to_the_same_bits_whoever_stands_beside_it(measure: Measure) -> None:
    streams = punched(noise(252, 9))
    together = measure(streams)
    alone = np.concatenate([measure(streams[:, [i]]) for i in range(9)])
    assert alone.tobytes() == together.tobytes()
    assert measure(np.asfortranarray(streams)).tobytes() == together.tobytes()


@pytest.mark.parametrize("measure", MEASURES)
def test_what_cannot_be_measured_is_nan(measure: Measure) -> None:
    assert np.isnan(measure(np.full((252, 1), np.nan))).all()
    assert np.isnan(measure(np.empty((0, 2)))).all()
    assert measure(np.empty((252, 0))).shape == (0,)


def test_a_stream_that_never_moves_has_neither_hurst_nor_efficiency() -> None:
    still = np.zeros((252, 1))
    assert np.isnan([*hurst_rs(still), *efficiency_ratio(still)]).all()
    assert np.isnan(hurst_rs(noise(21, 1))).all()  # one window size makes no slope
