from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.errors import ConfigurationError, GateError
from sleevegraph.manifest import RISK_PROFILES, MetaProfile, SleeveProfile
from sleevegraph.metas import meta_weights, validate_metas
from sleevegraph.projection import project_bounded_simplex
from sleevegraph.risk_profiles import solve

AT = date(2024, 6, 1)
SLEEVES = tuple(
    SleeveProfile(name=name, logic=name, rating="recommend_all", direction="LONG") for name in ("s1", "s2", "s3", "s4")
)


def meta(name: str, *children: str, low: float = 0.05, high: float = 0.95, **rules: int | str) -> MetaProfile:
    return MetaProfile.model_validate(
        {"name": name, "children": children, "weight_min": low, "weight_max": high, **rules}
    )


TWO = meta("two", "s2", "s1")
FOUR = meta("four", "s4", "s3", "s2", "s1", high=0.5)


def stream(returns: np.ndarray, last: date = AT - timedelta(days=1)) -> pl.DataFrame:
    """Daily returns that end on `last`."""
    days = [last - timedelta(days=i) for i in range(len(returns))][::-1]
    return pl.DataFrame({"date": days, "ret": returns}, schema={"date": pl.Date, "ret": pl.Float64})


def streams(n: int, days: int = 240) -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(n)
    scale = np.array([0.01, 0.05, 0.02, 0.03])[:n]
    returns = rng.normal(0.002, 1, (days, n)) * scale + rng.normal(0, 0.005, (days, 1))
    return {f"s{i + 1}": stream(returns[:, i]) for i in range(n)}


@pytest.mark.parametrize("closed", [False, True])
def test_a_chain_of_thousands_of_metas_is_refused_as_any_other(closed: bool) -> None:
    chain = [meta(f"m{number}", f"m{number + 1}", "s1") for number in range(3000)]
    end = meta("m3000", "m0" if closed else "s2", "s1")
    with pytest.raises(ConfigurationError, match="no cycle" if closed else "at most 4 metas down") as error:
        validate_metas(SLEEVES, [*chain, end])
    assert len(str(error.value)) < 300


def test_children_come_before_parents_in_the_order_given_else() -> None:
    metas = [meta("fractal", "ma", "all"), meta("all", "s1", "s2"), meta("ma", "s3", "s4"), meta("flat", "s1", "s4")]
    assert [m.name for m in validate_metas(SLEEVES, metas)] == ["ma", "all", "fractal", "flat"]


def test_four_metas_deep_is_the_limit() -> None:
    chain = [meta(f"m{i}", f"m{i - 1}" if i > 1 else "s1", "s2") for i in range(1, 6)]
    assert len(validate_metas(SLEEVES, chain[:4])) == 4
    with pytest.raises(ConfigurationError, match=r"meta m5: children: expected at most 4 metas .* found 5"):
        validate_metas(SLEEVES, chain)


