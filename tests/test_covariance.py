import numpy as np
import pytest
from scipy.spatial.distance import squareform
from sklearn.covariance import ledoit_wolf

from sleevegraph.covariance import distance_of, estimate_covariance
from sleevegraph.errors import ConfigurationError


def factor_returns(seed: int, T: int, N: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(3, N))
    return 0.02 * (rng.normal(size=(T, 3)) @ loadings + rng.normal(size=(T, N))) * rng.uniform(0.1, 2.0, N)


@pytest.mark.parametrize(("T", "N"), [(252, 15), (10, 40), (2, 3), (30, 1)])
def test_sample_covariance_is_numpys_with_divisor_t_minus_one(T: int, N: int) -> None:
    returns = factor_returns(0, T, N)
    np.testing.assert_allclose(estimate_covariance(returns, "sample"), np.cov(returns.T).reshape(N, N), atol=1e-16)


@pytest.mark.parametrize(("T", "N"), [(252, 15), (10, 40), (3, 4), (30, 1), (60, 100)])
def test_ledoit_wolf_is_sklearns(T: int, N: int) -> None:
    returns = factor_returns(1, T, N)
    expected, shrinkage = ledoit_wolf(returns)
    np.testing.assert_allclose(estimate_covariance(returns, "ledoit_wolf"), expected, rtol=1e-11, atol=1e-18)
    if N > 1:
        assert shrinkage > 0
        assert not np.allclose(estimate_covariance(returns, "sample"), expected, rtol=1e-4)


@pytest.mark.parametrize("method", ["sample", "ledoit_wolf"])
def test_covariance_is_symmetric_to_the_bit_whatever_the_memory_layout(method: str) -> None:
    returns = factor_returns(2, 100, 33)
    covariance = estimate_covariance(returns, method)
    assert (covariance == covariance.T).all()
    assert (covariance == estimate_covariance(np.asfortranarray(returns), method)).all()


def test_unknown_method_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="ledoit-wolf"):
        estimate_covariance(factor_returns(0, 10, 2), "ledoit-wolf")


def test_correlation_distance_is_root_of_half_one_minus_rho() -> None:
    returns = factor_returns(3, 252, 12)
    expected = np.sqrt(0.5 * (1.0 - np.corrcoef(returns.T)))
    np.testing.assert_allclose(
        distance_of(estimate_covariance(returns, "sample")), squareform(expected, checks=False), atol=1e-11
    )


def test_distance_of_equal_columns_is_zero_and_of_opposite_ones_is_one() -> None:
    column = factor_returns(4, 50, 1)
    distance = squareform(distance_of(estimate_covariance(np.hstack([column, 3.0 * column, -column]), "sample")))
    assert distance[0, 1] == 0.0
    assert distance[0, 2] == 1.0
