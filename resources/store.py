"""The one resource that assets, checks and sensors ask for: lake, receipts and market source of a home."""

import json
import os
from datetime import date
from functools import cached_property
from pathlib import Path

import dagster as dg

from resources.acceptances import Acceptances
from resources.atomic import write_atomically
from resources.binance.environment import settings_from
from resources.binance.market_lake import MarketLake
from resources.binance.source import BinanceSource, Scope
from resources.home import Home, find_home, record_lake, recorded_lake, with_its_lake
from resources.lake import Lake
from resources.lake_trouble import lake_trouble
from resources.market_sources import MarketSource, SourceSettings, market_source
from resources.outbox import Outbox
from resources.packed_runs import PackedRuns
from resources.receipts import Receipts
from resources.runs import Runs
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import MarketProfile

SOURCE_VARIABLE = "SLEEVEGRAPH_SOURCE"
PATH_VARIABLE = "SLEEVEGRAPH_PATH"
FROM_VARIABLE, QUOTES_VARIABLE, SYMBOLS_VARIABLE = "SLEEVEGRAPH_FROM", "SLEEVEGRAPH_QUOTES", "SLEEVEGRAPH_SYMBOLS"
_SCOPE = {"from": FROM_VARIABLE, "quotes": QUOTES_VARIABLE, "symbols": SYMBOLS_VARIABLE}
SIMULATED = "simulated market, not real prices"


class Store(dg.ConfigurableResource[None]):
    """State of one home. An empty `home` means: ask the environment when it is first used."""

    home: str = ""

    @cached_property
    def folders(self) -> Home:
        """Where everything is; ConfigurationError for a home whose lake is elsewhere than SLEEVEGRAPH_LAKE says."""
        return with_its_lake(find_home(self.home))

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
        runs = self.folders.runs
        return Runs(runs) if isinstance(runs, Path) else PackedRuns(runs)

    @cached_property
    def acceptances(self) -> Acceptances:
        """Warnings that an operator accepted."""
        return Acceptances(self.folders.acceptances)

    @cached_property
    def alerts(self) -> Outbox:
        """Facts for alerts, and who has heard of them; always on this machine's disk."""
        return Outbox(self.folders.root / "data" / "alerts")

    @cached_property
    def market_lake(self) -> MarketLake:
        """What was fetched of an exchange, as it gave it."""
        return MarketLake(self.folders.market)

    def source_name(self) -> str:
        """Name of this home's market source: from the environment, else as recorded, else simulated.

        A home keeps to one source for good: bars of two sources under one symbol would be neither.
        """
        recorded = recorded_source(self.folders)
        name = os.environ.get(SOURCE_VARIABLE, "") or str(recorded.get("name", "")) or "simulated"
        if recorded and recorded["name"] != name:
            raise ConfigurationError(
                f"market source: expected {recorded['name']!r}, which {self.folders.root} already holds bars of, "
                f"found {name!r}; use another home"
            )
        return name

    def source(self, market: MarketProfile) -> MarketSource:
        """Return the market source of this home."""
        path = os.environ.get(PATH_VARIABLE, "") or str(recorded_source(self.folders).get("path", ""))
        settings = SourceSettings(
            path=Path(path) if path else None, exchange=market.exchange, binance=lambda: self.binance(market)
        )
        return market_source(self.source_name(), settings)

    def binance(self, market: MarketProfile) -> BinanceSource:
        """Binance with the hosts of the environment and this home's scope; ConfigurationError in a home of other bars."""
        if self.source_name() != "binance":
            raise ConfigurationError(
                f"market source: expected a home of 'binance', found one of {self.source_name()!r} at "
                f"{self.folders.root}; use another home, or {SOURCE_VARIABLE}=binance in a new one"
            )
        settings = settings_from(os.environ)
        return BinanceSource(settings, self.lake, self.market_lake, market, self._scope(market), self.record_source)

    def _scope(self, market: MarketProfile) -> Scope:
        """What is asked for now, else what the home's first ingest asked for."""
        recorded = recorded_source(self.folders)

        asked = {key: os.environ.get(variable, "") for key, variable in _SCOPE.items()}
        chosen = {key: asked[key] or recorded.get(key, "") for key in asked}
        if asked["quotes"] or asked["symbols"]:  # either says who, so what was recorded of the other does not count
            chosen |= {key: asked[key] for key in ("quotes", "symbols")}
        try:
            since = date.fromisoformat(chosen["from"]) if chosen["from"] else None
        except ValueError:
            raise ConfigurationError(
                f"{FROM_VARIABLE}: expected a date as YYYY-MM-DD, found {chosen['from']!r}"
            ) from None
        quotes = _listed(chosen["quotes"]) or market.universe.quotes
        return Scope(quotes, since, _listed(chosen["symbols"]), frozenset(key for key in asked if asked[key]))

    def record_source(self, source: MarketSource) -> None:
        """Remember the source, before its first bar is stored: a home never holds bars of a source it does not know.

        What a first ingest of an exchange asked for is what later ones ask for unless told otherwise.
        """
        for trouble in lake_trouble() if recorded_lake(self.folders.root) is None else ():
            raise ConfigurationError(str(trouble))  # a lake that takes nothing is not this home's for good
        record_lake(self.folders)
        recorded = recorded_source(self.folders)
        asked = {key: os.environ.get(variable) for key, variable in _SCOPE.items()} if not recorded else {}
        record = {**asked, **recorded, "name": source.name}
        record["path"] = _absolute(os.environ.get(PATH_VARIABLE)) or recorded.get("path")
        text = json.dumps({key: value for key, value in record.items() if value}, sort_keys=True)
        write_atomically(self.folders.source, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


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
