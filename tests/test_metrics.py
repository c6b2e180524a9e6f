from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sleevegraph.errors import IdentityError
from sleevegraph.metrics import MIN_OBSERVATIONS, SCHEMA, metrics

Floats = NDArray[np.float64]

OPENED = date(2022, 1, 10)
"""First day that a ledger earned."""
BTC, ETH = "BINANCE:BTCUSDT", "BINANCE:ETHUSDT"
LATER = ("cagr", "volatility", "sharpe", "sortino", "calmar", "cvar_95")
AGAINST = ("beta", "correlation")


def returns(seed: int, days: int, scale: float = 0.03) -> Floats:
    return np.random.default_rng(seed).normal(0.001, scale, days)


def streams(name: str, by_name: Mapping[str, Floats], first: date = OPENED) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame(
            {name: [key] * len(r), "date": [first + timedelta(days=i) for i in range(len(r))], "ret": r},
            schema={name: pl.String, "date": pl.Date, "ret": pl.Float64},
        )
        for key, r in by_name.items()
    )


def record(by_profile: Mapping[str, Floats], turnover: float = 0.4) -> pl.DataFrame:
    """A ledger's rows: the opening one, then a day each, with a trade on every tenth."""
    day = (pl.col("date") - OPENED).dt.total_days()
    earned = streams("profile", by_profile).with_columns(turnover=pl.when(day % 10 == 0).then(turnover).otherwise(0.0))
    opening = pl.DataFrame(
        [(profile, OPENED - timedelta(days=1), None, None) for profile in by_profile],
        schema=earned.schema,
        orient="row",
    )
    return pl.concat([opening, earned])


def after(days: int) -> date:
    return OPENED + timedelta(days=days)


def measured(
    by_profile: Mapping[str, Floats], by_symbol: Mapping[str, Floats] | None = None, at: date | None = None
) -> pl.DataFrame:
    days = len(next(iter(by_profile.values())))
    market = by_symbol if by_symbol is not None else {BTC: returns(99, days)}
    frame = metrics(record(by_profile), streams("symbol", market), at or after(days))
    assert frame.schema == SCHEMA
    return frame


def row(frame: pl.DataFrame, series: str, horizon: str) -> dict[str, object]:
    return frame.row(by_predicate=(pl.col("series") == series) & (pl.col("horizon") == horizon), named=True)


def by_definition(r: Floats, market: Floats) -> dict[str, float]:
    """Every metric from its definition."""
    wealth = np.concatenate(([1.0], np.cumprod(1.0 + r)))
    drawdown = min(wealth[j] / wealth[: j + 1].max() - 1.0 for j in range(len(wealth)))
    cagr = wealth[-1] ** (365 / len(r)) - 1.0
    worst = np.sort(r)[: int(0.05 * (len(r) - 1)) + 1]
    covariance = np.cov(r, market)
    return {
        "total_return": wealth[-1] - 1.0,
        "cagr": cagr,
        "volatility": r.std(ddof=1) * np.sqrt(365),
        "sharpe": r.mean() / r.std(ddof=1) * np.sqrt(365),
        "sortino": r.mean() * 365 / (np.sqrt(np.mean(np.minimum(r, 0.0) ** 2)) * np.sqrt(365)),
        "calmar": cagr / -drawdown,
        "max_drawdown": drawdown,
        "cvar_95": worst.mean(),
        "beta": covariance[0, 1] / covariance[1, 1],
        "correlation": np.corrcoef(r, market)[0, 1],
    }


@pytest.mark.parametrize(("horizon", "days"), [("lookback", 240), ("record", 317)])
def test_every_metric_is_what_its_definition_says(horizon: str, days: int) -> None:
    hrp, btc = returns(1, 317), returns(2, 317)
    found = measured({"hrp": hrp + 0.5 * btc}, {BTC: btc})
    expected = by_definition((hrp + 0.5 * btc)[-days:], btc[-days:])
    got = row(found, "hrp", horizon)
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    passive = row(found, BTC, horizon)
    of_btc = by_definition(btc[-days:], btc[-days:])
    kept = {name: value for name, value in of_btc.items() if name not in AGAINST}
    assert {name: passive[name] for name in kept} == pytest.approx(kept, rel=1e-12)
    assert {passive[name] for name in (*AGAINST, "turnover")} == {None}


def test_a_horizon_is_exactly_its_days_before_the_rebalance() -> None:
    found = measured({"hrp": returns(1, 317)})
    kept = found.filter(pl.col("series") == "hrp").select("horizon", "first", "last", "observations", "turnover")
    # Trades are on days 0, 10 … 310, so the ten days from 307 on have one, and the 240 from day 77 on have 24.
    assert kept.rows() == [
        ("window", after(307), after(316), 10, pytest.approx(0.4)),
        ("lookback", after(77), after(316), 240, pytest.approx(24 * 0.4)),
        ("record", after(0), after(316), 317, pytest.approx(32 * 0.4)),
    ]


