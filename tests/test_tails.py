import numpy as np
import pytest

from sleevegraph.tails import antifragility, tail_skew, upper_tail_mean


def student_returns(seed: int, T: int = 252, N: int = 9) -> np.ndarray:
    return 0.02 * np.random.default_rng(seed).standard_t(3, size=(T, N))


def test_tail_skew_and_upper_tail_mean_are_their_definitions() -> None:
    returns = student_returns(0)
    for column, skew, mean in zip(returns.T, tail_skew(returns), upper_tail_mean(returns), strict=True):
        q05, q50, q95 = np.quantile(column, [0.05, 0.5, 0.95])
        assert skew == pytest.approx((q95 + q05 - 2 * q50) / (q95 - q05), abs=1e-14)
        assert mean == pytest.approx(column[column >= q95].mean(), abs=1e-16)


def test_flipping_the_sign_of_returns_flips_tail_skew() -> None:
    returns = student_returns(1)
    np.testing.assert_allclose(tail_skew(-returns), -tail_skew(returns), atol=1e-14)


def test_antifragility_ranks_large_gains_over_large_losses() -> None:
    losses = -(np.abs(student_returns(2, N=1)) ** 2)
    scores = antifragility(np.hstack([losses, -losses]))
    np.testing.assert_allclose(scores, [0.0, 2.0], atol=1e-15)


def test_antifragility_of_equal_or_flat_columns_is_zero() -> None:
    column = student_returns(3, N=1)
    np.testing.assert_array_equal(antifragility(np.hstack([column, column])), [0.0, 0.0])
    np.testing.assert_array_equal(antifragility(np.zeros((50, 3))), np.zeros(3))


def test_numbers_of_a_column_do_not_depend_on_what_stands_beside_it() -> None:
    returns = student_returns(4)
    for statistic in (tail_skew, upper_tail_mean):
        alone = [statistic(returns[:, [i]])[0] for i in range(returns.shape[1])]
        assert (statistic(returns) == alone).all()
        assert (statistic(np.asfortranarray(returns)) == alone).all()
