import polars as pl
import pytest

from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, RiskRules
from sleevegraph.weight_sanity import certification, weight_sanity

SCHEMA = {
    "engine": pl.String,
    "profile": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "symbol": pl.String,
    "weight": pl.Float64,
    "cap": pl.Float64,
    "cluster": pl.Int64,
    "cluster_limit": pl.Float64,
}
RISK = RiskRules(cluster_cap=0.4)
EXPECTED = [("native", profile) for profile in RISK_PROFILES]
HELD = {"A": 0.4, "B": 0.4, "C": 0.2}


def cell(
    profile: str, weights: dict | list | None = None, status: str = "native", reason: str = "", engine: str = "native"
) -> list[tuple]:
    rows = [(None, None)] if weights is None else weights.items() if isinstance(weights, dict) else weights
    return [(engine, profile, status, reason, symbol, weight, 0.4, None, None) for symbol, weight in rows]


def frame(*cells: list[tuple]) -> pl.DataFrame:
    """The cells given, and clean native cells for the other profiles."""
    rows = [row for rows in cells for row in rows]
    given = {row[:2] for row in rows}
    rows += [row for pair in EXPECTED if pair not in given for row in cell(pair[1], HELD)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def codes(cells: pl.DataFrame, expected: list[tuple[str, str]] = EXPECTED) -> list[tuple[str, str, str]]:
    return [(f.level, f.code, f.symbol) for f in weight_sanity(cells, expected, RISK)]


def test_clean_native_cells_give_no_findings_and_certify() -> None:
    assert weight_sanity(frame(), EXPECTED, RISK) == []
    assert certification(frame(), []) == ("CERTIFIED", [])


def test_a_cell_in_cash_holds_one_row_of_cash_above_any_cap() -> None:
    cells = frame(cell("hrp", {"CASH": 1.0}, "rejected", "sparse"))
    assert codes(cells) == []
    assert certification(cells, []) == ("DEGRADED", ["native/hrp: rejected: sparse"])


def test_cash_is_no_status() -> None:
    assert codes(frame(cell("hrp", {"CASH": 1.0}, "cash", "sparse"))) == [("ERROR", "STATUS_UNKNOWN", "")]


def test_a_fallback_is_clean_and_degrades() -> None:
    cells = frame(cell("max_sharpe", HELD, "fallback", "no positive mean"))
    assert codes(cells) == []
    assert certification(cells, []) == ("DEGRADED", ["native/max_sharpe: fallback: no positive mean"])


def test_an_unsupported_cell_of_another_engine_is_clean_and_does_not_degrade() -> None:
    cells = frame(cell("barbell", None, "unsupported", "no such recipe", engine="skfolio"))
    assert codes(cells, [*EXPECTED, ("skfolio", "barbell")]) == []
    assert certification(cells, [])[0] == "CERTIFIED"


@pytest.mark.parametrize("status", ["native", "fallback"])
@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({"A": 0.4, "B": float("nan"), "C": 0.6}, [("WEIGHT_NOT_FINITE", "B"), ("CAP_EXCEEDED", "C")]),
        ({"A": 0.4, "B": 0.4, "C": None}, [("WEIGHT_NOT_FINITE", "C")]),
        ({"A": 0.4, "B": 0.4, "C": float("inf")}, [("WEIGHT_NOT_FINITE", "C")]),
        ({"A": 0.4, "B": 0.4, "C": 0.4, "D": -0.2}, [("WEIGHT_NEGATIVE", "D")]),
        ({"A": 0.4, "B": 0.4, "C": 0.2 + 2e-9}, [("OPTIMIZER_NOT_NORMALIZED", "")]),
        ({"A": 0.4 + 2e-9, "B": 0.4, "C": 0.2 - 2e-9}, [("CAP_EXCEEDED", "A")]),
        ([("A", 0.4), ("B", 0.3), ("A", 0.3)], [("DUPLICATE_ASSET", "A")]),
        ({"CASH": 1.0}, [("CAP_EXCEEDED", "CASH"), ("CAP_UNKNOWN", "")]),
        (None, [("OPTIMIZER_NOT_NORMALIZED", "")]),
    ],
)
def test_each_planted_defect_of_weights_is_an_error(status: str, weights: object, found: list) -> None:
    assert codes(frame(cell("hrp", weights, status))) == [("ERROR", *code) for code in found]


