from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from sleevegraph.anomalies import benchmark_beta, extreme_metrics
from sleevegraph.atoms import Direction
from sleevegraph.metrics import metrics

Floats = NDArray[np.float64]

OPENED, BTC = date(2022, 1, 10), "BINANCE:BTCUSDT"


def noise(seed: int, days: int = 60) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 0.02, days)


def measured(by_profile: dict[str, Floats], btc: Floats | None = None) -> pl.DataFrame:
    length = len(next(iter(by_profile.values())))
    days = [OPENED + timedelta(days=i) for i in range(length)]
    record = pl.concat(
        pl.DataFrame({"profile": [name] * length, "date": days, "ret": r, "turnover": [0.0] * length})
        for name, r in by_profile.items()
    )
    market = pl.DataFrame({"symbol": [BTC] * length, "date": days, "ret": noise(7, length) if btc is None else btc})
    return metrics(record, market, OPENED + timedelta(days=length))


def with_sharpe(sharpe: float, days: int) -> Floats:
    """Returns that have exactly this Sharpe ratio."""
    z = noise(1, days)
    z = (z - z.mean()) / z.std(ddof=1)
    return 0.01 * (z + sharpe / np.sqrt(365))


def told(metrics: pl.DataFrame) -> list[str]:
    assert {(finding.level, finding.code) for finding in extreme_metrics(metrics)} <= {("WARN", "EXTREME_METRIC")}
    return [finding.message for finding in extreme_metrics(metrics)]


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_sharpe_ratio_beyond_ten_is_extreme_on_either_side(side: float) -> None:
    assert told(measured({"hrp": with_sharpe(side * 9.999, 60)})) == []
    assert told(measured({"hrp": with_sharpe(side * 10.001, 60)})) == [
        "hrp/lookback: |sharpe| 10.001 > 10",
        "hrp/record: |sharpe| 10.001 > 10",
    ]


def test_a_sharpe_ratio_of_less_than_thirty_days_is_not_measured() -> None:
    assert told(measured({"hrp": with_sharpe(40.0, 29)})) == []
    assert len(told(measured({"hrp": with_sharpe(40.0, 30)}))) == 2


def test_a_window_that_earns_more_than_a_thousand_per_cent_is_extreme() -> None:
    daily = 0.05 * np.random.default_rng(1).random(10)

    def earning(total: float) -> Floats:
        grown = np.prod(1.0 + daily[:-1])
        return np.append(daily[:-1], (1.0 + total) / grown - 1.0)

    assert told(measured({"hrp": earning(9.999)})) == []
    assert told(measured({"hrp": earning(10.001)})) == ["hrp/window: window return 1000.1 % > 1000 %"]


@pytest.mark.parametrize("before", [0, 5])
def test_a_window_that_falls_by_more_than_half_is_extreme_also_from_its_first_day(before: int) -> None:
    def falling(by: float) -> Floats:
        return np.array([0.01] * before + [-by] + [0.01] * (9 - before))

    assert told(measured({"hrp": falling(0.4999)})) == []
    assert told(measured({"hrp": falling(0.5001)})) == ["hrp/window: window drawdown 50.01 % > 50 %"]


def test_gains_and_losses_of_longer_horizons_are_no_anomaly() -> None:
    slow = np.concatenate((np.tile([0.24, -0.10], 45), np.tile([-0.06, 0.03], 30), [0.01, -0.01] * 5))
    found = measured({"hrp": slow})
    lookback = found.row(by_predicate=(pl.col("series") == "hrp") & (pl.col("horizon") == "lookback"), named=True)
    assert lookback["total_return"] > 10.0
    assert lookback["max_drawdown"] < -0.5
    assert told(found) == []


def test_every_anomaly_of_every_series_is_a_finding_of_its_own() -> None:
    wild = np.array([29.0, -0.6, *[0.0] * 8])
    found = measured({"hrp": wild, "market": noise(2, 10)}, btc=wild)
    assert told(found) == [
        f"{series}/window: {anomaly}"
        for series in ("hrp", BTC)
        for anomaly in ("window return 1100 % > 1000 %", "window drawdown 60 % > 50 %")
    ]
    assert [finding.symbol for finding in extreme_metrics(found)] == ["", "", BTC, BTC]


@pytest.mark.parametrize(
    ("direction", "beta", "warns"),
    [("LONG", 0.8, False), ("LONG", -0.3, True), ("SHORT", -0.8, False), ("SHORT", 0.3, True)],
)
def test_a_sleeve_that_moves_against_its_direction_is_named_with_its_beta(
    direction: Direction, beta: float, warns: bool
) -> None:
    btc = noise(3)
    found = benchmark_beta(measured({"hrp": np.sign(beta) * btc, "market": beta * btc}, btc), direction)
    assert [(finding.level, finding.code) for finding in found] == [("WARN", "BETA_SIGN")] * (2 * warns)
    if warns:
        expected = "> 0" if direction == "LONG" else "< 0"
        assert found[1].message == (
            f"market: expected a beta {expected} of a {direction} sleeve over the lookback, found {beta:.6g} "
            f"({OPENED} to {OPENED + timedelta(days=59)})"
        )


def test_a_beta_of_exactly_zero_is_of_no_direction() -> None:
    found = measured({"hrp": noise(4)}).with_columns(beta=pl.when(pl.col("beta").is_not_null()).then(0.0))
    assert [len(benchmark_beta(found, direction)) for direction in ("LONG", "SHORT")] == [1, 1]


def test_only_the_lookback_of_risk_profiles_is_judged() -> None:
    btc = noise(5, 400)
    turned = np.concatenate((-btc[:160], btc[160:]))
    found = measured({"hrp": turned}, btc)
    assert benchmark_beta(found, "LONG") == []
    assert len(benchmark_beta(found, "SHORT")) == 1


@pytest.mark.parametrize("direction", ["LONG", "SHORT"])
def test_what_has_no_beta_is_no_finding(direction: Direction) -> None:
    cash = measured({"hrp": np.zeros(60), "market": np.full(60, 0.001)})
    short = measured({"hrp": noise(1, 29)})
    assert [benchmark_beta(found, direction) for found in (cash, short)] == [[], []]
