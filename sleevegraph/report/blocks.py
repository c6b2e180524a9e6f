"""What a section is made of, before it becomes HTML: tables, pictures, lists and sentences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import fsum, isfinite
from typing import ClassVar, Literal

from sleevegraph.fate import MINUS
from sleevegraph.report.figures import Chart

Tone = Literal["", "attention", "warning", "good", "muted"]

MISSING = "\N{EN DASH}"
NARROW = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a bar; `left` and `width` are percentages of its cell."""

    left: float
    width: float
    colour: int
    """Index into the page's palette; the last one stands for all others."""
    hatched: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    number: bool = False
    """Right-aligned, in figures of one width."""
    tone: Tone = ""
    bars: tuple[Bar, ...] = ()
    shade: int | None = None
    """Colour of a matrix cell: sign and strength in tenths."""
    indent: int = 0
    zero: float | None = None
    """Where the zero line of the bars stands, in percent."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading."""

    text: str
    number: bool = False
    swatch: int | None = None
    """Colour of this column's pieces in bars."""
    wide: bool = False
    """Takes the width that is left."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first cell of a row is its heading."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    foot: tuple[tuple[Cell, ...], ...] = ()
    small: bool = False
    """Many narrow columns."""
    fit: bool = False
    """As wide as its content, where a full line would only pull it apart."""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart and what stands below it."""

    chart: Chart
    caption: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True, slots=True)
class Names:
    """A list that is folded on a screen and open in print."""

    summary: str
    names: tuple[str, ...]
    kind: ClassVar[str] = "names"


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence or two."""

    text: str
    tone: Tone = ""
    kind: ClassVar[str] = "text"


Block = Table | Picture | Names | Text


@dataclass(frozen=True, slots=True)
class Section:
    """One numbered section."""

    key: str
    """Its anchor."""
    title: str
    says: str
    """One sentence: what it shows and what to look for."""
    blocks: tuple[Block, ...] = ()
    attention: tuple[str, ...] = ()
    """What nobody should overlook; repeated at the top of the page."""


def missing(key: str, title: str, says: str, why: str) -> Section:
    """A section without its data, and why."""
    return Section(key, title, says, (Text(f"Nothing to show: {why}.", "muted"),))


def text(value: object, tone: Tone = "", indent: int = 0) -> Cell:
    """A cell of words."""
    return Cell(MISSING if value is None or value == "" else str(value), tone=tone, indent=indent)


def percent(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    """A share with two decimals and a true minus sign; a dash where there is none."""
    if value is None:
        return MISSING
    if not isfinite(value):
        return str(value).replace("-", MINUS)
    shown = f"{100.0 * value:{'+' if sign else ''},.{digits}f}"
    shown = shown.lstrip("+-") if not float(shown.replace(",", "")) else shown  # no sign on what is shown as zero
    return f"{shown}{NARROW}%".replace("-", MINUS)


def number(value: float | None, form: str = ",.2f") -> str:
    """A number in a format, with a true minus sign; a dash where there is none."""
    return MISSING if value is None else f"{value:{form}}".replace("-", MINUS)


def share(value: float | None, tone: Tone = "", *, sign: bool = False) -> Cell:
    """A cell with a percentage."""
    return Cell(percent(value, sign=sign), number=True, tone=tone)


def figure(value: float | None, form: str = ",.2f", tone: Tone = "") -> Cell:
    """A cell with a number."""
    return Cell(number(value, form), number=True, tone=tone)


def stacked(pieces: Iterable[tuple[float, int, bool]], low: float, high: float) -> Cell:
    """A cell with signed pieces (value, colour, hatched), positive to the right of zero, negative to the left.

    `low` <= 0 <= `high` are the ends of the axis that all cells of the column share.
    """
    span = (high - low) or 1.0
    zero = -low / span
    ends, bars = {1: zero, -1: zero}, []
    for value, colour, hatched in pieces:
        side, width = (1 if value > 0 else -1), abs(value) / span
        left = ends[side] if side > 0 else ends[side] - width
        ends[side] += side * width
        if width:
            bars.append(Bar(round(100.0 * left, 2), round(100.0 * width, 2), colour, hatched))
    return Cell("", bars=tuple(bars), zero=round(100.0 * zero, 2))


def effective_number(weights: Iterable[float]) -> float | None:
    """1 / sum of squared shares of |w|: how many equal weights would be as concentrated; None without any."""
    sizes = [abs(weight) for weight in weights]
    total = fsum(sizes)
    return total * total / fsum(size * size for size in sizes) if total else None


def shared_prefix(names: Sequence[str]) -> str:
    """The words that all names begin with, with the underscore after them; empty for a single name."""
    if len(names) < 2:  # noqa: PLR2004 - one name shares nothing
        return ""
    words = zip(*(name.split("_") for name in names), strict=False)
    begin = [word[0] for word in takewhile(lambda word: len(set(word)) == 1, words)]
    return "_".join(begin) + "_" if begin else ""


def short(names: Sequence[str]) -> dict[str, str]:
    """Names without what they all begin with."""
    prefix = shared_prefix(names)
    return {name: name.removeprefix(prefix) or name for name in names}


def ticker(symbol: str) -> str:
    """A symbol without its exchange, which the head of the page names."""
    return symbol.rpartition(":")[2]


def listed(book: Mapping[str, float]) -> list[tuple[str, float]]:
    """Positions, the largest first, then by name."""
    return sorted(book.items(), key=lambda item: (-abs(item[1]), item[0]))