@pytest.mark.parametrize(
    ("metas", "message"),
    [
        ([meta("m", "s1", "ghost")], "meta m: children: expected names among .* found .'ghost'"),
        ([meta("m", "s1", "s1")], "meta m: children: expected each child once, found .'s1'. more than once"),
        ([meta("m", "s1", "s2"), meta("m", "s3", "s4")], "meta m: name: expected a name that no other"),
        ([meta("s1", "s2", "s3")], "meta s1: name: expected a name that no other"),
        ([meta("m", "m", "s1")], "meta m: children: expected no cycle, found m -> m"),
        (
            [meta("a", "b", "s1"), meta("b", "c", "s1"), meta("c", "b", "s2")],
            "children: expected no cycle, found b -> c -> b",
        ),
        ([meta("m", "s1", "s2", low=0.6)], "meta m: weight_min: expected at most 1/2 for 2 children, found 0.6"),
        (
            [meta("m", "s1", "s2", "s3", high=0.3)],
            "meta m: weight_max: expected at least 1/3 for 3 children, found 0.3",
        ),
        ([meta("m", "s1", "s2", low=0.5, high=0.4)], "meta m: weight_min: expected at most weight_max 0.4, found 0.5"),
    ],
)
def test_a_meta_that_cannot_be_built_is_refused(metas: list[MetaProfile], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        validate_metas(SLEEVES, metas)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("exceptions", "message"),
    [
        ({"ledger.slipage": "why"}, "meta m: parity_exceptions: expected keys among selection.train_days, .*slipage"),
        ({"risk.cluster_cap": "why"}, "meta m: parity_exceptions: expected keys among .*found .'risk.cluster_cap'"),
        ({"ledger.borrow": " "}, r"meta m: parity_exceptions.ledger.borrow: expected the reason .* found none"),
    ],
)
def test_an_exception_without_a_parameter_or_a_reason_is_refused(exceptions: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        validate_metas(SLEEVES, [meta("m", "s1", "s2").model_copy(update={"parity_exceptions": exceptions})])


def test_bounds_that_leave_one_point_are_legal() -> None:
    metas = [meta("m", "s1", "s2", "s3", low=1 / 3, high=1 / 3)]
    assert validate_metas(SLEEVES, metas) == tuple(metas)


@pytest.mark.parametrize("profile", RISK_PROFILES)
@pytest.mark.parametrize("profiled", [TWO, FOUR])
def test_weights_sum_to_one_within_the_bounds(profile: str, profiled: MetaProfile) -> None:
    solution = meta_weights(profile, streams(len(profiled.children)), profiled, AT)
    weights = np.array(list(solution.weights.values()))
    assert list(solution.weights) == sorted(profiled.children)
    assert abs(weights.sum() - 1) <= 1e-9
    assert weights.min() >= profiled.weight_min - 1e-12
    assert weights.max() <= profiled.weight_max + 1e-12
    assert (solution.status == "native") == (solution.reason == "")
    assert (solution.rows_used, solution.rows_lost, solution.lost_share) == (240, 0, 0.0)


@pytest.mark.parametrize("profile", RISK_PROFILES)
@pytest.mark.parametrize("low", [0.0, 0.05, 0.15])
def test_children_are_weighed_without_bounds_and_then_projected_on_them(profile: str, low: float) -> None:
    given, profiled = streams(4), meta("four", "s4", "s3", "s2", "s1", low=low, high=0.45)
    solution = meta_weights(profile, given, profiled, AT)
    joint = np.column_stack([given[name]["ret"].to_numpy() for name in sorted(given)])
    alone = solve(profile, joint, covariance="ledoit_wolf")
    assert list(solution.unbounded.values()) == alone.weights.tolist()
    assert (solution.status, solution.reason) == (alone.status, alone.reason)
    nearest = project_bounded_simplex(alone.weights, low, 0.45)
    assert list(solution.weights.values()) == pytest.approx(nearest.tolist(), abs=1e-15)


def test_weights_within_the_bounds_keep_their_bits() -> None:
    wide = meta("four", "s4", "s3", "s2", "s1", low=0.0, high=1.0)
    for profile in RISK_PROFILES:
        solution = meta_weights(profile, streams(4), wide, AT)
        assert solution.weights == solution.unbounded


def test_bounds_may_leave_less_than_the_best_within_them_but_nothing_nearer() -> None:
    tight = meta("four", "s4", "s3", "s2", "s1", low=0.15, high=0.45)
    solution = meta_weights("min_variance", streams(4), tight, AT)
    joint = np.column_stack([frame["ret"].to_numpy() for frame in streams(4).values()])
    best = solve("min_variance", joint, cap=0.45, lower=0.15, covariance="ledoit_wolf").weights
    weights, unbounded = (np.array(list(found.values())) for found in (solution.weights, solution.unbounded))
    assert np.var(joint @ weights) > np.var(joint @ best)
    assert np.linalg.norm(weights - unbounded) < np.linalg.norm(best - unbounded)


def test_min_variance_of_two_children_is_the_closed_form() -> None:
    profiled = meta("two", "s1", "s2", low=0.0, high=1.0, covariance="sample")
    given = streams(2)
    a, b = (given[name]["ret"].to_numpy() for name in ("s1", "s2"))
    (va, cab), (_, vb) = np.cov(a, b)
    solution = meta_weights("min_variance", given, profiled, AT)
    assert solution.status == "native"
    assert solution.weights["s1"] == pytest.approx((vb - cab) / (va + vb - 2 * cab), abs=1e-9)


def test_min_variance_stops_at_the_bound() -> None:
    tight = meta("two", "s1", "s2", low=0.3, high=0.7)
    weights = meta_weights("min_variance", streams(2), tight, AT).weights
    assert weights == pytest.approx({"s1": 0.7, "s2": 0.3}, abs=1e-12)


@pytest.mark.parametrize("profile", ["equal_weight", "market", "benchmark"])
def test_profiles_without_a_solver_are_equal_weight(profile: str) -> None:
    solution = meta_weights(profile, streams(4), FOUR, AT)
    assert (solution.weights, solution.status) == (dict.fromkeys(("s1", "s2", "s3", "s4"), 0.25), "native")


@pytest.mark.parametrize("profile", RISK_PROFILES)
def test_only_the_lookback_before_the_date_is_read(profile: str) -> None:
    given = streams(4, days=240)
    expected = meta_weights(profile, given, FOUR, AT)
    wild = stream(np.full(30, 3.0) * np.arange(30), AT + timedelta(days=29))
    old = stream(np.full(30, -0.9) * np.linspace(0, 1, 30), AT - timedelta(days=241))
    poisoned = {name: pl.concat([old, frame, wild]) for name, frame in given.items()}
    assert meta_weights(profile, poisoned, FOUR, AT) == expected
    assert meta_weights(profile, poisoned, FOUR, AT + timedelta(days=10)) != expected


def test_rows_that_one_child_lacks_are_lost_not_filled() -> None:
    given = streams(2, days=100)
    short = {**given, "s2": given["s2"].filter(pl.col("date").dt.day() != 5).tail(60)}
    joint = given["s1"].filter(pl.col("date").is_in(short["s2"]["date"].implode()))
    solution = meta_weights("min_variance", short, TWO, AT)
    assert (solution.rows_used, solution.rows_lost) == (60, 40)
    assert solution.lost_share == pytest.approx(0.4, abs=1e-15)
    assert solution.rows_missing == {"s1": 0, "s2": 40}
    assert solution.weights == meta_weights("min_variance", {**short, "s1": joint}, TWO, AT).weights


@pytest.mark.parametrize(("days", "status"), [(0, "fallback"), (29, "fallback"), (30, "native")])
def test_fewer_than_three_windows_of_joint_history_is_a_recorded_warm_up(days: int, status: str) -> None:
    given = streams(2, days=100)
    solution = meta_weights("min_variance", {**given, "s2": given["s2"].tail(days)}, TWO, AT)
    assert solution.status == status
    if status == "fallback":
        assert solution.weights == solution.unbounded == {"s1": 0.5, "s2": 0.5}
        assert (solution.volatility, solution.meta_volatility) == ({"s1": None, "s2": None}, None)
        assert solution.reason.startswith(f"warm-up: expected at least 30 joint days, found {days}")


def test_no_history_at_all_is_a_warm_up() -> None:
    solution = meta_weights("hrp", {"s1": stream(np.array([])), "s2": stream(np.array([]))}, TWO, AT)
    assert (solution.rows_used, solution.rows_lost, solution.lost_share) == (0, 0, 0.0)
    assert solution.reason.startswith("warm-up")


@pytest.mark.parametrize("profile", ["hrp", "min_variance", "max_sharpe", "risk_parity", "barbell"])
def test_a_child_in_cash_falls_back_to_equal_weight_and_is_named(profile: str) -> None:
    given = {**streams(4), "s3": stream(np.zeros(240))}
    solution = meta_weights(profile, given, FOUR, AT)
    assert solution.status == "fallback"
    assert solution.weights == dict.fromkeys(("s1", "s2", "s3", "s4"), 0.25)
    assert "the stream does not vary: s3:" in solution.reason


def test_max_sharpe_without_a_positive_mean_keeps_the_solvers_fallback() -> None:
    losing = {name: frame.with_columns(pl.col("ret") - 0.1) for name, frame in streams(2).items()}
    solution = meta_weights("max_sharpe", losing, TWO, AT)
    assert solution.status == "fallback"
    assert solution.reason
    assert solution.weights == meta_weights("min_variance", losing, TWO, AT).weights


def test_weights_do_not_depend_on_the_order_of_children_or_rows() -> None:
    given = streams(4)
    moved = {name: given[name].sample(fraction=1, shuffle=True, seed=1) for name in reversed(given)}
    reordered = FOUR.model_copy(update={"children": tuple(sorted(FOUR.children))})
    for profile in ("hrp", "max_sharpe"):
        assert meta_weights(profile, moved, reordered, AT) == meta_weights(profile, given, FOUR, AT)


@pytest.mark.parametrize("profile", RISK_PROFILES)
def test_volatilities_are_those_of_the_joint_days_at_the_weights_of_the_profile(profile: str) -> None:
    given = {**streams(4), "s3": streams(4)["s3"].tail(100)}
    solution = meta_weights(profile, given, FOUR, AT)
    joint = np.column_stack([given[name].tail(100)["ret"].to_numpy() for name in sorted(given)])
    alone = np.sqrt(365 * np.diag(np.cov(joint.T)))
    weights = np.array(list(solution.weights.values()))
    assert list(solution.volatility.values()) == pytest.approx(alone.tolist(), rel=1e-12)
    assert solution.meta_volatility == pytest.approx(np.sqrt(365 * weights @ np.cov(joint.T) @ weights), rel=1e-12)


def test_a_child_in_cash_has_no_volatility() -> None:
    solution = meta_weights("hrp", {**streams(4), "s3": stream(np.full(240, 1e-4))}, FOUR, AT)
    assert solution.volatility["s3"] == 0.0
    assert solution.meta_volatility is not None
    assert solution.meta_volatility > 0.0


def test_a_meta_needs_all_of_its_children() -> None:
    with pytest.raises(GateError, match=r"meta four at 2024-06-01: .* found none of \['s3', 's4'\]"):
        meta_weights("hrp", streams(2), FOUR, AT)


def test_a_stream_with_two_returns_on_a_day_is_refused() -> None:
    given = streams(2)
    with pytest.raises(GateError, match="more in the stream of s1"):
        meta_weights("hrp", {**given, "s1": pl.concat([given["s1"], given["s1"][-1:]])}, TWO, AT)
