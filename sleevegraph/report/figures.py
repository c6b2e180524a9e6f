"""Pictures over time as SVG: fixed positions and labels beside the lines, so that a page costs milliseconds."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from io import BytesIO, StringIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sleevegraph.fate import MINUS

Floats = NDArray[np.float64]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8A7A00", "#777777", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart; the eighth is for all others, the last for the benchmark."""
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (4, 1.5),
    (1, 1.5),
    (6, 1.5, 1, 1.5),
    (),
    (4, 1.5),
    (1, 1.5),
    (2, 2),
    (5, 2),
)
"""Of each colour a line pattern, for grey print."""
GREY, PALE = "#555555", "#d9d9d9"
WIDTH = 7.2
"""Inches: the text width of an A4 page."""
_LEFT, _RIGHT = 0.065, 0.80
_FONT = {"fontsize": 7, "color": GREY}
_SVG: Mapping[str, Any] = {"format": "svg", "metadata": {"Date": None, "Creator": None, "Format": None, "Type": None}}
_SETTINGS: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.5,
    "text.parse_math": False,
    "font.family": "sans-serif",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one band."""

    label: str
    values: Floats
    """One per date; NaN where there is none."""
    colour: int
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Series over the same dates, drawn into one pair of axes."""

    title: str
    series: Sequence[Series]
    form: str
    """Format of the axis."""
    label: str
    """Format of the last value beside a name."""
    shape: Literal["lines", "bands"] = "lines"
    share: float = 1.0
    """Of the picture's height."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels one below the other over the same dates."""

    key: str
    """Makes its ids different from those of any other picture on the page."""
    title: str
    description: str
    """What a reader who cannot see it should know."""
    dates: Sequence[date]
    panels: Sequence[Panel]
    height: float
    """Inches."""
    width: float = WIDTH


def svg(chart: Chart) -> str:
    """The chart as an SVG element, the same bytes for the same chart."""
    buffer = StringIO()
    _save(chart, lambda figure: figure.savefig(buffer, **_SVG))
    return _inline(buffer.getvalue(), chart)


def png(chart: Chart) -> bytes:
    """The chart as a small PNG."""
    buffer = BytesIO()
    _save(chart, lambda figure: figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None}))
    return buffer.getvalue()


def _save(chart: Chart, save: Callable[[Any], None]) -> None:
    # Slow to import, and who only reads facts draws nothing.
    from matplotlib import rc_context, rcdefaults, rcParams  # noqa: PLC0415 - as said
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as said
    from matplotlib.figure import Figure  # noqa: PLC0415 - as said

    settings: Any = {**_SETTINGS, "svg.hashsalt": chart.key}
    with rc_context():
        rcdefaults()  # whatever a user's own settings are
        rcParams.update(settings)
        figure = Figure(figsize=(chart.width, chart.height))
        FigureCanvasAgg(figure)
        gap, foot = 0.24 / chart.height, 0.22 / chart.height
        room = 1.0 - foot - gap * len(chart.panels)
        top = 1.0
        for panel in chart.panels:
            tall = room * panel.share / sum(other.share for other in chart.panels)
            top -= gap + tall
            axes = figure.add_axes((_LEFT, top, _RIGHT - _LEFT, tall))
            _draw(axes, len(chart.dates), panel, tall * chart.height)
        _date_labels(figure, chart.dates, foot)
        save(figure)


def _draw(axes: Any, days: int, panel: Panel, inches: float) -> None:
    axes.set_axis_off()
    steps = np.arange(days, dtype=np.float64)
    low, high = _limits(panel)
    axes.set_xlim(0.0, max(days - 1.0, 1.0))
    axes.set_ylim(low, high)
    ticks = _ticks(low, high)
    axes.hlines(ticks, 0.0, max(days - 1.0, 1.0), colors=PALE, linewidth=0.5)
    for tick in ticks:
        axes.text(
            -0.008,
            (tick - low) / (high - low),
            _number(tick, panel.form),
            transform=axes.transAxes,
            ha="right",
            va="center",
            **_FONT,
        )
    axes.text(
        0.0, 1.0 + 0.05 / inches, panel.title, transform=axes.transAxes, fontsize=7.5, va="bottom", color="#222222"
    )
    if panel.shape == "bands":
        _bands(axes, steps, panel)
    else:
        for series in panel.series:
            width = 1.6 if series.strong else 0.9
            axes.plot(steps, series.values, color=COLOURS[series.colour], linewidth=width, dashes=DASHES[series.colour])
    _line_labels(axes, panel, low, high, inches)


