"""Signals of a manifest: references into code and tables, and what is refused before anything runs."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from profiles.signal_code import code_of
from sleevegraph.errors import ConfigurationError, SignalError
from sleevegraph.manifest import Manifest, MarketProfile, SignalRules, SleeveProfile
from sleevegraph.signals import Function, Scores, Signal
from sleevegraph.signals.table import table_of

RESERVED = "signals"
"""The lake's folder of all signals, so the name of no sleeve and no meta."""

_WHERE = {"scores": "signal.scores", "function": "signal.function"}

FOLDERS = ("sleeves", "families")
"""Below the profiles' folder: where profile files lie that a signal's file may lie beside."""


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
            raise ConfigurationError(f"signal {logic}: {_WHERE['function']}: {error}") from error
    return found


def resolved(logic: str, rules: SignalRules, folder: Path) -> Signal:
    """What a signal's reference stands for. Code is read and not executed; of a scores file nothing is read.

    Raises
    ------
    ConfigurationError
        When code is not there.
    """
    if rules.scores is not None:
        path, unit = _beside(rules.scores, folder), "line" if rules.scores.endswith(".csv") else "row"
        where = f"signal {logic}: {_WHERE['scores']}: {rules.scores}"
        return Scores(where, unit, _reader(path, where, unit), rules.max_age_days)
    reference = rules.function or ""
    code = code_of(reference, _beside(reference.partition(":")[0], folder).parent)
    return Function(
        where=f"signal {logic}: {_WHERE['function']}",
        name=code.name,
        file=code.shown,
        path=str(code.path),
        source=code.digest,
        load=code.load,
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
    key = "scores" if rules.function is None else "function"
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
    with suppress(ValueError):
        signature = inspect.signature(function)
        try:
            signature.bind(pl.LazyFrame(), date.min, **signal.parameters)
        except TypeError as error:
            raise ConfigurationError(
                f"{signal.file}:{signal.name}: expected a function of (bars, at{_listed(signal.parameters)}), "
                f"found {signal.name}{signature}: {error}"
            ) from error


def _listed(parameters: Mapping[str, object]) -> str:
    return "".join(f", {name}" for name in parameters)


def _beside(file: str, folder: Path) -> Path:
    """Where a file lies beside the profiles; an absolute one lies where it says."""
    places = [folder / name / file for name in FOLDERS]
    with suppress(OSError):  # of a name that is too long for a file
        return next((place for place in places if place.is_file()), places[0])
    return places[0]


def _reader(path: Path, where: str, unit: str) -> Callable[[], pl.DataFrame]:
    def read() -> pl.DataFrame:
        try:
            # As text: a score that is no number is then one row's defect and not the file's.
            raw = (
                pl.read_csv(path, infer_schema=False, glob=False)
                if unit == "line"
                else pl.read_parquet(path, glob=False)
            )
        except (OSError, PolarsError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise SignalError(f"{where}: expected a readable Parquet or CSV file, found: {reason}") from error
        return table_of(raw, where, unit, first_row=2 if unit == "line" else 1)

    return read
