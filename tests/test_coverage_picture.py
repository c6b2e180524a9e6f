"""The picture of a coverage, by its pixels."""

from datetime import date
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from sleevegraph import coverage_picture as drawn
from sleevegraph.coverage_picture import NOT_LISTED, SHADES, coverage_picture

MONTHS = [date(2023, 1, 1), date(2023, 2, 1), date(2023, 3, 1), date(2023, 4, 1)]
WHOLE, NOTHING = SHADES[-1][1], SHADES[0][1]
MATRIX = pl.DataFrame(
    [
        *(("X:OLD", month, share) for month, share in zip(MONTHS, (1.0, 0.0, 0.999999, 1.0), strict=True)),
        *(("X:MID", month, share) for month, share in zip(MONTHS[:3], (0.5, 0.51, 0.9), strict=True)),
        ("X:NEW", MONTHS[3], 0.95),
    ],
    schema={"symbol": pl.String(), "month": pl.Date(), "share": pl.Float64()},
    orient="row",
)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(imread(BytesIO(content), format="png"))[..., :3]


def middles(content: bytes, rows: int, columns: int) -> list[list[str]]:
    """Colour at the middle of every cell."""
    image = pixels(content)
    high, wide = image.shape[:2]
    top, foot = drawn._TOP * drawn._DPI, high - drawn._FOOT * drawn._DPI
    left, right = drawn._LEFT * wide, drawn._RIGHT * wide
    known = {tuple(np.round(np.array(to_rgb(c)) * 255).astype(int)): c for c in (NOT_LISTED, *(s[1] for s in SHADES))}
    return [
        [
            known[
                tuple(
                    np.round(
                        image[
                            int(top + (foot - top) * (row + 0.5) / rows),
                            int(left + (right - left) * (c + 0.5) / columns),
                        ]
                        * 255
                    ).astype(int)
                )
            ]
            for c in range(columns)
        ]
        for row in range(rows)
    ]


def test_every_cell_has_the_colour_of_its_share() -> None:
    nothing, half, ninety, more, nearly, all_of_it = (colour for _, colour, _ in SHADES)
    assert middles(coverage_picture(MATRIX, "title", "png"), 3, 4) == [
        [all_of_it, nothing, nearly, all_of_it],
        [half, ninety, ninety, NOT_LISTED],
        [NOT_LISTED, NOT_LISTED, NOT_LISTED, more],
    ]


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_matrix_gives_the_same_bytes(form: str) -> None:
    first = coverage_picture(MATRIX, "title", form)
    coverage_picture(MATRIX.head(2), "another", form)
    assert coverage_picture(MATRIX, "title", form) == first


def test_names_months_and_legend_stand_in_the_picture() -> None:
    text = coverage_picture(MATRIX, "daily_bars: <3> symbols", "svg").decode()
    said = ("OLD", "MID", "NEW", "2023-01", "2023-04", "not listed", "100 %", "&lt;3&gt; symbols")
    assert [word for word in said if f">{word}<" not in text and word not in text] == []


def test_names_in_any_script_and_of_any_length_disturb_nothing(recwarn: pytest.WarningsRecorder) -> None:
    names = {"X:OLD": "X:币安人生USDT", "X:MID": "X:" + "A" * 40, "X:NEW": "X:$a_b$USDT"}
    matrix = MATRIX.with_columns(pl.col("symbol").replace(names))
    coverage_picture(matrix, "title", "png")
    text = coverage_picture(matrix, "title", "svg").decode()
    assert "币安人生USDT" in text
    assert "$a_b$USDT" in text
    assert "A" * 17 + "…" in text
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_single_hole_among_a_thousand_symbols_is_seen() -> None:
    symbols = [f"S{i:04d}" for i in range(1500)]
    matrix = pl.DataFrame({"symbol": symbols}).join(pl.DataFrame({"month": MONTHS}), how="cross")
    hole = (pl.col("symbol") == "S0777") & (pl.col("month") == MONTHS[2])
    shares = matrix.with_columns(share=pl.when(hole).then(0.0).otherwise(1.0))
    image = pixels(coverage_picture(shares, "title", "png"))
    cells = image[:, : int(drawn._RIGHT * image.shape[1])]
    assert (np.abs(cells - np.array(to_rgb(NOTHING))).max(axis=2) < 0.01).sum() > 100
