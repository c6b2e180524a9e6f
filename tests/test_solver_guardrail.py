from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.manifest import RISK_PROFILES, RiskRules
from sleevegraph.solver_guardrail import FailureRate, failure_rate
from tests.cells import row, stored

AT = date(2022, 3, 11)
STATUSES = ("native", "fallback", "unsupported", "rejected", "unavailable", "failed")
Statuses = Mapping[tuple[str, str], str]
"""Status by (engine, profile); what is not named is native."""


def rules(*engines: str, **risk: object) -> RiskRules:
    return RiskRules(engines=engines, engine_of_record=engines[0], **risk)


def window(engines: Sequence[str], statuses: Statuses | None = None) -> pl.DataFrame:
    given_ = statuses or {}
    cells = [(engine, profile) for engine in engines for profile in RISK_PROFILES]
    return stored([row(*cell, given_.get(cell, "native")) for cell in cells])


def windows(*frames: pl.DataFrame | None) -> dict[date, pl.DataFrame | None]:
    """Neighbouring rebalances, of which the last is the one that is judged."""
    last = len(frames) - 1
    return {AT - timedelta(days=10 * (last - i)): frame for i, frame in enumerate(frames)}


def failing(engine: str, count: int, status: str = "failed") -> Statuses:
    return {(engine, profile): status for profile in RISK_PROFILES[:count]}


def codes(rate: FailureRate) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in rate.findings]


@pytest.mark.parametrize("status", ["failed", "unavailable"])
def test_exactly_a_quarter_passes_and_one_cell_more_blocks(status: str) -> None:
    one = rules("native", "skfolio")
    quarter = window(one.engines, failing("skfolio", 4, status))
    at_limit = failure_rate(windows(quarter, quarter), AT, one)
    assert (at_limit.share, at_limit.expected, at_limit.findings) == (0.25, 32, [])
    above = failure_rate(windows(quarter, window(one.engines, failing("skfolio", 5, status))), AT, one)
    assert (above.share, codes(above)) == (9 / 32, [("ERROR", "SOLVER_FAILURE_RATE")])


def test_the_message_names_engine_status_reason_count_and_share() -> None:
    one = rules("native", "skfolio")
    statuses = {**failing("native", 2), **failing("skfolio", 8, "unavailable")}
    (finding,) = failure_rate(windows(window(one.engines, statuses)), AT, one).findings
    assert finding.message == (
        "10 of 16 expected cells of the last 1 windows failed (62.5% > 25%): "
        "8 x skfolio unavailable: why unavailable; 2 x native failed: why failed"
    )


def test_the_message_shows_the_most_frequent_reasons_and_the_figures_all() -> None:
    one = rules("native")
    reasons = ("slow", "slow", "slow", "noise", "noise", "dust", "rare", "rare too")
    cells = stored([row("native", p, "failed", reason=r) for p, r in zip(RISK_PROFILES, reasons, strict=True)])
    rate = failure_rate(windows(cells), AT, one)
    assert list(rate.failed.values()) == [3, 2, 1, 1, 1]
    assert rate.findings[0].message.endswith(
        "3 x native failed: slow; 2 x native failed: noise; 1 x native failed: dust"
    )


def test_unsupported_cells_are_not_expected() -> None:
    one = rules("native", "pypfopt")
    statuses = {**failing("pypfopt", 4, "unsupported"), **failing("native", 3)}
    rate = failure_rate(windows(window(one.engines, statuses)), AT, one)
    assert (rate.expected, rate.share, rate.findings) == (12, 0.25, [])
    tighter = {**failing("pypfopt", 5, "unsupported"), **failing("native", 3)}
    assert codes(failure_rate(windows(window(one.engines, tighter)), AT, one)) == [("ERROR", "SOLVER_FAILURE_RATE")]


@pytest.mark.parametrize("status", ["rejected", "fallback", "native"])
def test_what_is_no_failure_counts_among_the_expected_and_never_among_the_failures(status: str) -> None:
    rate = failure_rate(windows(window(["native"], failing("native", 8, status))), AT, rules("native"))
    assert (rate.expected, rate.share, rate.failed) == (8, 0.0, {})
    assert [level for level, _ in codes(rate)] == (["WARN"] if status == "fallback" else [])


def test_stand_ins_above_a_quarter_warn_and_do_not_block() -> None:
    one = rules("native")
    (finding,) = failure_rate(windows(window(["native"], failing("native", 3, "fallback"))), AT, one).findings
    assert (finding.level, finding.code) == ("WARN", "STAND_INS")
    assert finding.message == "3 of 8 expected cells of the last 1 windows hold a stand-in (37.5%)"
    at_limit = failure_rate(windows(window(["native"], failing("native", 2, "fallback"))), AT, one)
    assert (at_limit.stood_in, at_limit.findings) == (2, [])


@pytest.mark.parametrize("sound", [3, 2])
def test_a_window_without_a_record_is_a_failure_of_all_its_cells(sound: int) -> None:
    one = rules("native", "skfolio")
    rate = failure_rate(windows(*[window(one.engines)] * sound, None), AT, one)
    assert rate.expected == 16 * (sound + 1)
    assert rate.share == 1 / (sound + 1)
    assert rate.failed == {"native failed: no record": 8, "skfolio failed: no record": 8}
    assert codes(rate) == ([] if sound == 3 else [("ERROR", "SOLVER_FAILURE_RATE")])


