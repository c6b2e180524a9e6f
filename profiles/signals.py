"""Signals of a manifest: references into code and tables, and what is refused before anything runs."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from profiles.scores_files import read_scores, unit_of
from profiles.signal_code import beside, code_of
from sleevegraph.errors import ConfigurationError, SignalError
from sleevegraph.manifest import Manifest, MarketProfile, SignalRules, SleeveProfile
from sleevegraph.signals import Function, Scores, Signal
from sleevegraph.signals.contract import printable

RESERVED = "signals"
"""The lake's folder of all signals, so the name of no sleeve and no meta."""

_WHERE = {"scores": "signal.scores", "function": "signal.function"}


class Defect(NamedTuple):
    """What is wrong with the profile of a sleeve, and at which of its keys."""

    sleeve: str
    at: tuple[str, ...]
    text: str


def signals_of(manifest: Manifest, folder: Path) -> dict[str, Signal]:
    """Signals by logic; `folder` is that of the profiles.

    Raises
    ------
    ConfigurationError
        When what a reference names is not there.
    """
    given = {sleeve.logic: sleeve.signal for sleeve in manifest.sleeves if sleeve.signal is not None}
    found = {}
    for logic, rules in sorted(given.items()):
        try:
            found[logic] = resolved(logic, rules, folder)
        except ConfigurationError as error:
            raise ConfigurationError(f"signal {logic}: {_WHERE[_key(rules)]}: {error}") from error
    return found


def resolved(logic: str, rules: SignalRules, folder: Path) -> Signal:
    """What a signal's reference stands for. Code is read and not executed; of a scores file nothing is read.

    Raises
    ------
    ConfigurationError
        When code is not there, or there are two files of the name.
    """
    if rules.scores is not None:
        path, where = beside(rules.scores, folder), f"signal {logic}: {_WHERE['scores']}: {rules.scores}"
        return Scores(where, unit_of(path), partial(read_scores, path, where), rules.max_age_days)
    code = code_of(rules.function or "", folder)
    return Function(
        where=f"signal {logic}: {_WHERE['function']}",
        name=code.name,
        file=code.shown,
        path=str(code.path),
        source=code.digest,
        load=code.load,
        contained=code.contained,
        parameters=rules.parameters,
    )


def signal_defects(sleeves: Sequence[SleeveProfile], market: MarketProfile, folder: Path) -> Iterator[Defect]:
    """Signals, logics and quotes that cannot be run as written. A signal's code is executed to find out."""
    first: dict[str, SleeveProfile] = {}
    for sleeve in sleeves:
        other = first.setdefault(sleeve.logic, sleeve)
        foreign = sorted(set(sleeve.quotes) - set(market.universe.quotes))
        if foreign:
            quotes = ", ".join(market.universe.quotes)
            text = f"expected quotes among {quotes}, found {', '.join(foreign)}; add them to universe.quotes of market.toml"
            yield Defect(sleeve.name, ("quotes",), text)
        if sleeve.signal != other.signal:
            text = (
                f"expected what sleeve {other.name} of the same logic {sleeve.logic!r} has, found another; sleeves of one "
                f"logic share one signal, so name another logic"
            )
            yield Defect(sleeve.name, ("rating" if sleeve.signal is None else "signal",), text)
        elif sleeve is other and sleeve.signal is not None:
            yield from _defects(sleeve.name, sleeve.signal, folder)


def _defects(sleeve: str, rules: SignalRules, folder: Path) -> Iterator[Defect]:
    key = _key(rules)
    try:
        signal = resolved("", rules, folder)
        if isinstance(signal, Scores):
            signal.read()
        else:
            _require_parameters(signal)
    except ConfigurationError as error:
        yield Defect(sleeve, ("signal", key), str(error))
    except SignalError as error:
        yield Defect(sleeve, ("signal", key), str(error).partition(f"{_WHERE[key]}: ")[2])


def _require_parameters(signal: Function) -> None:
    """Refuse parameters that the function would not take; what no signature says is left to the first call."""
    function = signal.load()
    try:
        with signal.contained():
            signature = inspect.signature(function)
            written = printable(" ".join(str(signature).split()))  # defaults stand in it as they show themselves
    except SignalError:
        return
    try:
        signature.bind(pl.LazyFrame(), date.min, **signal.parameters)
    except TypeError as error:
        raise ConfigurationError(
            f"{signal.file}:{signal.name}: expected a function of (bars, at{_listed(signal.parameters)}), "
            f"found {signal.name}{written}: {error}"
        ) from error


def _key(rules: SignalRules) -> str:
    return "scores" if rules.function is None else "function"


def _listed(parameters: Mapping[str, object]) -> str:
    return "".join(f", {name}" for name in parameters)
