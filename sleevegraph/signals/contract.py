"""What a signal is: asked with the bars before P, it answers one finite score for each symbol that it knows."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from inspect import unwrap
from types import CodeType
from typing import Any

import polars as pl

from sleevegraph.errors import SignalError

ENTRY_POINTS = "sleevegraph.signals"
"""Entry point group of signals that other distributions add."""

SCHEMA = pl.Schema({"symbol": pl.String(), "score": pl.Float64()})

Score = Callable[[pl.DataFrame, date], pl.DataFrame]
"""From the bars before P, and P, to `SCHEMA` rows sorted by symbol; SignalError where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A signal that a user's function computes: `signal(bars: LazyFrame, at: date, **parameters) -> DataFrame`."""

    where: str
    """Whose it is, as it stands in errors."""
    name: str
    """Of the function in its file."""
    file: str
    """As it stands in errors."""
    path: str
    """Of the file, as tracebacks have it."""
    source: str
    """SHA-256 of the file."""
    load: Callable[[], Callable[..., object]]
    """The function out of a module that was executed anew, so that nothing in it is remembered."""
    contained: Callable[[], AbstractContextManager[None]]
    """Where it is called: SignalError, with its place in the file, for whatever it raises."""
    parameters: Mapping[str, int | float | str | bool] = field(default_factory=dict)

    @property
    def rules(self) -> Mapping[str, Any]:
        """The file's content, the function's name and its parameters: not where the file lies."""
        return {
            "signal.function": self.name,
            "signal.source": self.source,
            "signal.parameters": dict(self.parameters),
        }

    def opened(self) -> Score:
        """Execute the file anew."""
        function = self.load()
        place = self._place(function)

        def score(bars: pl.DataFrame, at: date) -> pl.DataFrame:
            try:
                with self.contained():
                    answer = function(bars.lazy(), at, **self.parameters)
            except SignalError as error:
                raise SignalError(f"{self.where}: {error}") from error
            return accepted(answer, bars, at, f"{self.where}: {place}: {self.name}")

        return score

    def _place(self, function: Callable[..., object]) -> str:
        try:
            with self.contained():  # an object answers for its attributes by code of its own
                line = line_of(function, self.path)
        except SignalError:
            line = None
        return f"{self.file}:{line}" if line else self.file


def line_of(function: Callable[..., object], path: str) -> int | None:
    """Where a function, or what an object of a class does when it is called, begins in the file; None where not in it."""
    method = vars(type(function)).get("__call__")
    codes = (getattr(found, "__code__", None) for found in (unwrap(function), method))
    inside = (code for code in codes if isinstance(code, CodeType) and code.co_filename == path)
    return next((code.co_firstlineno for code in inside), None)


def printable(text: str) -> str:
    """Escape what would break a line or what no encoding takes: symbols and messages are the user's own text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def accepted(answer: object, bars: pl.DataFrame, at: date, where: str) -> pl.DataFrame:
    """`SCHEMA` rows of what a function returned, sorted by symbol; SignalError, naming `where`, where they are none.

    `bars` say which symbols are known: those with a bar before `at`. Columns beside symbol, score and date are ignored.
    """
    if not isinstance(answer, pl.DataFrame):
        raise SignalError(f"{where}: expected a polars DataFrame, found {_kind(answer)}; return one")
    missing = [name for name in SCHEMA if name not in answer.columns]
    if missing:
        raise SignalError(f"{where}: {missing[0]}: expected a column of that name, found {answer.columns}; add it")
    if answer.is_empty():
        raise SignalError(f"{where}: expected scores, found an empty frame; return a score for at least one symbol")
    if answer.schema["symbol"] != pl.String or not answer.schema["score"].is_numeric():
        found = f"{answer.schema['symbol']} and {answer.schema['score']}"
        raise SignalError(f"{where}: expected symbols as text and scores as numbers, found {found}; cast them")
    _require_past(answer, at, where)
    scores = answer.select("symbol", pl.col("score").cast(pl.Float64))
    broken = scores.filter(pl.col("symbol").is_null() | ~pl.col("score").is_finite().fill_null(value=False))
    _refuse(broken, scores, where, "a finite score", "leave the symbol out")
    _refuse(scores.filter(pl.col("symbol").is_duplicated()), scores, where, "one score", "keep one of them")
    known = bars.lazy().filter(pl.col("date") < at).select("symbol").unique().collect()
    unknown = scores.join(known, on="symbol", how="anti", maintain_order="left")
    _refuse(unknown, scores, where, f"a symbol with a bar before {at}", "answer symbols as they stand in the bars")
    return scores.sort("symbol")


def _kind(answer: object) -> str:
    kind = type(answer)
    return "nothing" if answer is None else f"a {kind.__module__.split('.')[0]} {kind.__name__}"


def _require_past(answer: pl.DataFrame, at: date, where: str) -> None:
    if "date" not in answer.columns:
        return
    if answer.schema["date"] != pl.Date:  # a time of day would be another day's somewhere
        raise SignalError(f"{where}: date: expected dates, found type {answer.schema['date']}; cast or drop the column")
    late = answer.filter((pl.col("date") >= at).fill_null(value=True))
    if late.height:
        symbol, day = late.select("symbol", pl.col("date").cast(pl.String)).row(0)
        found = f"{day}: scores after at ({late.height} of {answer.height} rows)"
        raise SignalError(
            f"{where}: {printable(str(symbol))}: expected scores dated before {at}, found {found}; answer only what is "
            f"known before at"
        )


def _refuse(broken: pl.DataFrame, scores: pl.DataFrame, where: str, expected: str, remedy: str) -> None:
    if broken.height:
        symbol, score = broken.row(0)
        raise SignalError(
            f"{where}: {printable(str(symbol))}: expected {expected}, found {'null' if score is None else score} "
            f"({broken.height} of {scores.height} rows); {remedy}"
        )