def test_errors_within_tolerance_are_clean() -> None:
    assert codes(frame(cell("hrp", {"A": 0.4 + 5e-10, "B": 0.4, "C": 0.2}))) == []


def test_a_cap_that_is_missing_is_exceeded() -> None:
    cells = frame().with_columns(cap=pl.lit(float("nan")))
    assert {code for _, code, _ in codes(cells)} == {"CAP_EXCEEDED"}


def test_cells_are_exactly_those_expected() -> None:
    cells = frame().filter(pl.col("profile") != "barbell")
    assert codes(cells) == [("ERROR", "CELL_MISSING", "")]
    assert codes(frame(), EXPECTED[1:]) == [("ERROR", "CELL_UNEXPECTED", "")]
    assert len(codes(pl.DataFrame(schema=SCHEMA))) == len(EXPECTED)


@pytest.mark.parametrize(
    "rows", [cell("hrp", HELD, "optimal"), cell("hrp", {"A": 0.5}) + cell("hrp", {"B": 0.5}, "fallback")]
)
def test_a_cell_has_one_known_status(rows: list[tuple]) -> None:
    assert codes(frame(rows)) == [("ERROR", "STATUS_UNKNOWN", "")]


@pytest.mark.parametrize("status", ["failed", "unavailable"])
def test_a_failed_cell_warns_and_degrades_because_the_guardrail_counts_failures(
    status: str,
) -> None:
    cells = frame(cell("hrp", None, status, "no rung held"))
    assert codes(cells) == [("WARN", "CELL_FAILED", "")]
    assert certification(cells, weight_sanity(cells, EXPECTED, RISK)) == (
        "DEGRADED",
        [f"native/hrp: {status}: no rung held"],
    )


def test_a_cell_in_cash_may_neither_hold_assets_nor_nothing() -> None:
    assert codes(frame(cell("hrp", {"A": 1.0}, "rejected"))) == [("ERROR", "CELL_UNEXPECTED", "A")]
    assert codes(frame(cell("hrp", None, "rejected"))) == [("ERROR", "OPTIMIZER_NOT_NORMALIZED", "")]


def test_a_row_that_says_a_wider_cap_than_the_manifest_is_found() -> None:
    planted = frame().with_columns(cap=pl.lit(1.0))
    assert {code for _, code, _ in codes(planted)} == {"CAP_UNKNOWN"}
    clustered = weight_sanity(frame(), EXPECTED, RISK.model_copy(update={"max_cluster_weight": 0.5}))
    assert {f.code for f in clustered} == {"CAP_UNKNOWN"}
    assert len(clustered) == 5, "the recipes that choose nothing have no cluster limit"


def test_the_engine_that_is_traded_has_to_solve_everything_as_well() -> None:
    cells = frame(
        *(cell(p, HELD, engine="skfolio") for p in RISK_PROFILES if p != "hrp"),
        cell("hrp", None, "failed", "died", "skfolio"),
    )
    cells = pl.concat([cells, frame()])
    assert certification(cells, [])[0] == "CERTIFIED"
    assert certification(cells, [], "skfolio") == ("DEGRADED", ["skfolio/hrp: failed: died"])


def test_an_error_or_an_absent_profile_degrades() -> None:
    error = Finding("ERROR", "LONG_MISMATCH", "A", "planted")
    assert certification(frame(), [error]) == ("DEGRADED", ["LONG_MISMATCH A: planted"])
    assert certification(frame(), [Finding("WARN", "ENGINES_DISAGREE", "", "planted")])[0] == "CERTIFIED"
    without = frame().filter(pl.col("profile") != "market")
    assert certification(without, []) == ("DEGRADED", ["native/market: no cell"])
    assert certification(frame().clear(), [])[0] == "DEGRADED"