def test_rows_are_three_horizons_of_each_profile_and_then_of_each_benchmark() -> None:
    found = measured({"hrp": returns(1, 40), "barbell": returns(2, 40)}, {BTC: returns(3, 40), ETH: returns(4, 40)})
    series = [("hrp", "risk_profile"), ("barbell", "risk_profile"), (BTC, "benchmark"), (ETH, "benchmark")]
    assert found.select("series", "kind", "horizon").rows() == [
        (*one, horizon) for one in series for horizon in ("window", "lookback", "record")
    ]


def test_a_drawdown_counts_from_the_wealth_before_the_first_day() -> None:
    fallen = np.array([-0.2, 0.05, 0.1, *[0.0] * 7])
    found = measured({"hrp": fallen}, {BTC: fallen})
    assert row(found, "hrp", "window")["max_drawdown"] == pytest.approx(-0.2)
    assert row(found, BTC, "window")["max_drawdown"] == pytest.approx(-0.2)
    # Of the horizon, not of the record: what was lost before it is none of its business.
    later = measured({"hrp": np.concatenate((fallen, np.full(10, 0.01)))})
    assert row(later, "hrp", "window")["max_drawdown"] == 0.0
    assert row(later, "hrp", "record")["max_drawdown"] == pytest.approx(-0.2)


@pytest.mark.parametrize("days", [MIN_OBSERVATIONS - 1, MIN_OBSERVATIONS])
def test_ratios_need_thirty_observations_and_the_plain_metrics_none(days: int) -> None:
    found = row(measured({"hrp": returns(1, days)}), "hrp", "record")
    assert all((found[name] is not None) == (days == 30) for name in (*LATER, *AGAINST))
    assert all(found[name] is not None for name in ("total_return", "max_drawdown", "turnover"))


def test_beta_needs_thirty_joint_observations() -> None:
    for days, known in ((29, False), (30, True)):
        found = row(measured({"hrp": returns(1, 60)}, {BTC: returns(2, days)}), "hrp", "record")
        assert found["sharpe"] is not None
        assert all((found[name] is not None) == known for name in AGAINST)


def test_a_ledger_that_has_just_opened_has_earned_nothing() -> None:
    market = streams("symbol", {BTC: returns(2, 400)}, OPENED - timedelta(days=400))
    found = metrics(record({"hrp": np.array([])}), market, OPENED)
    assert found.schema == SCHEMA
    assert found["series"].to_list() == ["hrp"] * 3 + [BTC] * 3
    assert found["observations"].to_list() == [0] * 6
    assert {value for name in ("total_return", "max_drawdown") for value in found[name]} == {0.0}
    assert found["turnover"].to_list() == [0.0] * 3 + [None] * 3
    assert all(found[name].is_null().all() for name in ("first", "last", *LATER, *AGAINST))


def test_the_benchmark_is_measured_over_the_days_of_the_ledger_and_no_others() -> None:
    btc = returns(2, 400)
    market = streams("symbol", {BTC: btc}, OPENED - timedelta(days=350))
    found = row(metrics(record({"hrp": returns(1, 50)}), market, after(50)), BTC, "lookback")
    assert (found["first"], found["last"], found["observations"]) == (OPENED, after(49), 50)
    assert found["total_return"] == pytest.approx(np.prod(1.0 + btc[-50:]) - 1.0)


def test_cash_has_no_ratio_and_no_beta() -> None:
    found = row(measured({"hrp": np.zeros(60)}), "hrp", "record")
    assert (found["total_return"], found["cagr"], found["volatility"], found["max_drawdown"]) == (0.0, 0.0, 0.0, 0.0)
    assert all(found[name] is None for name in ("sharpe", "sortino", "calmar", *AGAINST))
    assert found["anomalies"] == []


def test_gains_without_a_day_of_risk_have_no_finite_sharpe_but_are_listed() -> None:
    found = row(measured({"hrp": np.full(60, 0.001)}), "hrp", "record")
    assert found["total_return"] == pytest.approx(1.001**60 - 1.0)
    assert all(found[name] is None for name in ("sharpe", "sortino", "calmar", *AGAINST))
    assert found["anomalies"] == ["|sharpe| inf > 10"]


@pytest.mark.parametrize("flat", [np.zeros(60), np.full(60, 0.001), 0.001 + 1e-17 * np.arange(60)])
def test_what_varies_by_rounding_only_has_no_beta_and_is_no_benchmark(flat: Floats) -> None:
    for found in (measured({"hrp": flat}), measured({"hrp": returns(1, 60)}, {BTC: flat})):
        assert all(row(found, "hrp", "record")[name] is None for name in AGAINST)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), days=st.integers(30, 90), power=st.integers(-3, 1))