def test_a_missing_row_of_one_profile_is_a_failure() -> None:
    for missing in (2, 3):
        cells = window(["native"]).filter(~pl.col("profile").is_in(RISK_PROFILES[:missing]))
        rate = failure_rate(windows(cells), AT, rules("native"))
        assert (rate.expected, rate.share) == (8, missing / 8)
        assert rate.failed == {"native failed: no record": missing}
        assert codes(rate) == ([] if missing == 2 else [("ERROR", "SOLVER_FAILURE_RATE")])


def test_no_records_at_all_are_an_error() -> None:
    rate = failure_rate({}, AT, rules("native"))
    assert codes(rate) == [("ERROR", "NO_RECORDS")]
    assert rate.share == 1.0


def test_nothing_but_unsupported_cells_is_no_record_of_a_solve() -> None:
    cells = window(["native"], failing("native", 8, "unsupported"))
    assert codes(failure_rate(windows(cells), AT, rules("native"))) == [("ERROR", "NO_RECORDS")]


def test_only_windows_without_a_record_are_too_many_failures() -> None:
    rate = failure_rate(windows(None, None), AT, rules("native"))
    assert (rate.share, codes(rate)) == (1.0, [("ERROR", "SOLVER_FAILURE_RATE")])


def test_an_engine_that_joined_later_is_not_missing_before() -> None:
    before, since = window(["native"]), window(["native", "skfolio"])
    rate = failure_rate(windows(before, before, since), AT, rules("native", "skfolio"))
    assert (rate.expected, rate.share, codes(rate)) == (8 + 8 + 16, 0.0, [("WARN", "ENGINE_JOINED")])
    assert rate.findings[0].message == "skfolio is in 1 of the last 3 records"


def test_an_engine_that_the_judged_window_misses_altogether_is_a_failure_of_all_its_cells() -> None:
    both = window(["native", "skfolio"])
    rate = failure_rate(windows(both, window(["native"])), AT, rules("native", "skfolio"))
    assert (rate.expected, rate.failed) == (32, {"skfolio failed: no record": 8})
    alone = failure_rate(windows(window(["native"])), AT, rules("native", "skfolio"))
    assert codes(alone) == [("ERROR", "SOLVER_FAILURE_RATE"), ("WARN", "ENGINE_JOINED")]


def test_an_engine_that_left_the_manifest_is_ignored() -> None:
    cells = window(["native", "skfolio"], failing("skfolio", 8))
    rate = failure_rate(windows(cells), AT, rules("native"))
    assert (rate.expected, rate.share, rate.findings) == (8, 0.0, [])


def test_records_of_none_of_the_manifests_engines_are_no_records() -> None:
    rate = failure_rate(windows(window(["skfolio"])), AT, rules("native"))
    assert [level for level, _ in codes(rate)] == ["ERROR", "WARN"]


def test_an_unavailable_engine_of_record_is_an_error_of_its_own_however_few_cells_failed() -> None:
    one = rules("native", "skfolio", "riskfolio", "pypfopt")
    gone = window(one.engines, failing("native", 8, "unavailable"))
    rate = failure_rate(windows(*[window(one.engines)] * 9, gone), AT, one)
    assert rate.share == 0.025
    (finding,) = rate.findings
    assert (finding.level, finding.code) == ("ERROR", "ENGINE_OF_RECORD_UNAVAILABLE")
    assert finding.message == "the engine of record, native, is unavailable: why unavailable"
    back = failure_rate(windows(*[window(one.engines)] * 9, gone, window(one.engines)), AT, one)
    assert back.findings == [], "only the rebalance that is judged trades on it"
    other = window(one.engines, failing("riskfolio", 8, "unavailable"))
    assert failure_rate(windows(*[window(one.engines)] * 9, other), AT, one).findings == []


def test_the_largest_share_is_that_of_the_manifest() -> None:
    cells = windows(window(["native"], failing("native", 4)))
    assert codes(failure_rate(cells, AT, rules("native", max_failure_share=0.5))) == []
    assert codes(failure_rate(cells, AT, rules("native", max_failure_share=0.49))) == [("ERROR", "SOLVER_FAILURE_RATE")]
    none = windows(window(["native"], failing("native", 1)))
    assert codes(failure_rate(none, AT, rules("native", max_failure_share=0.0))) == [("ERROR", "SOLVER_FAILURE_RATE")]
    assert codes(failure_rate(windows(window(["native"])), AT, rules("native", max_failure_share=0.0))) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*STATUSES, "absent"]), min_size=16, max_size=16), min_size=1, max_size=5))
def test_the_share_is_failed_unavailable_and_absent_over_all_but_unsupported(tables: list[list[str]]) -> None:
    engines = ("native", "skfolio")
    cells = [(engine, profile) for engine in engines for profile in RISK_PROFILES]
    present = [list(zip(cells, table, strict=True)) for table in tables]
    # An engine that a window does not name at all has not entered it; one row keeps it there.
    present = [[(c, "native" if c[1] == "hrp" and s == "absent" else s) for c, s in table] for table in present]
    frames = [stored([row(*cell, status) for cell, status in table if status != "absent"]) for table in present]
    rate = failure_rate(windows(*frames), AT, rules(*engines))
    every = [status for table in present for _, status in table]
    failed = sum(status in {"failed", "unavailable", "absent"} for status in every)
    expected = sum(status != "unsupported" for status in every)
    assert (sum(rate.failed.values()), rate.expected) == (failed, expected)
    blocked = ("ERROR", "SOLVER_FAILURE_RATE") in codes(rate)
    assert blocked == (4 * failed > expected > 0)
    assert rate.stood_in == every.count("fallback")
