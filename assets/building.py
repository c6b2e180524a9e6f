"""Stages become Dagster assets: one each, or one for all members of a large family."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice

import dagster as dg
import polars as pl

from assets.keys import key, signal_path, signals_path
from assets.metadata import add_metadata
from assets.partitioned import Metadata, Stage, same_bars, version_of
from resources.grid import GRID
from resources.lake import AssetPath
from resources.lanes import GRID as GRID_LANE
from resources.store import SIMULATED, Store, is_simulated
from sleevegraph.errors import SleevegraphError
from sleevegraph.families import FAMILY_ASSETS_LIMIT
from sleevegraph.manifest import Manifest

MAX_SHOWN = 20
"""Members that are named in the metadata of a batch; the lake has all."""

Places = Mapping[AssetPath, AssetPath]
"""By portfolio, and by path of a logic's scores: what stands for it in asset keys, where one asset is of many."""


def places_of(manifest: Manifest) -> Places:
    """Members of the families that are too large for assets of their own, and the scores of as many logics."""
    large = [family for family in manifest.families if len(family.sleeves) > FAMILY_ASSETS_LIMIT]
    found: dict[AssetPath, AssetPath] = {(sleeve,): (family.name,) for family in large for sleeve in family.sleeves}
    users: dict[AssetPath, set[AssetPath]] = {}
    for sleeve in manifest.sleeves:
        if sleeve.signal is not None:
            users.setdefault(signal_path(sleeve.logic), set()).add(found.get((sleeve.name,), (sleeve.name,)))
    for family in large:
        own = [path for path, whose in users.items() if whose == {(family.name,)}]
        if len(own) > FAMILY_ASSETS_LIMIT:
            found.update(dict.fromkeys(own, signals_path(family.name)))
    return found


def placed(path: AssetPath, places: Places) -> AssetPath:
    """Asset key of a lake path: that of the family where one asset is of all its members."""
    return places.get(path, (*places.get(path[:1], path[:1]), *path[1:]))


def grid_assets(stages: Sequence[Stage], places: Places) -> list[dg.AssetsDefinition]:
    """One asset per stage, and one per stage of all members of a family; in the order of the stages."""
    groups: dict[AssetPath, list[Stage]] = {}
    for stage in stages:
        groups.setdefault(placed(stage.path, places), []).append(stage)
    return [_asset(path, members, places) for path, members in groups.items()]


def _asset(path: AssetPath, members: Sequence[Stage], places: Places) -> dg.AssetsDefinition:
    first, batch = members[0], path != members[0].path

    @dg.asset(
        key=key(path),
        group_name=first.group,
        partitions_def=GRID,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=_deps(members, places),
        description=_description(members) if batch else first.description,
        code_version=version_of({stage.name: stage.version for stage in members}) if batch else first.version,
        freshness_policy=first.freshness,
        pool=GRID_LANE,
        kinds={"polars", "parquet"},
        owners=sorted({f"team:{stage.owner}" for stage in members}),
        metadata={"dagster/column_schema": _column_schema(first.schema)},
    )
    def asset(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
        keys = sorted(context.partition_keys)
        selected = context.job_def.asset_layer.selected_asset_keys
        try:
            with same_bars(store, keys), store.lake.one_look():
                made, failed = _made(store, members, keys, lambda path: key(placed(path, places)) in selected)
        except SleevegraphError as error:
            raise dg.Failure(f"{'/'.join(path)}: {error}", allow_retries=False) from error
        origin = {"market": SIMULATED} if is_simulated(store.folders) else {}
        for partition, found in made.items():
            add_metadata(context, partition, {**(summary(found) if batch else found[first.name]), **origin})
        if failed:
            more = f" (and {len(failed) - 1} more of {len(members)})" if failed[1:] else ""
            raise dg.Failure(failed[0] + more, allow_retries=False)
        if first.picture is not None and not batch:
            add_metadata(context, keys[-1], first.picture(store.lake, keys[-1]))
        return dg.MaterializeResult()

    return asset


def _description(members: Sequence[Stage]) -> str:
    """What is made of each member: said of all, or of the first where they differ, as in direction."""
    texts, path = {stage.description for stage in members}, members[0].path
    kind = "logics" if path == signal_path(path[-1]) else "sleeves"
    as_in = "" if len(texts) == 1 else f" (as of {path[-1] if kind == 'logics' else path[0]})"
    return f"Of each of {len(members)} {kind}: {members[0].description}{as_in}"


def _made(
    store: Store, members: Sequence[Stage], keys: Sequence[str], beside: Callable[[AssetPath], bool]
) -> tuple[dict[str, dict[str, Metadata]], list[str]]:
    """Metadata by partition and stage, and why some stages could not go on: one member never costs another its own."""
    made: dict[str, dict[str, Metadata]] = {}
    failed = []
    for stage in members:
        try:
            for partition, metadata in stage.materialise(store, keys, beside):
                made.setdefault(partition, {})[stage.name] = metadata
        except SleevegraphError as error:
            failed.append(str(error) if str(error).startswith(stage.name) else f"{stage.name}: {error}")
    return made, failed


def summary(found: Mapping[str, Metadata]) -> Metadata:
    """What is said of one partition of many members: counts, a digest of all, and the reasons of the first few."""
    reasons = {name: metadata["reason"] for name, metadata in found.items() if "reason" in metadata}
    digests = "".join(f"{name} {metadata['digest']}\n" for name, metadata in sorted(found.items()))
    return {
        "dagster/row_count": sum(metadata["dagster/row_count"] for metadata in found.values()),
        "digest": sha256(digests.encode()).hexdigest(),
        "members": len(found),
        "statuses": dict(Counter(metadata["status"] for metadata in found.values())),
        **({"reasons": dict(islice(reasons.items(), MAX_SHOWN)), "reason_count": len(reasons)} if reasons else {}),
    }


def _deps(members: Sequence[Stage], places: Places) -> list[dg.AssetDep]:
    """Dependencies of all members, each upstream once; what reaches back goes before what does not."""
    found: dict[dg.AssetKey, dg.AssetDep] = {}
    for dep in (dep for stage in members for dep in stage.deps):
        given = dep if isinstance(dep, dg.AssetDep) else dg.AssetDep(dep)
        upstream = key(placed(tuple(given.asset_key.path), places))
        if upstream not in found or found[upstream].partition_mapping is None:
            found[upstream] = dg.AssetDep(upstream, partition_mapping=given.partition_mapping)
    return list(found.values())


def _column_schema(schema: pl.Schema) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in schema.items()])