def test_a_flipped_sign_flips_beta_and_a_scale_scales_what_has_a_unit(seed: int, days: int, power: int) -> None:
    own, btc, scale = returns(seed, days), returns(seed + 1, days), 2.0**power
    found = measured({"hrp": own, "barbell": -own, "market": scale * own}, {BTC: btc})
    plain, flipped, scaled = (row(found, name, "record") for name in ("hrp", "barbell", "market"))
    assert [flipped[name] for name in AGAINST] == [-plain[name] for name in AGAINST]
    assert flipped["sharpe"] == -plain["sharpe"]
    assert flipped["volatility"] == plain["volatility"]
    for name in ("beta", "volatility", "cvar_95"):
        assert scaled[name] == scale * plain[name]
    for name in ("sharpe", "sortino", "correlation"):
        assert scaled[name] == plain[name]
    assert abs(plain["correlation"]) <= 1.0 + 1e-12


def test_the_benchmark_held_or_shorted_whole_has_beta_one_or_minus_one() -> None:
    btc = returns(2, 250)
    found = measured({"hrp": btc, "market": -btc, "barbell": 0.5 * btc + 0.001}, {BTC: btc})
    for name, beta, correlation in (("hrp", 1.0, 1.0), ("market", -1.0, -1.0), ("barbell", 0.5, 1.0)):
        got = row(found, name, "lookback")
        assert (got["beta"], got["correlation"]) == (pytest.approx(beta), pytest.approx(correlation))


def test_beta_to_several_benchmarks_is_to_their_mean_on_the_days_that_all_have() -> None:
    own, btc, eth = returns(1, 100), returns(2, 100), returns(3, 100)
    market = streams("symbol", {BTC: btc, ETH: eth}).filter(
        (pl.col("symbol") != ETH) | ~pl.col("date").is_between(after(20), after(29))
    )
    found = metrics(record({"hrp": own}), market, after(100))
    both = np.delete(np.arange(100), np.arange(20, 30))
    expected = by_definition(own[both], ((btc + eth) / 2)[both])
    got = row(found, "hrp", "record")
    assert {name: got[name] for name in AGAINST} == pytest.approx({name: expected[name] for name in AGAINST})
    assert got["observations"] == 100
    passive = row(found, ETH, "record")
    assert (passive["observations"], passive["first"], passive["last"]) == (90, OPENED, after(99))
    assert passive["total_return"] == pytest.approx(np.prod(1.0 + eth[both]) - 1.0)


def test_without_a_benchmark_there_is_no_beta_and_all_else() -> None:
    found = metrics(record({"hrp": returns(1, 60)}), streams("symbol", {BTC: returns(2, 60)}).clear(), after(60))
    assert found["series"].unique().to_list() == ["hrp"]
    assert all(row(found, "hrp", "record")[name] is None for name in AGAINST)
    assert all(row(found, "hrp", "record")[name] is not None for name in LATER)


def test_a_profile_does_not_depend_on_the_others() -> None:
    own, btc = returns(1, 260), {BTC: returns(9, 260)}
    alone = measured({"hrp": own}, btc)
    together = measured({"barbell": returns(2, 260), "hrp": own}, btc)
    assert together.filter(pl.col("series") != "barbell").equals(alone)


def test_nothing_from_the_rebalance_on_is_read() -> None:
    own, btc, at = returns(1, 300), returns(2, 300), after(280)
    rows, market = record({"hrp": own, "barbell": returns(3, 300)}), streams("symbol", {BTC: btc})
    known = metrics(rows.filter(pl.col("date") < at), market.filter(pl.col("date") < at), at)
    assert metrics(rows, market, at).equals(known)

    def wrong(when: pl.Expr) -> pl.DataFrame:
        ruined = [
            pl.when(when).then(value).otherwise(name).alias(name)
            for name, value in (("ret", np.nan), ("turnover", 9.0))
        ]
        stranger = streams("symbol", {ETH: returns(4, 20)}, at)
        changed = market.with_columns(ruined[0]).vstack(stranger)
        return metrics(rows.with_columns(ruined), changed, at)

    assert wrong(pl.col("date") >= at).equals(known)
    with pytest.raises(IdentityError):  # the day before is read, or this shows nothing
        wrong(pl.col("date") >= at - timedelta(days=1))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_return_that_is_not_finite_is_refused(broken: float) -> None:
    own, btc = returns(1, 40), returns(2, 40)
    own[7] = broken
    with pytest.raises(IdentityError, match=f"expected finite returns, found .* of hrp on {after(7)}"):
        measured({"hrp": own}, {BTC: btc})
    with pytest.raises(IdentityError, match=f"of {BTC} on {after(7)}"):
        measured({"hrp": btc}, {BTC: own})
