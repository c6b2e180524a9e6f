"""What every stage on the grid does around its pure function: one partition at a time, judged, stored and described."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from hashlib import sha256
from operator import getitem
from typing import Any

import dagster as dg
import polars as pl
from pydantic import BaseModel

from resources.lake import AssetPath, Lake, Status
from resources.receipts import Gate, State
from resources.store import Store
from sleevegraph.errors import GateError, LakeError, SleevegraphError

Metadata = dict[str, Any]
Rules = Mapping[str, Any]
"""Values of the manifest by dotted key."""


@dataclass(frozen=True, slots=True)
class Partition:
    """What a pure function made of one partition."""

    frame: pl.DataFrame
    metadata: Metadata = field(default_factory=dict)
    status: Status = Status.OK
    reason: str = ""


Compute = Callable[[date], Partition]


@dataclass(frozen=True, slots=True)
class Stage:
    """One asset of the lake on the grid: what Dagster is told of it, and how a partition of it is made.

        `prepare` reads what a whole range shares and returns the function of one date. `rules` are the parts of the
        manifest that decide: their change is a new code version, so only what they touch becomes stale. A partition that
        one of `gates` refuses is blocked without being computed; `held_over` are gates whose refusal `compute` answers
        itself, by what was in force before. `picture` draws the newest partition of a run. `telemetry` names columns that
    are no part of what is judged. `freshness` says from when on the page calls it late. A stage `before_gates` reads bars
    that nothing has judged yet, so its partitions record which: the gate that judges both requires the same.
    """

    path: AssetPath
    group: str
    schema: pl.Schema
    deps: Sequence[dg.AssetDep | dg.AssetKey]
    """By lake path, as `assets.keys.key` makes them."""
    prepare: Callable[[Store, Sequence[date]], Compute]
    description: str
    rules: Rules
    owner: str
    gates: Sequence[Gate] = ()
    held_over: Sequence[Gate] = ()
    picture: Callable[[Lake, str], Metadata] | None = None
    telemetry: Sequence[str] = ()
    freshness: dg.FreshnessPolicy | None = None
    before_gates: bool = False

    @property
    def version(self) -> str:
        """Code version: changes with the rules alone."""
        return version_of(self.rules)

    @property
    def name(self) -> str:
        """The lake path, printed."""
        return "/".join(self.path)

    def materialise(
        self, store: Store, keys: Sequence[str], beside: Callable[[AssetPath], bool]
    ) -> Iterator[tuple[str, Metadata]]:
        """Make and store partitions one by one, each with its metadata; `beside` says what else the run makes.

        Raises
        ------
        SleevegraphError
            When a partition cannot be made; those before it are stored.
        """
        refused = _refused(store, self.gates, keys, by_todays_rules=True)
        self._require_company(store, keys, beside)
        bars = {key: store.lake.bars_digest(date.fromisoformat(key)) for key in keys if self.before_gates}
        compute = _gated(refused, self.prepare, store, keys)
        for key in keys:
            yield key, self._stored(store.lake, key, compute, bars.get(key, ""))

    def _require_company(self, store: Store, keys: Sequence[str], beside: Callable[[AssetPath], bool]) -> None:
        """Refuse a run of this asset without what its gate judged, when every partition of the run is refused.

        A run of the whole rebalance goes on and says what is held over; this one could certify nothing.
        """
        for gates in (self.gates, self.held_over):
            refused = {} if all(beside(gate.path) for gate in gates) else _refused(store, gates, keys)
            if len(refused) < len(keys):
                continue
            key = keys[0]
            culprit = next(
                gate.path for gate in gates if store.receipts.state(gate.path, gate.check, key)[0] is State.FAILED
            )
            if not beside(culprit):
                raise GateError(
                    f"{self.name} {key}: expected a certified input, found {refused[key]}; correct the cause and "
                    f"materialise {'/'.join(culprit)} again, or run the whole rebalance, which holds what was in force"
                )

    def _stored(self, lake: Lake, key: str, compute: Compute, bars: str) -> Metadata:
        try:
            made = compute(date.fromisoformat(key))
        except (GateError, LakeError):
            raise
        except SleevegraphError as error:
            made = blocked(f"{type(error).__name__}: {error}")
        frame = made.frame if made.frame.width else self.schema.to_frame()
        if frame.schema != self.schema:
            raise LakeError(f"{key}: expected columns {dict(self.schema)}, found {dict(frame.schema)}")
        digest = lake.write(self.path, key, frame, made.status, made.reason, self.telemetry, bars)
        return {
            "dagster/row_count": frame.height,
            "dagster/uri": str(lake.path(self.path, key)),
            "digest": digest,
            "status": made.status.value,
            **({"reason": made.reason} if made.reason else {}),
            **made.metadata,
        }


def _refused(
    store: Store, gates: Sequence[Gate], keys: Sequence[str], *, by_todays_rules: bool = False
) -> dict[str, str]:
    """Why a gate refuses a partition, by key; those that pass are left out."""
    found = {key: store.receipts.refusal(gates, key, by_todays_rules=by_todays_rules) for key in keys}
    return {key: refusal for key, refusal in found.items() if refusal}


def _gated(
    refused: Mapping[str, str], prepare: Callable[[Store, Sequence[date]], Compute], store: Store, keys: Sequence[str]
) -> Compute:
    passing = [date.fromisoformat(key) for key in keys if key not in refused]
    compute = prepare(store, passing) if passing else None

    def gated(at: date) -> Partition:
        refusal = refused.get(str(at))
        return compute(at) if compute is not None and refusal is None else blocked(refusal or "")

    return gated


@contextmanager
def same_bars(store: Store, keys: Sequence[str]) -> Iterator[None]:
    """Refuse what is made of partitions while bars before the last of them are restated: half of it would be of either.

    Raises
    ------
    GateError
        At the end of the block; what it stored has no verdict, and the run stops.
    """
    at = date.fromisoformat(max(keys))
    before = store.lake.bars_digest(at)
    yield
    if store.lake.bars_digest(at) != before:
        raise GateError(
            f"daily_bars before {at}: expected the same bars from beginning to end, found some restated meanwhile; run "
            f"the rebalances from {min(keys)} to {max(keys)} again"
        )


def blocked(reason: str) -> Partition:
    """A partition without a decision, and why."""
    return Partition(pl.DataFrame(), status=Status.BLOCKED, reason=reason)


def cash(reason: str) -> Partition:
    """A partition that decided to hold nothing, and why."""
    return Partition(pl.DataFrame(), status=Status.CASH, reason=reason)


def inherited(lake: Lake, path: AssetPath, key: str) -> Partition | None:
    """The blocked or cash standing of an upstream partition, to be handed on; None when it stands OK."""
    status, reason = lake.standing(path, key)
    if status is Status.OK:
        return None
    return Partition(pl.DataFrame(), status=status, reason=reason)


def rules_of(profile: BaseModel, *keys: str) -> Rules:
    """The values of a profile at dotted keys, by key."""
    whole = profile.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), whole) for key in keys}


def version_of(rules: Rules) -> str:
    """Code version of an asset that reads those values."""
    return sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]
