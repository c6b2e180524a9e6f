"""What a report is made of: frames and plain values of one portfolio at one rebalance, read by whoever has the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from sleevegraph.audit.facts import AcceptanceRecord, CheckRecord
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.physical import PhysicalBook

Books = Mapping[str, Mapping[str, float]]
"""Signed weights by risk profile and symbol."""

HEADLINE = "hrp"
"""The risk profile that is shown in full."""

STREAM_SCHEMA = pl.Schema({"date": pl.Date(), "ret": pl.Float64()})
RECORD_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "date": pl.Date(),
        "ret": pl.Float64(),
        "equity": pl.Float64(),
        "turnover": pl.Float64(),
        "cost": pl.Float64(),
    }
)
ALLOCATION_SCHEMA = pl.Schema(
    {"rebalance": pl.Date(), "profile": pl.String(), "child": pl.String(), "weight": pl.Float64()}
)
BREADTH_SCHEMA = pl.Schema({"rebalance": pl.Date(), **dict.fromkeys(("children", "sleeves", "symbols"), pl.Float64())})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a portfolio stands at a rebalance."""

    word: str
    """CERTIFIED, DEGRADED or BLOCKED."""
    reasons: tuple[str, ...]
    """Empty when certified."""
    weights_from: date | None
    """The rebalance at which the weights in force were decided; None while nothing was ever held."""


@dataclass(frozen=True, slots=True)
class SleeveReport:
    """One sleeve at one rebalance. Frames are empty, with their schemas, where nothing was decided."""

    at: date
    sleeve: SleeveProfile
    market: MarketProfile
    simulated: str
    """What must stand beside every figure of a simulated market; empty for recorded bars."""
    standing: Standing
    before: Standing | None
    """At the previous rebalance; None at the first."""
    held: str
    """Why weights are held over, wholly or for some profiles; empty when all are new."""
    book: Books
    """In force from P on."""
    book_before: Books
    """In force before P, drifted to the close of P-1."""
    universe: pl.DataFrame
    universe_before: pl.DataFrame
    """`universe.SCHEMA`."""
    candidates: pl.DataFrame
    """`candidates.SCHEMA`."""
    winners: pl.DataFrame
    """`selection.SCHEMA`."""
    pools: Mapping[date, tuple[str, ...]]
    """Winners of the last rebalances, P the newest; empty where the sleeve was in cash or blocked."""
    streams: pl.DataFrame
    """Synthetic returns of the train window: `date`, then one column per symbol."""
    cells: pl.DataFrame
    """`solver_cells.SCHEMA` at P."""
    windows: Mapping[date, Mapping[tuple[str, str], int] | None]
    """Cells by engine and status of the guardrail's windows up to P; None without a record, empty where a gate stood
    before."""
    record: pl.DataFrame
    """`RECORD_SCHEMA`, the days of the lookback before P."""
    benchmark: pl.DataFrame
    """`STREAM_SCHEMA` of the first benchmark symbol on the same days; empty where it has no bars."""
    gates: tuple[CheckRecord, ...]
    acceptances: tuple[AcceptanceRecord, ...]
    metrics: pl.DataFrame | None
    """Rows of `sleeve_metrics` at P; None where they were not computed."""
    rules: Mapping[str, Any]
    rules_before: Mapping[str, Any] | None
    """Manifest values by dotted key, now and at the previous rebalance; None where those are not known."""

    @property
    def name(self) -> str:
        """The sleeve's name."""
        return self.sleeve.name


@dataclass(frozen=True, slots=True)
class MetaReport:
    """One meta at one rebalance."""

    at: date
    meta: MetaProfile
    manifest: Manifest
    """The market, and the sleeves and metas of this tree, children before parents."""
    simulated: str
    standing: Standing
    before: Standing | None
    held: tuple[str, ...]
    """Why weights of a child, or of the meta itself, are held over."""
    nodes: Mapping[str, Standing]
    """How every meta below stands, without the meta itself."""
    weights: Mapping[str, pl.DataFrame]
    weights_before: Mapping[str, pl.DataFrame]
    """`meta_book.WEIGHTS_SCHEMA` in force by meta of the tree, now and at the previous rebalance."""
    allocation: pl.DataFrame
    """`ALLOCATION_SCHEMA` of the meta's own children over the last rebalances."""
    breadth: pl.DataFrame
    """`BREADTH_SCHEMA`, effective numbers of the headline profile over the last rebalances."""
    books: Mapping[str, PhysicalBook]
    """In force from P on, by risk profile; empty where nothing was ever certified. Contributions of the headline only."""
    books_before: Mapping[str, PhysicalBook]
    """In force before P, drifted to the close of P-1; empty where nothing was."""
    sleeves: tuple[SleeveReport, ...]
    """Of every sleeve below, by name."""
    record: pl.DataFrame
    benchmark: pl.DataFrame
    gates: tuple[CheckRecord, ...]
    acceptances: tuple[AcceptanceRecord, ...]
    metrics: pl.DataFrame | None
    rules: Mapping[str, Any]
    rules_before: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The meta's name."""
        return self.meta.name

    @property
    def market(self) -> MarketProfile:
        """What all sleeves share."""
        return self.manifest.market


Report = SleeveReport | MetaReport
