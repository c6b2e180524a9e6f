"""Symbols by months as a picture: how much of what there should be is there."""

from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any, Final, Literal
from warnings import catch_warnings, filterwarnings

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHADES: Final = (
    (0.0, "#67001f", "0 %"),
    (0.5, "#d6604d", "≤ 50 %"),
    (0.9, "#f4a582", "≤ 90 %"),
    (0.99, "#fddbc7", "≤ 99 %"),
    (np.inf, "#a6cfe3", "< 100 %"),
    (np.inf, "#2f79b5", "100 %"),
)
"""Up to which share a colour goes. Only a whole month has the last one: one bar of a month of minutes is less than any
bound can tell. Colour-blind people tell warm from blue, and the warm ones are the darker the worse."""
NOT_LISTED: Final = "#eeeeee"
LABELS: Final = 30
"""Symbols named at the side; all where there are no more."""
MONTH_LABELS: Final = 14
MONTHS_APART: Final = (1, 2, 3, 6, 12, 24)
NAME_LENGTH: Final = 18
"""Characters of a symbol that there is room for."""
_WIDTH, _LEFT, _RIGHT = 9.0, 0.14, 0.83
_TOP, _FOOT = 0.55, 0.65
"""Inches above and below the cells."""
_TALLEST, _ROW, _DPI = 9.0, 0.17, 130
_BAR = 1.5
_GREY: Final = "#444444"
_SETTINGS: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "coverage",
    "text.parse_math": False,
    "font.family": "sans-serif",
}
_BARE: Final[Mapping[str, Mapping[str, None]]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


def coverage_picture(matrix: pl.DataFrame, title: str, form: Literal["png", "svg"]) -> bytes:
    """Draw a coverage matrix, the same bytes for the same frame.

    Parameters
    ----------
    matrix
        [symbol, month, share] of the months of each symbol's life; rows are drawn in the order of the symbols.
    title
        One line above it.
    form
        The bytes' format.
    """
    # Slow to import, and who only wants figures draws nothing.
    from matplotlib import rc_context, rcdefaults, rcParams  # noqa: PLC0415 - as said
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as said
    from matplotlib.figure import Figure  # noqa: PLC0415 - as said

    symbols = matrix["symbol"].unique(maintain_order=True).to_list()
    cells, months = _cells(matrix, symbols)
    # Every symbol has a pixel of its own, however many there are.
    tall = max(min(_TALLEST, max(2.2, _ROW * len(symbols))), len(symbols) / _DPI)
    height = tall + _TOP + _FOOT
    settings: Any = dict(_SETTINGS)
    with rc_context():
        rcdefaults()  # whatever a user's own settings are
        rcParams.update(settings)
        figure = Figure(figsize=(_WIDTH, height))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((_LEFT, _FOOT / height, _RIGHT - _LEFT, tall / height))
        _draw(axes, cells)
        _label(axes, symbols, months)
        _legend(figure, height)
        figure.text(0.01, 1.0 - 0.25 / height, title, fontsize=10, va="center")
        buffer = BytesIO()
        with catch_warnings():
            # Of characters that its font lacks; it draws a square, and who opens an SVG has fonts of their own.
            filterwarnings("ignore", message="Glyph", category=UserWarning)
            figure.savefig(buffer, format=form, dpi=_DPI, metadata=_BARE[form])
    return buffer.getvalue()


def _cells(matrix: pl.DataFrame, symbols: Sequence[str]) -> tuple[NDArray[np.int64], list[date]]:
    """Number of the shade by symbol and month, -1 where not listed; and the months without a hole."""
    months = matrix.select(pl.date_range(pl.col("month").min(), pl.col("month").max(), "1mo"))["month"]
    cells = np.full((len(symbols), len(months)), -1, dtype=np.int64)
    row = matrix["symbol"].replace_strict(symbols, list(range(len(symbols)))).to_numpy()
    column = matrix["month"].replace_strict(months, list(range(len(months)))).to_numpy()
    share = matrix["share"].to_numpy()
    bounds = [bound for bound, _, _ in SHADES[:-1]]
    cells[row, column] = np.where(share < 1.0, np.searchsorted(bounds, share), len(SHADES) - 1)
    return cells, months.to_list()


def _draw(axes: Any, cells: NDArray[np.int64]) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap  # noqa: PLC0415 - as above

    colours = ListedColormap([NOT_LISTED, *(colour for _, colour, _ in SHADES)])
    norm = BoundaryNorm(np.arange(-1.5, len(SHADES)), colours.N)
    axes.imshow(cells, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    for side in axes.spines.values():
        side.set_visible(False)


def _label(axes: Any, symbols: Sequence[str], months: Sequence[date]) -> None:
    rows = np.unique(np.linspace(0, len(symbols) - 1, min(len(symbols), LABELS)).round().astype(int)).tolist()
    names = [_name(symbols[i]) for i in rows]
    axes.set_yticks(rows, names, fontsize=7, color=_GREY)
    apart = next((n for n in MONTHS_APART if len(months) <= n * MONTH_LABELS), MONTHS_APART[-1])
    columns = [i for i, month in enumerate(months) if (month.month - 1 + 12 * month.year) % apart == 0]
    axes.set_xticks(columns, [f"{months[i]:%Y-%m}" for i in columns], fontsize=7, color=_GREY, rotation=40, ha="right")
    axes.tick_params(length=2, color=_GREY)


def _name(symbol: str) -> str:
    """Without its exchange, cut where it would leave the picture."""
    ticker = symbol.rsplit(":", maxsplit=1)[-1]
    return ticker if len(ticker) <= NAME_LENGTH else f"{ticker[: NAME_LENGTH - 1]}…"


def _legend(figure: Any, height: float) -> None:
    """A bar of the shades with the share that each stands for, and what is in none of them."""
    top = 1.0 - (_TOP + 0.2) / height
    figure.text(_RIGHT + 0.025, top + 0.06 / height, "of the rows expected", fontsize=7, color=_GREY)
    shades = [(i, text) for i, (_, _, text) in enumerate(SHADES)]
    _key(figure, shades[::-1], top - _BAR / height, _BAR / height)
    _key(figure, [(-1, "not listed")], top - (_BAR + 0.35) / height, _BAR / height / len(SHADES))


def _key(figure: Any, shades: Sequence[tuple[int, str]], bottom: float, tall: float) -> None:
    axes = figure.add_axes((_RIGHT + 0.025, bottom, 0.022, tall))
    _draw(axes, np.array([[shade] for shade, _ in shades]))
    axes.set_xticks([])
    axes.set_yticks(range(len(shades)), [text for _, text in shades], fontsize=7, color=_GREY)
    axes.yaxis.tick_right()
    axes.tick_params(length=0)
