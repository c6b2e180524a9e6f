from math import ceil

import numpy as np
import polars as pl
import pytest
from scipy.stats import kurtosis, skew

from sleevegraph.errors import MissingFeatureError
from sleevegraph.features import FEATURES, features, require_features
from sleevegraph.predictability import efficiency_ratio, hurst_rs, permutation_entropy
from sleevegraph.ratings import close_only_adx
from sleevegraph.tails import antifragility

N = 12
SYMBOLS = [f"S{i:02d}" for i in range(N)]
RATING, LIQUIDITY = np.linspace(0.1, 0.9, N), np.linspace(1e6, 9e6, N)


def streams(days: int = 252, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(4, (days, N)) * 0.03


def measure(stream: np.ndarray, **changes: np.ndarray) -> pl.DataFrame:
    given = {"rating": RATING, "liquidity": LIQUIDITY, "hurst_centre": 0.58} | changes
    return features(stream, SYMBOLS, **given)


def punched(stream: np.ndarray) -> np.ndarray:
    holes = np.random.default_rng(5).random(stream.shape) < 0.06
    holes[:, 0] = False
    return np.where(holes, np.nan, stream)


def test_each_feature_equals_its_definition_on_the_known_values() -> None:
    stream = punched(streams())
    found = measure(stream)
    for name, definition in {
        "momentum": lambda x: 365 * x.mean(),
        "annual_volatility": lambda x: x.std(ddof=1) * np.sqrt(365),
        "stability": lambda x: 1.0 / (x.std(ddof=1) * np.sqrt(365)),
        "skew": skew,
        "kurtosis": kurtosis,
        "cvar": lambda x: np.sort(x)[: ceil(len(x) / 20)].mean(),
        "entropy": lambda x: permutation_entropy(x[:, None])[0],
        "efficiency": lambda x: efficiency_ratio(x[:, None])[0],
        "hurst_exponent": lambda x: hurst_rs(x[:, None])[0],
        "hurst": lambda x: abs(hurst_rs(x[:, None])[0] - 0.58),
        "adx": lambda x: close_only_adx(x[:, None])[0],
    }.items():
        expected = [definition(column[np.isfinite(column)]) for column in stream.T]
        np.testing.assert_allclose(found[name].to_numpy(), expected, rtol=1e-10, err_msg=name)
    assert found["rating"].to_list() == RATING.tolist()
    assert found["liquidity"].to_list() == LIQUIDITY.tolist()
    assert found.columns == ["symbol", *FEATURES]


def test_cvar_of_twenty_returns_is_the_worst_one_and_of_forty_one_the_worst_three() -> None:
    for days, worst in ((40, 2), (41, 3), (140, 7)):
        stream = streams(days)
        np.testing.assert_allclose(measure(stream)["cvar"].to_numpy(), np.sort(stream, axis=0)[:worst].mean(axis=0))


def test_antifragility_is_that_of_the_risk_profiles_when_nothing_is_missing() -> None:
    np.testing.assert_array_equal(measure(streams())["antifragility"].to_numpy(), antifragility(streams()))


def test_antifragility_with_holes_is_scaled_over_all_candidates() -> None:
    stream = punched(streams())
    upper, lower, middle = (np.nanquantile(stream, q, axis=0) for q in (0.95, 0.05, 0.5))
    tilt = (upper + lower - 2 * middle) / (upper - lower)
    tail = np.array([c[c >= u].mean() for c, u in zip(stream.T, upper, strict=True)])
    expected = sum((x - x.min()) / np.ptp(x) for x in (tilt, tail))
    np.testing.assert_allclose(measure(stream)["antifragility"].to_numpy(), expected, rtol=1e-9)


def test_one_candidate_alone_has_features() -> None:
    found = features(streams()[:, :1], ["S00"], rating=RATING[:1], liquidity=LIQUIDITY[:1], hurst_centre=0.58)
    assert found["antifragility"].item() == 0.0
    assert found["momentum"].item() == measure(streams())["momentum"][0]


def test_no_candidates_give_an_empty_table_of_the_same_shape() -> None:
    none = np.empty(0)
    found = features(np.empty((252, 0)), [], rating=none, liquidity=none, hurst_centre=0.58)
    assert found.schema == measure(streams()).schema
    assert found.is_empty()


def test_a_stream_that_never_moves_names_symbol_and_feature() -> None:
    still = streams()
    still[:, 4] = 0.0
    with pytest.raises(MissingFeatureError, match="S04: stability"):
        measure(still)


@pytest.mark.parametrize("feature", ["rating", "liquidity"])
def test_an_unknown_rating_or_liquidity_is_an_error(feature: str) -> None:
    values = np.ones(N)
    values[7] = np.nan
    with pytest.raises(MissingFeatureError, match=f"S07: {feature}.*1 of 12"):
        measure(streams(), **{feature: values})


def test_too_few_returns_for_a_feature_are_an_error() -> None:
    short = streams()
    short[:-20, 2] = np.nan
    with pytest.raises(MissingFeatureError, match="S02: hurst"):
        measure(short)


def test_require_features_names_an_absent_column() -> None:
    with pytest.raises(MissingFeatureError, match="entropy"):
        require_features(pl.DataFrame({"symbol": ["A"]}), ["entropy"])


def test_a_candidate_is_measured_to_the_same_bits_whoever_stands_beside_it() -> None:
    stream = punched(streams())
    together = measure(stream).drop("antifragility")  # scaled across the candidates on purpose
    for i, symbol in enumerate(SYMBOLS):
        alone = features(stream[:, [i]], [symbol], rating=RATING[[i]], liquidity=LIQUIDITY[[i]], hurst_centre=0.58)
        assert alone.drop("antifragility").rows() == [together.row(i)]
