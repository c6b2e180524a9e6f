import numpy as np

from sleevegraph.ratings import close_only_adx
from tests.walks import plain_ema


def plain_adx(moves: list[float]) -> float:
    up, down, spread = (
        plain_ema([f(s) for s in moves], 14, 1 / 14)[13:] for f in (lambda s: max(s, 0), lambda s: max(-s, 0), abs)
    )
    index = [abs(u / t - d / t) / ((u + d) / t) for u, d, t in zip(up, down, spread, strict=True)]
    return 100 * plain_ema(index, 14, 1 / 14)[-1]


def test_close_only_adx_follows_its_definition_and_skips_missing_rows() -> None:
    streams = np.random.default_rng(20).normal(0.001, 0.03, (252, 6))
    streams[np.random.default_rng(21).random(streams.shape) < 0.08] = np.nan
    wanted = [plain_adx(stream[~np.isnan(stream)].tolist()) for stream in streams.T]
    np.testing.assert_allclose(close_only_adx(streams), wanted, rtol=1e-10)


def test_close_only_adx_is_the_same_for_a_stream_and_its_opposite() -> None:
    streams = np.random.default_rng(22).normal(0.001, 0.03, (100, 5))
    np.testing.assert_array_equal(close_only_adx(streams), close_only_adx(-streams))
    assert len(set(close_only_adx(streams))) == 5


def test_close_only_adx_of_a_column_does_not_depend_on_the_others() -> None:
    streams = np.random.default_rng(23).normal(0.001, 0.03, (252, 7))
    streams[:100, 2] = np.nan
    for i, wanted in enumerate(close_only_adx(streams)):
        assert close_only_adx(streams[:, [i]])[0] == wanted


def test_close_only_adx_needs_27_returns_that_move() -> None:
    rise = np.full((27, 4), 0.01)
    rise[3, 1] = np.nan
    rise[:, 2] = 0.0
    rise[:, 3] = np.nan
    np.testing.assert_allclose(close_only_adx(rise), [100.0, np.nan, np.nan, np.nan])
