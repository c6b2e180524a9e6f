import polars as pl
import pytest

from sleevegraph.child_weights import child_weights
from sleevegraph.manifest import RISK_PROFILES, MetaProfile
from sleevegraph.meta_book import WEIGHTS_SCHEMA

META = MetaProfile(name="meta", children=("a", "b", "c"), weight_min=0.1, weight_max=0.6)
HRP = pl.col("profile") == "hrp"
A = HRP & (pl.col("child") == "a")


def rows() -> pl.DataFrame:
    weights = {"a": 0.2, "b": 0.2, "c": 0.6}
    unbounded = {"a": 0.15, "b": 0.15, "c": 0.7}
    found = [
        {"profile": p, "child": child, "weight": w, "unbounded": unbounded[child], "status": "native", "reason": ""}
        for p in RISK_PROFILES
        for child, w in weights.items()
    ]
    return pl.DataFrame([{**dict.fromkeys(WEIGHTS_SCHEMA), **row} for row in found], schema=WEIGHTS_SCHEMA)


def changed(column: str, where: pl.Expr, value: object) -> pl.DataFrame:
    other = value if isinstance(value, pl.Expr) else pl.lit(value)
    return rows().with_columns(pl.when(where).then(other).otherwise(column).alias(column))


def test_weights_of_every_child_within_the_bounds_are_sound() -> None:
    assert child_weights(rows(), META) == []
    assert child_weights(changed("weight", A, 0.2 + 5e-10), META) == []


@pytest.mark.parametrize(
    ("planted", "codes"),
    [
        (rows().filter(~HRP), ["PROFILE_MISSING"]),
        (changed("profile", HRP, "hrpp"), ["PROFILE_MISSING", "PROFILE_MISSING"]),
        (rows().filter(~A), ["CHILD_LOST", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("child", A, "z"), ["CHILD_LOST", "CHILD_UNKNOWN"]),
        (pl.concat([rows(), rows().filter(A)]), ["CHILD_DUPLICATE", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("status", A, "held"), ["STATUS_UNKNOWN"]),
        (changed("weight", A, float("nan")), ["WEIGHT_NOT_FINITE", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("weight", A, None), ["WEIGHT_NOT_FINITE", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("weight", A, 0.09), ["OUT_OF_BOUNDS", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("weight", HRP & (pl.col("child") == "c"), 0.61), ["OUT_OF_BOUNDS", "CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("weight", A, 0.2 + 1e-6), ["CHILD_WEIGHTS_NOT_NORMALIZED"]),
        (changed("unbounded", A, 0.15 + 1e-6), ["NOT_PROJECTED"]),
        (changed("unbounded", A, None), ["NOT_PROJECTED"]),
        (changed("unbounded", HRP, pl.col("weight") - 0.1), []),
        (
            changed("weight", HRP, pl.col("child").replace_strict({"a": 0.25, "b": 0.25, "c": 0.5})),
            ["NOT_PROJECTED"],
        ),
    ],
)
def test_each_defect_is_found_and_names_its_profile(planted: pl.DataFrame, codes: list[str]) -> None:
    found = child_weights(planted, META)
    assert [finding.code for finding in found] == codes
    assert {finding.level for finding in found} <= {"ERROR"}
    assert all(finding.message.startswith("hrp") for finding in found)


def test_a_join_that_lost_too_many_days_is_a_warning_that_blocks_nothing() -> None:
    lost = rows().with_columns(
        rows_used=79, rows_lost=21, lost_share=0.21, rows_missing=pl.when(A).then(21).otherwise(0)
    )
    allowed = META.model_copy(update={"max_rows_lost": 0.2})
    found = child_weights(lost, allowed)
    assert {(finding.level, finding.code) for finding in found} == {("WARN", "ROWS_LOST")}
    assert len(found) == len(RISK_PROFILES)
    assert "hrp: the join of dates lost 21 of 100 days (21%), for lack of a (21)" in [one.message for one in found]
    assert child_weights(lost, allowed.model_copy(update={"max_rows_lost": 0.21})) == []