def _bands(axes: Any, steps: Floats, panel: Panel) -> None:
    floor = np.zeros(len(steps))
    for series in panel.series:
        top = floor + np.nan_to_num(series.values)
        axes.fill_between(steps, floor, top, step="mid", color=COLOURS[series.colour], linewidth=0.0, alpha=0.85)
        floor = top


def _limits(panel: Panel) -> tuple[float, float]:
    if panel.shape == "bands":
        return 0.0, 1.0
    values = np.concatenate([series.values for series in panel.series] or [np.zeros(1)])
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as above

    return [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]


def _line_labels(axes: Any, panel: Panel, low: float, high: float, inches: float) -> None:
    """Names beside the ends of the lines, moved apart where they would cover one another."""
    if panel.shape == "bands":
        tops = np.cumsum([np.nan_to_num(series.values[-1]) for series in panel.series])
        ends = [
            float(top) - 0.5 * float(np.nan_to_num(s.values[-1])) for top, s in zip(tops, panel.series, strict=True)
        ]
    else:
        ends = [(_last(series.values) - low) / (high - low) for series in panel.series]
    order = sorted(range(len(ends)), key=lambda i: (ends[i], i))
    apart, places, floor = 0.115 / inches, {}, -1.0
    for i in order:
        floor = places[i] = max(ends[i], floor + apart)
    down = max(0.0, floor - 1.0)
    for i in reversed(order):  # what was pushed above the frame pushes those below it down again
        places[i] = min(places[i], 1.0 - apart * (len(order) - 1 - order.index(i))) if down else places[i]
    for i, series in enumerate(panel.series):
        text = f"{series.label} {_number(_last(series.values), panel.label)}"
        weight = "bold" if series.strong else "normal"
        axes.text(
            1.01,
            places[i],
            text,
            transform=axes.transAxes,
            fontsize=7,
            va="center",
            color=COLOURS[series.colour],
            fontweight=weight,
        )


def _number(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", MINUS)


def _last(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else 0.0


def _date_labels(figure: Any, dates: Sequence[date], foot: float) -> None:
    shown = np.unique(np.linspace(0, len(dates) - 1, min(6, len(dates))).round().astype(int))
    for i in shown.tolist():
        place = _LEFT + (_RIGHT - _LEFT) * i / max(len(dates) - 1, 1)
        figure.text(place, 0.5 * foot, str(dates[i]), ha="center", va="center", **_FONT)


_TAGS = re.compile(r"(>[^<]*<)")
_TRIMMED = (
    (re.compile(r"; font-family: [^;\"]*|font-family: [^;\"]*; ?"), ""),  # the page has its own
    (re.compile(r' transform="rotate\(-?0 [^"]*\)"'), ""),
    (re.compile(r"(-?\d+\.\d)\d+"), r"\1"),  # a tenth of a point is finer than print
    (re.compile(r"(\d)\.0(?!\d)"), r"\1"),
    (re.compile(r'^g id="[^"]*"$'), "g"),
    (re.compile(r"\s*\n\s*"), ""),
    (re.compile(r"(?<=[\d\"])\s*([LMz])\s*"), r"\1"),
)
"""What is cut from the tags of matplotlib's SVG, which repeats itself for readers that a page does not have."""


def _inline(drawn: str, chart: Chart) -> str:
    """Only the element, with a title and a description for those who cannot see it."""
    parts = _TAGS.split(drawn[drawn.index("<defs>") :])
    for pattern, short in _TRIMMED:
        parts[::2] = [pattern.sub(short, tag) for tag in parts[::2]]
    body = "".join(part if i % 2 == 0 else f">{part[1:-1].strip()}<" for i, part in enumerate(parts))
    size = re.search(r'viewBox="([^"]*)"', drawn)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{size.group(1) if size else ""}"'
    named = f'<title id="{chart.key}-t">{escape(chart.title)}</title><desc id="{chart.key}-d">{escape(chart.description)}</desc>'
    return f'{head} role="img" aria-labelledby="{chart.key}-t {chart.key}-d">{named}{body}'
