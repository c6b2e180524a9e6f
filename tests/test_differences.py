"""Where two values, frames or files first differ, on differences that are known."""

import json
from io import BytesIO

import polars as pl
import pytest

from sleevegraph.audit.differences import file_difference, frame_difference, value_difference

CELLS = pl.DataFrame(
    {
        "engine": ["native", "native", "skfolio"],
        "profile": ["hrp", "market", "hrp"],
        "solve_ms": [1.0, 2.0, 3.0],
        "objective": [0.1, float("nan"), 0.3],
        "weights": [[{"symbol": "A", "weight": 0.25}], [], [{"symbol": "B", "weight": 0.5}]],
    }
)


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("found", "rebuilt", "text"),
    [
        ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2.0}]}, ""),
        ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2.5}]}, "a[1].b: found 2.0, rebuilt 2.5"),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, "a: found 1, rebuilt 2"),
        ({"a": 1}, {}, "a: found 1, rebuilt nothing"),
        ([1], [1, 2], "[1]: found nothing, rebuilt 2"),
        ({"a": 1}, {"a": True}, "a: found 1, rebuilt True"),
        ({"a": None}, {}, "a: found None, rebuilt nothing"),
        ({"a": 0.1}, {"a": 0.1 + 2**-56}, "a: found 0.1, rebuilt 0.10000000000000002"),
        ({"a": 0.0}, {"a": -0.0}, "a: found 0.0, rebuilt -0.0"),
        ("x" * 100, "y", f"found '{'x' * 59}…, rebuilt 'y'"),
    ],
)
def test_the_first_place_of_two_documents_is_named(found: object, rebuilt: object, text: str) -> None:
    assert value_difference(found, rebuilt) == text


def test_equal_frames_do_not_differ_not_even_in_a_value_that_is_no_number() -> None:
    assert frame_difference(CELLS, CELLS.clone()) == ""


def test_telemetry_is_no_difference() -> None:
    assert frame_difference(CELLS, CELLS.with_columns(solve_ms=pl.lit(9.0))) == ""


def test_a_cell_is_named_by_engine_and_profile() -> None:
    other = CELLS.with_columns(objective=pl.when(pl.col("engine") == "skfolio").then(0.4).otherwise("objective"))
    assert frame_difference(CELLS, other) == (
        "1 of 3 rows differ (skfolio/hrp), first row 2 (engine skfolio, profile hrp): objective: found 0.3, rebuilt 0.4"
    )


def test_a_weight_within_a_row_is_named() -> None:
    other = CELLS.with_columns(
        weights=pl.Series([[{"symbol": "A", "weight": 0.26}], [], [{"symbol": "B", "weight": 0.5}]])
    )
    assert "weights[0].weight: found 0.25, rebuilt 0.26" in frame_difference(CELLS, other)


def test_the_sign_of_a_zero_is_a_difference() -> None:
    assert "net: found 0.0, rebuilt -0.0" in frame_difference(
        pl.DataFrame({"net": [0.0]}), pl.DataFrame({"net": [-0.0]})
    )


def test_a_row_more_or_less_is_counted() -> None:
    which = "first row 2 (engine skfolio, profile hrp)"
    assert (
        frame_difference(CELLS.head(2), CELLS) == f"1 of 2 rows, rebuilt 3 differ (skfolio/hrp), {which}: rebuilt only"
    )
    assert frame_difference(CELLS, CELLS.head(2)) == f"1 of 3 rows, rebuilt 2 differ (skfolio/hrp), {which}: found only"


def test_other_columns_are_named() -> None:
    assert frame_difference(CELLS, CELLS.drop("profile")).startswith("columns: [1]: found 'profile String'")


def test_equal_bytes_do_not_differ() -> None:
    assert file_difference("data/x.json", b"{", b"{", trusted=False) == ""


def test_a_document_is_compared_by_its_values_and_by_its_bytes_when_those_are_equal() -> None:
    found, rebuilt = json.dumps({"a": 1}).encode(), json.dumps({"a": 2}).encode()
    assert file_difference("data/x.json", found, rebuilt, trusted=True) == "a: found 1, rebuilt 2"
    assert file_difference("data/x.json", found, found + b" ", trusted=True).startswith(
        "byte 8 (line 1): found the end"
    )
    assert file_difference("data/x.json", b"{", b"{}", trusted=True).startswith("byte 1 (line 1)")


def test_a_matrix_is_read_only_when_it_is_the_one_that_the_ledger_names() -> None:
    found, rebuilt = parquet(CELLS), parquet(CELLS.with_columns(objective=pl.lit(1.0)))
    assert "objective: found 0.1, rebuilt 1.0" in file_difference("data/x.parquet", found, rebuilt, trusted=True)
    assert file_difference("data/x.parquet", found, rebuilt, trusted=False).startswith("byte ")


def test_a_page_is_compared_by_bytes_and_a_missing_file_by_its_absence() -> None:
    assert file_difference("reports/x.html", b"a\nbc", b"a\nbd", trusted=True) == (
        "byte 3 (line 2): found b'c', rebuilt b'd'"
    )
    assert file_difference("reports/x.html", None, b"abc", trusted=False) == "found no such file, rebuilt 3 bytes"
