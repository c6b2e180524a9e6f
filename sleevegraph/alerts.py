"""What a person has to hear of: facts, which are kept for good, whoever hears of them and when."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from textwrap import shorten
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

REASON_WIDTH = 500
"""Characters of a reason that are kept."""
HIDDEN = "***"
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_IN_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:token|key|secret|sign|passw|credential)[^=&\s]*=)[^&\s'\"]+")
"""What a URL carries to be let in, such as one that is signed: no setting, so nobody could name it beforehand."""


class Kind(StrEnum):
    """What happened; the more urgent first."""

    REBALANCE_GAVE_UP = "rebalance_gave_up"
    RUN_FAILED = "run_failed"
    CHECK_FAILED = "check_failed"
    BARS_LATE = "bars_late"
    CHECK_BLOCKED = "check_blocked"
    """A gate that only hands on what an earlier one refused."""
    TEST = "test"


Group = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened. The same kind, name, asset, partition and run again is the same fact, counted."""

    kind: Kind
    name: str
    """Gate, job or sensor."""
    reason: str
    """One line: what was expected, what was found."""
    at: datetime
    """When, with its time zone."""
    asset: str = ""
    """Path of the asset, as `portfolio/stage`, or of all that is of a portfolio."""
    partition: str = ""
    run_id: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the reason rests on, by name; JSON values."""

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it one fact."""
        return (self.kind.value, self.name, self.asset, self.partition, self.run_id)

    @property
    def group(self) -> Group:
        """What it is told together with: its gate; what only hands on a refusal is told as one."""
        return self.kind, "" if self.kind is Kind.CHECK_BLOCKED else self.name

    def link(self, base: str) -> str:
        """Address on Dagster's page, which is at `base`: of the check, else of the run, else of the asset."""
        root = _without_userinfo(base).rstrip("/")
        asset = "/".join(quote(part, safe="") for part in self.asset.split("/"))
        if self.kind in {Kind.CHECK_FAILED, Kind.CHECK_BLOCKED} and asset:
            return f"{root}/assets/{asset}?view=checks&checkDetail={quote(self.name, safe='')}"
        if self.run_id:
            return f"{root}/runs/{quote(self.run_id, safe='')}"
        return f"{root}/assets/{asset}" if asset else root


@dataclass(frozen=True, slots=True)
class Kept:
    """A fact as it is kept."""

    number: int
    """In the order in which they came."""
    fact: Fact
    count: int = 1
    """How often it was reported."""


def fit_to_keep(fact: Fact, secrets: Sequence[str]) -> Fact:
    """A fact in UTC whose texts are single lines without any of `secrets` and without what lets a URL in."""
    figures = {name: without(value, secrets) for name, value in fact.figures.items()}
    reason = shorten(without(fact.reason, secrets), REASON_WIDTH, placeholder=" …")
    return replace(fact, reason=reason, at=fact.at.astimezone(UTC), figures=figures)


def without(value: Any, secrets: Sequence[str]) -> Any:
    """A JSON value with every secret in its texts, and userinfo and keys of URLs, put out of sight."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return _IN_QUERY.sub(rf"\1{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", value))
    if isinstance(value, Mapping):
        return {str(without(key, secrets)): without(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without(item, secrets) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no word for it
    return value if isinstance(value, bool | int | float | None) else without(str(value), secrets)


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
