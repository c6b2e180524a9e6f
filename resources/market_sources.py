"""Where daily bars come from: one interface, and the sources by name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from resources.binance.source import BinanceSource
from resources.files_source import FilesSource
from resources.simulated_source import DEFAULT_END, DEFAULT_SEED, DEFAULT_SYMBOLS, SimulatedSource
from sleevegraph.errors import ConfigurationError


class MarketSource(Protocol):
    """Gives daily bars. Another exchange is another class and one line in `SOURCES`."""

    @property
    def name(self) -> str:
        """The name under which settings choose it."""
        ...

    def describe(self) -> str:
        """One line for metadata and logs: what is read, and that it is simulated where it is."""
        ...

    @property
    def whole(self) -> bool:
        """Whether `fetch` gives every bar that counts, so that a stored bar which it no longer gives is withdrawn."""
        ...

    def fetch(self, known: pl.DataFrame | None) -> pl.DataFrame:
        """Validated BAR_SCHEMA bars, sorted by symbol and date.

        `known` are the bars already stored; a source may give all of its bars or only what is new or
        revised against them. The caller merges.
        """
        ...

    def incomplete(self) -> str:
        """What the last `fetch` could not have, in one line; empty when it had everything."""
        ...

    def figures(self) -> dict[str, Any]:
        """What the last `fetch` did, for metadata."""
        ...


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Everything that a source may be told; each takes what concerns it."""

    path: Path | None = None
    exchange: str = "BINANCE"
    binance: Callable[[], BinanceSource] | None = None
    seed: int = DEFAULT_SEED
    symbols: int = DEFAULT_SYMBOLS
    end: date = DEFAULT_END


def _files(settings: SourceSettings) -> MarketSource:
    if settings.path is None:
        raise ConfigurationError("market source files: path: expected a Parquet or CSV file or a folder, found none")
    return FilesSource(settings.path, settings.exchange)


def _simulated(settings: SourceSettings) -> MarketSource:
    return SimulatedSource(seed=settings.seed, symbols=settings.symbols, end=settings.end)


def _binance(settings: SourceSettings) -> MarketSource:
    if settings.binance is None:
        raise ConfigurationError("market source binance: expected a home to keep its files in, found none")
    return settings.binance()


SOURCES: dict[str, Callable[[SourceSettings], MarketSource]] = {
    "files": _files,
    "simulated": _simulated,
    "binance": _binance,
}


def market_source(name: str, settings: SourceSettings) -> MarketSource:
    """Return the source called `name`; an unknown name or a missing setting is a ConfigurationError."""
    if name not in SOURCES:
        raise ConfigurationError(f"market source: expected one of {', '.join(SOURCES)}, found {name!r}")
    return SOURCES[name](settings)
