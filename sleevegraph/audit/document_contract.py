"""What docs/audit.md promises of every JSON document of a bundle, typed."""

import itertools
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictStr
from pydantic.dataclasses import dataclass

from sleevegraph.atoms import Direction
from sleevegraph.audit.contract import Count, Day, Strict
from sleevegraph.audit.facts import Kind
from sleevegraph.manifest import RISK_PROFILES

Item = TypeVar("Item")
Sorted = TypeVar("Sorted", bound="Held")


def _all_eight(profiles: dict[str, Item]) -> dict[str, Item]:
    if set(profiles) != set(RISK_PROFILES):
        raise ValueError(f"expected the eight risk profiles {', '.join(RISK_PROFILES)}")
    return profiles


def _in_order(assets: list[Sorted]) -> list[Sorted]:
    if any(after.symbol < before.symbol for before, after in itertools.pairwise(assets)):
        raise ValueError("expected assets sorted by Symbol")
    return assets


Share = Annotated[float, Field(strict=True, ge=-1e6, le=1e6)]
"""A weight or a sum of weights; whether it is a right one is judged elsewhere."""
Cluster = Annotated[int, Field(strict=True, ge=-(2**31), le=2**31)]
ByProfile = Annotated[dict[str, Item], AfterValidator(_all_eight)]


class ResolvedManifest(Strict):
    """Every rule that decided."""

    schema_version: Count
    run_id: str
    portfolio: str
    kind: Kind
    partition: Day
    manifest: dict[str, Any]


class SignFinding(Strict):
    """One defect that a sign test found."""

    level: Literal["ERROR", "WARN"]
    code: str
    run_id: str
    symbol: str
    message: str


class SignTest(Strict):
    """What a sign test found."""

    errors: Count
    warnings: Count
    findings: list[SignFinding]


def _capitalised(name: str) -> str:
    """Keys such as Net_Weight."""
    return "Cluster_ID" if name == "cluster_id" else name.title()


CAPITALISED = ConfigDict(alias_generator=_capitalised)
ROW = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=_capitalised)
"""Of what there are thousands: a dataclass with slots takes a third of a model. Its fields are strict one by one."""


@dataclass(config=ROW, slots=True, frozen=True)
class Held:
    """A weight of a symbol, an atom or a child."""

    symbol: StrictStr
    weight: Share
    net_weight: Share
    direction: Direction


@dataclass(config=ROW, slots=True, frozen=True)
class Asset(Held):
    """A weight of a portfolio."""

    cluster_id: Cluster | None


class Assets(Strict):
    """Of one risk profile."""

    assets: Annotated[list[Asset], AfterValidator(_in_order)]


class Weights(Strict):
    """By risk profile."""

    profiles: ByProfile[Assets]


@dataclass(config=ROW, slots=True, frozen=True)
class Contribution:
    """What one path gives to a symbol."""

    path: StrictStr
    contribution: Share


@dataclass(config=ROW, slots=True, frozen=True)
class Position(Asset):
    """A symbol of a meta's physical book."""

    gross: Share
    dust: StrictBool
    contributions: list[Contribution]


class Positions(Strict):
    """Of one risk profile."""

    assets: Annotated[list[Position], AfterValidator(_in_order)]


class PhysicalBook(Strict):
    """By risk profile."""

    profiles: ByProfile[Positions]


class SleeveNode(Strict):
    """A leaf of the tree."""

    model_config = CAPITALISED

    node: str
    kind: Literal["sleeve"]
    weight: Share
    logic: str
    direction: Direction
    assets: list[Held]


class MetaNode(Strict):
    """A node with others below."""

    model_config = CAPITALISED

    node: str
    kind: Literal["meta"]
    weight: Share
    children: "list[Annotated[MetaNode | SleeveNode, Field(discriminator='kind')]]"


Node = MetaNode | SleeveNode


class Tree(Strict):
    """By risk profile."""

    profiles: ByProfile[MetaNode]
