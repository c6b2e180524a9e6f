"""What an audit of one portfolio at one rebalance rests on: frames and plain values, read by others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Literal

import polars as pl

from sleevegraph.findings import Finding
from sleevegraph.manifest import Manifest, SleeveProfile

Kind = Literal["sleeve", "meta"]
Book = Mapping[str, float]
"""Signed physical weights by symbol."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stored partition that was used."""

    asset: str
    """`<portfolio>/<asset>`, or the name of an asset of the market."""
    partition: str
    digest: str
    """SHA-256 of the file, its telemetry left out."""
    code_version: str
    """Of the rules of the manifest that the asset reads."""
    status: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class BarsDays:
    """All bars before P."""

    digest: str
    first: date
    days: str
    """Eight hexadecimal digits per calendar day from `first` on."""


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """What a check said of a partition."""

    asset: str
    check: str
    partition: str
    blocking: bool
    state: str
    """PASSED, FAILED, ABSENT or STALE."""
    digest: str
    inputs: Mapping[str, str]
    rules: Mapping[str, Any]
    findings: Sequence[str]
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AcceptanceRecord:
    """A warning that an operator accepted."""

    asset: str
    check: str
    partition: str
    receipt: str
    """SHA-256 of the receipt that was accepted."""
    findings: Sequence[str]
    because: str
    by: str
    on: str
    """When, UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Newest hashes of the ledgers that this one follows."""

    previous: tuple[str, str] | None
    """Run id and hash of the portfolio's previous ledger."""
    children: Mapping[str, str] = field(default_factory=dict)
    """Of a meta's children, by run id."""


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """How a sleeve or meta below a meta stands."""

    name: str
    kind: Kind
    standing: str
    reasons: Sequence[str]
    held: str
    """Why its weights are held over; empty when they are new."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Facts:
    """What both kinds of audit rest on."""

    kind: ClassVar[Kind]
    name: str
    """Of the sleeve or meta."""
    manifest: Manifest
    """Of a sleeve: that sleeve and no metas; of a meta: its tree."""
    at: date
    stages: Sequence[Stage]
    """In the order of the graph."""
    bars: BarsDays
    environment: Mapping[str, Any]
    anchors: Anchors
    checks: Sequence[CheckRecord]
    acceptances: Sequence[AcceptanceRecord]
    standing: str
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SleeveFacts(Facts):
    """A sleeve at a rebalance; frames as the lake has them, empty where nothing was decided."""

    kind = "sleeve"
    universe: pl.DataFrame
    candidates: pl.DataFrame
    winners: pl.DataFrame
    streams: pl.DataFrame
    cells: pl.DataFrame
    weights: pl.DataFrame

    @property
    def sleeve(self) -> SleeveProfile:
        """The one sleeve of the manifest."""
        return self.manifest.sleeves[0]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MetaFacts(Facts):
    """A meta at a rebalance."""

    kind = "meta"
    streams: Mapping[str, Mapping[str, pl.DataFrame]]
    """By risk profile and child the returns [date, ret] of the lookback."""
    meta_weights: Mapping[str, pl.DataFrame]
    """`WEIGHTS_SCHEMA` rows in force by meta, of every meta in the tree; no rows where nothing was ever decided."""
    books: Mapping[str, Mapping[str, Book]]
    """By risk profile and sleeve, in force."""
    flattened: pl.DataFrame
    sign_findings: Mapping[str, Sequence[Finding]]
    """By sleeve."""
    children: Sequence[ChildRecord]
    """Every sleeve and meta below."""


def run_id(name: str, at: date) -> str:
    """Name of a bundle's folder: `<portfolio>-<YYYYMMDD>`."""
    return f"{name}-{at:%Y%m%d}"
