"""The one resource that assets, checks and sensors ask for: lake, receipts and market source of a home."""

import json
import os
from functools import cached_property
from pathlib import Path

import dagster as dg

from resources.acceptances import Acceptances
from resources.atomic import write_atomically
from resources.home import Home, find_home
from resources.lake import Lake
from resources.market_sources import MarketSource, SourceSettings, market_source
from resources.receipts import Receipts
from resources.runs import Runs
from sleevegraph.errors import ConfigurationError

SOURCE_VARIABLE = "SLEEVEGRAPH_SOURCE"
PATH_VARIABLE = "SLEEVEGRAPH_PATH"
SIMULATED = "simulated market, not real prices"


class Store(dg.ConfigurableResource[None]):
    """State of one home. An empty `home` means: ask the environment when it is first used."""

    home: str = ""

    @cached_property
    def folders(self) -> Home:
        """Where everything is."""
        return find_home(self.home)

    @cached_property
    def lake(self) -> Lake:
        """Partitions and bars."""
        return Lake(self.folders.lake)

    @cached_property
    def receipts(self) -> Receipts:
        """Verdicts of the checks."""
        return Receipts(self.folders.receipts, self.lake)

    @cached_property
    def runs(self) -> Runs:
        """Audit bundles."""
        return Runs(self.folders.runs)

    @cached_property
    def acceptances(self) -> Acceptances:
        """Warnings that an operator accepted."""
        return Acceptances(self.folders.acceptances)

    def source(self, exchange: str) -> MarketSource:
        """Return the market source of this home: from the environment, else as recorded, else simulated.

        A home keeps to one source for good: bars of two sources under one symbol would be neither.
        """
        recorded = recorded_source(self.folders)
        name = os.environ.get(SOURCE_VARIABLE, "") or str(recorded.get("name", "")) or "simulated"
        if recorded and recorded["name"] != name:
            raise ConfigurationError(
                f"market source: expected {recorded['name']!r}, which {self.folders.root} already holds bars of, "
                f"found {name!r}; use another home"
            )
        path = os.environ.get(PATH_VARIABLE, "") or str(recorded.get("path", ""))
        return market_source(name, SourceSettings(path=Path(path) if path else None, exchange=exchange))

    def record_source(self, source: MarketSource) -> None:
        """Remember the source, before its first bar is stored: a home never holds bars of a source it does not know."""
        record = {
            "name": source.name,
            "path": _absolute(os.environ.get(PATH_VARIABLE)) or recorded_source(self.folders).get("path"),
        }
        text = json.dumps({key: value for key, value in record.items() if value}, sort_keys=True)
        write_atomically(self.folders.source, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def _absolute(path: str | None) -> str | None:
    """A path that still means the same from another folder."""
    return str(Path(path).resolve()) if path else None


def recorded_source(home: Home) -> dict[str, str]:
    """Return the recorded source of a home as {name, path}; empty for a new home."""
    if not home.source.is_file():
        return {}
    try:
        record = json.loads(home.source.read_text(encoding="utf-8"))
    except ValueError as error:
        record = str(error)
    if not isinstance(record, dict) or not isinstance(record.get("name"), str):
        raise ConfigurationError(f"{home.source}: expected JSON with the name of a market source, found {record!r}")
    return record


def is_simulated(home: Home) -> bool:
    """Whether this home's bars are simulated, which everything made from them has to say."""
    return recorded_source(home).get("name") == "simulated"
