import numpy as np
import polars as pl
import pytest

from sleevegraph.child_figures import bounds, joins, lost_too_much
from sleevegraph.manifest import MetaProfile
from sleevegraph.meta_book import WEIGHTS_SCHEMA, held_rows
from sleevegraph.projection import project_bounded_simplex

META = MetaProfile(name="meta", children=("a", "b", "c"), weight_min=0.1, weight_max=0.6)


def rows(**changes: object) -> pl.DataFrame:
    """One risk profile; a change is a value for all children or a list of one each."""
    usual = {"profile": "hrp", "child": ["a", "b", "c"], "rows_used": 60, "rows_lost": 40, "lost_share": 0.4}
    usual |= {"rows_missing": [30, 0, 40], "weight": [0.2, 0.3, 0.5], "unbounded": [0.2, 0.3, 0.5], **changes}
    return pl.DataFrame({**dict.fromkeys(WEIGHTS_SCHEMA), **usual}, schema=WEIGHTS_SCHEMA)


def test_lost_days_name_the_children_that_lack_them_most_first() -> None:
    assert joins(rows()).row(0) == ("hrp", 60, 40, 0.4, "c (40), a (30)")
    assert joins(rows(rows_missing=[0, 0, 0])).row(0)[-1] == ""


def test_of_many_children_the_first_few_are_named_and_the_others_counted() -> None:
    names = [f"s{i}" for i in range(9)]
    many = {name: [rows()[name][0]] * 9 for name in WEIGHTS_SCHEMA} | {"child": names, "rows_missing": range(9)}
    text = joins(pl.DataFrame(many, schema=WEIGHTS_SCHEMA))["lost_for"][0]
    assert text == "s8 (8), s7 (7), s6 (6), s5 (5), s4 (4), 3 more"


def test_a_join_that_loses_more_than_the_meta_lets_pass_is_said() -> None:
    said = ["hrp: the join of dates lost 40 of 100 days (40%), for lack of c (40), a (30)"]
    assert lost_too_much(rows(), META.model_copy(update={"max_rows_lost": 0.39})) == said
    assert lost_too_much(rows(), META.model_copy(update={"max_rows_lost": 0.4})) == []


@pytest.mark.parametrize(
    ("unbounded", "at_min", "at_max"),
    [
        ([0.2, 0.3, 0.5], [], []),
        ([0.6, 0.3, 0.1], [], []),
        ([0.0, 0.2, 0.8], ["a"], ["c"]),
        ([0.02, 0.49, 0.49], ["a"], []),
        ([0.15, 0.15, 0.7], [], ["c"]),
        ([1.0, 0.0, 0.0], [], ["a"]),
    ],
)
def test_bounds_that_bind_are_named_with_how_far_they_moved_the_weights(
    unbounded: list[float], at_min: list[str], at_max: list[str]
) -> None:
    weights = project_bounded_simplex(np.array(unbounded), 0.1, 0.6) if at_min or at_max else np.array(unbounded)
    profile, moved, *binding = bounds(rows(weight=weights, unbounded=unbounded), META).row(0)
    assert (profile, binding) == ("hrp", [at_min, at_max])
    assert moved == pytest.approx(np.linalg.norm(weights - unbounded), abs=1e-15)


def test_weights_that_are_held_over_were_moved_by_the_market_and_by_no_bound() -> None:
    held = held_rows({"hrp": {"a": 0.1, "b": 0.3, "c": 0.6}}, "a reason")
    assert bounds(held, META).row(0) == ("hrp", None, [], [])
    assert joins(held).row(0) == ("hrp", 0, 0, 0.0, "")
    assert lost_too_much(held, META) == []
