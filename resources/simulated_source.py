"""Bars of the simulated market, under the interface of a real source."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from sleevegraph.simulated_market import START, simulated_bars

DEFAULT_SEED = 7
DEFAULT_SYMBOLS = 60
DEFAULT_END = date(2023, 12, 31)


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """Not market data: a seeded model. A later `end` adds days and changes none."""

    seed: int = DEFAULT_SEED
    symbols: int = DEFAULT_SYMBOLS
    end: date = DEFAULT_END
    name: str = "simulated"
    whole: bool = False

    def describe(self) -> str:
        """What is simulated."""
        return f"simulated market: {self.symbols} symbols, {START} to {self.end}, seed {self.seed}"

    def fetch(self, known: pl.DataFrame | None) -> pl.DataFrame:
        """Every simulated bar up to `end`."""
        del known  # the whole market takes less time than finding out what is new in it
        return simulated_bars(self.end, seed=self.seed, symbols=self.symbols)

    def incomplete(self) -> str:
        """Nothing: all bars are there, or `fetch` raises."""
        return ""

    def figures(self) -> dict[str, Any]:
        """Nothing beyond what is merged."""
        return {}
