"""What docs/audit.md promises of every record of the ledger, typed; what differs is refused with its place."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sleevegraph.atoms import Direction
from sleevegraph.audit.facts import Kind

SCHEMA_VERSION = 1


def _day(text: str) -> str:
    if str(date.fromisoformat(text)) != text:
        raise ValueError("expected a day as YYYY-MM-DD")
    return text


Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Day = Annotated[str, AfterValidator(_day)]
"""YYYY-MM-DD."""
Count = Annotated[int, Field(ge=0, le=2**53)]
Standing = Literal["CERTIFIED", "DEGRADED", "BLOCKED"]


class Strict(BaseModel):
    """Exactly the keys that are named, without conversion of types; NaN and infinity are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Record(Strict):
    """What every record has."""

    seq: Count
    event: str
    prev_hash: Hash
    hash: Hash


class Anchor(Strict):
    """The newest record of another ledger."""

    run_id: str
    hash: Hash


class Begin(Record):
    """The first record of a generation."""

    event: Literal["begin"]
    schema_version: Count
    run_id: str
    portfolio: str
    kind: Kind
    partition: Day
    generation: Count
    previous: Anchor | None
    children: dict[str, Hash]


class Environment(Record):
    """What computed it."""

    event: Literal["environment"]
    sleevegraph: str | None
    revision: str | None
    source: Hash
    python: str
    platform: str
    packages: dict[str, str]


class Bars(Record):
    """The market's bars before the partition."""

    event: Literal["bars"]
    digest: Hash
    first: Day
    days: Annotated[str, Field(pattern=r"^([0-9a-f]{8})*$")]


class Stage(Record):
    """One partition that was used."""

    event: Literal["stage"]
    asset: str
    partition: Day
    digest: Hash
    code_version: str
    status: Literal["OK", "CASH", "BLOCKED"]
    reason: str
    rows: Count


class UniverseDrop(Strict):
    """Why a symbol may not be held."""

    symbol: str
    rule: str
    value: float | str | None


class UniverseDrops(Record):
    """Of the market, and by `other_quote` what only this sleeve may not hold."""

    event: Literal["universe_drops"]
    drops: list[UniverseDrop]


class SymbolReason(Strict):
    """Why a symbol is not there."""

    symbol: str
    reason: str


class CandidateDrops(Record):
    """Of the sleeve."""

    event: Literal["candidate_drops"]
    drops: list[SymbolReason]


class Veto(Strict):
    """Rules that vetoed one candidate."""

    symbol: str
    rules: list[str]


class Vetoes(Record):
    """Of the candidates."""

    event: Literal["vetoes"]
    vetoes: list[Veto]


class Winner(Strict):
    """One name that is held."""

    symbol: str
    cluster: int | None
    score: float | None
    stage: int | None
    reason: str


class Selection(Record):
    """Who is held and who is not."""

    event: Literal["selection"]
    stage: int | None
    winners: list[Winner]
    losers: list[SymbolReason]


class AtomRecord(Strict):
    """One column of the synthetic matrix."""

    id: str
    symbol: str
    logic: str
    direction: Direction


class Atoms(Record):
    """Columns of the matrices, and what the profile `benchmark` may hold."""

    event: Literal["atoms"]
    atoms: list[AtomRecord]
    eligible: list[str]


class Cell(Record):
    """One (engine, risk profile) of a sleeve."""

    event: Literal["cell"]
    engine: str
    profile: str
    of_record: bool
    status: str
    rung: str
    reason: str
    solved_by: str
    objective: float | None
    residual: float | None
    cap: float | None
    cluster_limit: float | None
    turnover: float | None
    assets: Count
    weights_digest: str


class MetaCell(Record):
    """One risk profile of a meta."""

    event: Literal["cell"]
    profile: str
    status: str
    reason: str
    rows_used: Count
    rows_lost: Count
    lost_share: float


class Child(Record):
    """One sleeve or meta below a meta."""

    event: Literal["child"]
    name: str
    kind: Kind
    standing: Standing
    reasons: list[str]
    held: str


class Check(Record):
    """One verdict."""

    event: Literal["check"]
    asset: str
    check: str
    partition: Day
    blocking: bool
    state: str
    digest: Hash
    inputs: dict[str, str]
    rules: dict[str, Any]
    findings: list[str]
    figures: dict[str, Any]


class Acceptance(Record):
    """A warning that an operator accepted."""

    event: Literal["acceptance"]
    asset: str
    check: str
    partition: Day
    receipt: Hash
    findings: list[str]
    because: str
    by: str
    on: str


class Output(Record):
    """One file of the bundle."""

    event: Literal["output"]
    file: str
    sha256: Hash
    bytes: Count


class End(Record):
    """How the portfolio stands."""

    event: Literal["end"]
    standing: Standing
    reasons: list[str]
    records: Count


_FIRST = (Begin, Environment, Bars, Stage)
_LAST = (Check, Acceptance, Output, End)
EVENTS: Mapping[Kind, tuple[type[Record], ...]] = {
    "sleeve": (*_FIRST, UniverseDrops, CandidateDrops, Vetoes, Selection, Atoms, Cell, *_LAST),
    "meta": (*_FIRST, MetaCell, Child, *_LAST),
}
"""In the order in which a generation has them."""
ONCE = (Begin, Environment, Bars, UniverseDrops, CandidateDrops, Vetoes, Selection, Atoms, End)
"""Events of which a generation has exactly one."""
