"""Whether a signal looks ahead: whatever comes from P on, and whatever it was asked before, its scores at P are the same.

A test can convict and never acquit. What makes it sound is that a decision hands out bars before P only; this finds the
functions that would use more if they could, and those that remember or draw lots. What they read from elsewhere, a file or
the network, is the same in every trial, so nothing here can tell what it knows.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.errors import SignalError
from sleevegraph.findings import Finding
from sleevegraph.signals import Function, Score, Signal
from sleevegraph.signals.noise import futures, scores_to_come
from sleevegraph.signals.table import Scores

LOOK_AHEAD, NOT_DETERMINISTIC = "LOOK_AHEAD", "NOT_DETERMINISTIC"

Trial = tuple[str, str, Score, pl.DataFrame]
"""Code of what a difference would be, how it was asked, whom, and with which bars."""


def look_ahead(signal: Signal, bars: pl.DataFrame, at: date, stored: pl.DataFrame) -> list[Finding]:
    """Ask a signal again at `at`, in other ways, and compare every answer with what is stored, to the bit.

    Parameters
    ----------
    signal
        What computed `stored`.
    bars
        Bars before `at`; what comes after is made up here.
    at
        The rebalance date P.
    stored
        [symbol, score] as they decide.

    Returns
    -------
    list of Finding
        `NOT_DETERMINISTIC` where the same question gives another answer, `LOOK_AHEAD` where the future, or having been
        asked about it before, does; at most one of each way of asking, with the first symbol and both values.
    """
    trials = _of_scores(signal, bars, at) if isinstance(signal, Scores) else _of_function(signal, bars, at)
    found = (_compared(trial, at, stored) for trial in trials)
    return [finding for finding in found if finding is not None]


def _of_function(signal: Function, bars: pl.DataFrame, at: date) -> Iterator[Trial]:
    known = bars.filter(pl.col("date") < at)
    score = signal.opened()
    yield NOT_DETERMINISTIC, "asked again", score, known
    yield NOT_DETERMINISTIC, "asked twice", score, known
    for name, frame in futures(bars, at):
        yield LOOK_AHEAD, f"with noise from {at} on ({name})", score, frame
    yield LOOK_AHEAD, "asked about a later rebalance before", _asked_later(signal, bars, at), known


def _asked_later(signal: Function, bars: pl.DataFrame, at: date) -> Score:
    later, score = at + timedelta(days=STEP_DAYS), signal.opened()
    for _, frame in futures(bars, at):
        try:
            score(frame.filter(pl.col("date") < later), later)
        except SignalError:
            continue  # a signal need not bear noise as its past; only what it answers at P counts
    return score


def _of_scores(signal: Scores, bars: pl.DataFrame, at: date) -> Iterator[Trial]:
    table = signal.read()
    yield NOT_DETERMINISTIC, "read again", signal.over(table), bars
    yield LOOK_AHEAD, f"with noise from {at} on", signal.over(scores_to_come(table, at)), bars


def _compared(trial: Trial, at: date, stored: pl.DataFrame) -> Finding | None:
    code, how, score, bars = trial
    remedy = f"use only bars dated before {at}" if code == LOOK_AHEAD else "the same bars must give the same scores"
    try:
        answer = score(bars, at)
    except SignalError as error:
        return Finding("ERROR", code, "", f"{how}: expected the stored scores, found none: {error}; {remedy}")
    both = stored.join(answer, on="symbol", how="full", coalesce=True, suffix="_found").sort("symbol")
    differing = both.filter(pl.col("score").ne_missing(pl.col("score_found")))
    if differing.is_empty():
        return None
    symbol, expected, found = differing.row(0)
    values = f"expected {_shown(expected)} as stored, found {_shown(found)}"
    return Finding(
        "ERROR", code, symbol, f"{how}: {values} ({differing.height} of {both.height} scores differ); {remedy}"
    )


def _shown(score: float | None) -> str:
    return "no score" if score is None else repr(score)
