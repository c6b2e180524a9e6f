"""What every grid asset does around its pure function: one partition at a time, judged, stored and described."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from hashlib import sha256
from operator import getitem
from typing import Any

import dagster as dg
import polars as pl
from pydantic import BaseModel

from assets.grid import GRID
from assets.metadata import add_metadata
from resources.lake import AssetPath, Lake, Status
from resources.receipts import Gate, State
from resources.store import SIMULATED, Store, is_simulated
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


def grid_asset(
    path: AssetPath,
    group: str,
    schema: pl.Schema,
    deps: Sequence[dg.AssetDep | dg.AssetKey],
    prepare: Callable[[Store, Sequence[date]], Compute],
    *,
    description: str,
    rules: Rules,
    owner: str,
    gates: Sequence[Gate] = (),
    held_over: Sequence[Gate] = (),
    picture: Callable[[Lake, str], Metadata] | None = None,
    telemetry: Sequence[str] = (),
) -> dg.AssetsDefinition:
    """Build an asset on the grid, computed range by range.

    `prepare` reads what the whole range shares and returns the function of one date. `rules` are the parts of the
    manifest that decide: their change is a new code version, so only what they touch becomes stale. A partition that
    one of `gates` refuses is blocked without being computed; `held_over` are gates whose refusal `compute` answers
    itself, by what was in force before. `picture` draws the newest partition of a run. `telemetry` names columns that
    are no part of what is judged.
    """

    @dg.asset(
        key=_key(path),
        group_name=group,
        partitions_def=GRID,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=deps,
        description=description,
        code_version=version_of(rules),
        kinds={"polars", "parquet"},
        owners=[f"team:{owner}"],
        metadata={"dagster/column_schema": _column_schema(schema)},
    )
    def asset(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
        keys = sorted(context.partition_keys)
        try:
            refused = _refused(store, gates, keys, by_todays_rules=True)
            _require_company(context, store, path, keys, gates, held_over)
            compute = _gated(refused, prepare, store, keys)
            origin = {"market": SIMULATED} if is_simulated(store.folders) else {}
            for key in keys:
                add_metadata(context, key, {**_store(store.lake, path, schema, key, compute, telemetry), **origin})
        except SleevegraphError as error:
            name = "/".join(path)
            text = str(error) if str(error).startswith(name) else f"{name}: {error}"
            raise dg.Failure(text, allow_retries=False) from error
        if picture is not None:
            add_metadata(context, keys[-1], picture(store.lake, keys[-1]))
        return dg.MaterializeResult()

    return asset


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


def _require_company(
    context: dg.AssetExecutionContext, store: Store, path: AssetPath, keys: Sequence[str], *asked: Sequence[Gate]
) -> None:
    """Refuse a run of this asset without what its gate judged, when every partition of the run is refused.

    A run of the whole rebalance goes on and says what is held over; this one could certify nothing.
    """
    selected = context.job_def.asset_layer.selected_asset_keys
    for gates in asked:
        refused = {} if all(_key(gate.path) in selected for gate in gates) else _refused(store, gates, keys)
        if len(refused) < len(keys):
            continue
        key = keys[0]
        culprit = next(
            gate.path for gate in gates if store.receipts.state(gate.path, gate.check, key)[0] is State.FAILED
        )
        if _key(culprit) not in selected:
            raise GateError(
                f"{'/'.join(path)} {key}: expected a certified input, found {refused[key]}; correct the cause and "
                f"materialise {'/'.join(culprit)} again, or run the whole rebalance, which holds what was in force"
            )


def _key(path: AssetPath) -> dg.AssetKey:
    return dg.AssetKey(list(path))


def _store(
    lake: Lake, path: AssetPath, schema: pl.Schema, key: str, compute: Compute, telemetry: Sequence[str]
) -> Mapping[str, Any]:
    try:
        made = compute(date.fromisoformat(key))
    except (GateError, LakeError):
        raise
    except SleevegraphError as error:
        made = blocked(f"{type(error).__name__}: {error}")
    frame = made.frame if made.frame.width else schema.to_frame()
    if frame.schema != schema:
        raise LakeError(f"{key}: expected columns {dict(schema)}, found {dict(frame.schema)}")
    digest = lake.write(path, key, frame, made.status, made.reason, telemetry)
    return {
        "dagster/row_count": frame.height,
        "dagster/uri": str(lake.path(path, key)),
        "digest": digest,
        "status": made.status.value,
        **({"reason": made.reason} if made.reason else {}),
        **made.metadata,
    }


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


def _column_schema(schema: pl.Schema) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in schema.items()])
