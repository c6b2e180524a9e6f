import numpy as np
import polars as pl
import pytest

from sleevegraph.engine_agreement import engine_agreement, profile_convergence
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.solver_cells import cells_frame
from tests.cells import entered, row, sleeve, solved_natively, stored
from tests.windows import window

EVEN = {"A": 0.4, "B": 0.35, "C": 0.25}


def moved(by: float) -> dict[str, float]:
    return {"A": 0.4 - by, "B": 0.35 + by / 2, "C": 0.25 + by / 2}


def solved_cells(N: int, cap: float = 0.25, *engines: str) -> pl.DataFrame:
    tournament = entered(sleeve("native", *engines, cluster_cap=cap), window(5, N))
    return cells_frame(tournament, solved_natively(tournament))


def codes(cells: pl.DataFrame) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in profile_convergence(cells)]


@pytest.mark.parametrize("profile", SOLVED)
def test_a_disagreement_is_a_warning_with_both_engines_weights_and_objectives(profile: str) -> None:
    cells = stored(
        [
            row("native", profile, weights=EVEN, objective=0.000123456789),
            row("skfolio", profile, weights=moved(0.0102), objective=0.00012349),
        ]
    )
    (finding,) = engine_agreement(cells)
    assert (finding.level, finding.code, finding.symbol) == ("WARN", "ENGINES_DISAGREE", "A")
    assert finding.message == (
        f"{profile}: native and skfolio differ by up to 0.01 (0.400000 and 0.389800): "
        "native objective 0.000123456789, weights A 0.400000, B 0.350000, C 0.250000; "
        "skfolio objective 0.00012349, weights A 0.389800, B 0.355100, C 0.255100"
    )


@pytest.mark.parametrize(("by", "warns"), [(0.0, False), (0.000999, False), (0.001001, True), (-0.001001, True)])
def test_a_thousandth_is_the_tolerance(by: float, warns: bool) -> None:
    cells = stored([row("native", "hrp", weights=EVEN), row("skfolio", "hrp", weights=moved(by))])
    assert bool(engine_agreement(cells)) == warns


def test_every_pair_of_engines_is_compared_and_only_on_the_same_profile() -> None:
    cells = stored(
        [
            row("native", "hrp", weights=EVEN),
            row("skfolio", "hrp", weights=moved(0.1)),
            row("riskfolio", "hrp", weights=moved(0.2)),
            row("native", "risk_parity", weights=moved(-0.2)),
            row("skfolio", "risk_parity", weights=moved(-0.2)),
        ]
    )
    pairs = [finding.message.split(" differ")[0] for finding in engine_agreement(cells)]
    assert pairs == ["hrp: native and skfolio", "hrp: native and riskfolio", "hrp: skfolio and riskfolio"]


@pytest.mark.parametrize("status", ["fallback", "failed", "rejected", "unavailable", "unsupported"])
def test_what_was_not_solved_as_asked_is_compared_with_nobody(status: str) -> None:
    held = moved(0.2) if status == "fallback" else None
    cells = stored([row("native", "hrp", weights=EVEN), row("skfolio", "hrp", status, held)])
    assert engine_agreement(cells) == []


@pytest.mark.parametrize("profile", ["equal_weight", "barbell", "market", "benchmark"])
def test_recipes_that_are_computed_once_are_not_compared(profile: str) -> None:
    cells = stored([row("native", profile, weights=EVEN), row("skfolio", profile, weights=moved(0.2))])
    assert engine_agreement(cells) == []


def test_an_asset_that_one_engine_lacks_has_weight_zero_there() -> None:
    cells = stored([row("native", "hrp", weights=EVEN), row("skfolio", "hrp", weights={"A": 0.4, "B": 0.6})])
    (finding,) = engine_agreement(cells)
    assert "differ by up to 0.25" in finding.message
    assert "skfolio objective 1, weights A 0.400000, B 0.600000" in finding.message


def test_engines_that_gave_the_same_answer_agree_and_its_profiles_differ() -> None:
    cells = solved_cells(12, 1.0, "skfolio", "riskfolio")
    assert engine_agreement(cells) == []
    assert codes(cells) == []


def test_profiles_that_a_cap_on_every_asset_makes_equal_are_named_with_the_share_at_the_cap() -> None:
    # Four assets of at most a quarter each: there is one portfolio, whatever is asked for.
    cells = solved_cells(4)
    winners = [p for p in cells["profile"] if p not in {"market", "benchmark"}]
    found = profile_convergence(cells)
    same = [finding.message for finding in found if finding.code == "PROFILES_CONVERGE"]
    assert len(same) == len(winners) * (len(winners) - 1) // 2
    assert same[0] == "native: hrp and min_variance have the same weights; the cap binds on 100% of the assets"
    binds = [finding.message for finding in found if finding.code == "CAP_BINDS"]
    assert binds == [f"native/{profile}: the cap binds on 100% of the assets" for profile in SOLVED]
    assert {finding.level for finding in found} == {"WARN"}


def test_profiles_converge_within_each_engine_and_not_across_engines() -> None:
    cells = solved_cells(12, 1.0, "skfolio")
    assert cells.filter(pl.col("profile") == "hrp")["weights"].n_unique() == 1
    assert codes(cells) == []
    twice = stored([row(engine, p, weights=EVEN) for engine in ("native", "skfolio") for p in ("hrp", "risk_parity")])
    assert [finding.message.split(":")[0] for finding in profile_convergence(twice)] == ["native", "skfolio"]


@pytest.mark.parametrize(("by", "same"), [(0.0, True), (9e-9, True), (2e-8, False)])
def test_two_profiles_are_one_within_a_hundred_millionth(by: float, same: bool) -> None:
    cells = stored([row("native", "hrp", weights=EVEN), row("native", "risk_parity", weights=moved(by))])
    assert bool(profile_convergence(cells)) == same


def test_a_stand_in_equals_another_profile_by_design() -> None:
    cells = stored([row("native", "min_variance", weights=EVEN), row("native", "max_sharpe", "fallback", EVEN)])
    assert profile_convergence(cells) == []


@pytest.mark.parametrize(("share", "warns"), [(0.5, False), (0.51, True), (1.0, True)])
def test_a_cap_that_binds_on_more_than_half_of_the_assets_warns(share: float, warns: bool) -> None:
    cells = stored([row("native", "min_variance", weights=EVEN, cap_binding_share=share)])
    assert codes(cells) == ([("WARN", "CAP_BINDS")] if warns else [])


def test_real_solves_under_a_tight_cap_are_told_exactly_where_it_binds_on_most() -> None:
    cells = solved_cells(7, 0.15)
    shares = {
        profile: np.mean([asset["weight"] >= cap - 1e-9 for asset in weights])
        for profile, cap, weights in cells.select("profile", "cap", "weights").iter_rows()
    }
    most = [profile for profile in SOLVED if shares[profile] > 0.5]
    assert most, "nothing binds, so nothing is shown"
    found = profile_convergence(cells)
    told = [finding.message.split(":")[0] for finding in found if finding.code == "CAP_BINDS"]
    assert told == [f"native/{profile}" for profile in most]
