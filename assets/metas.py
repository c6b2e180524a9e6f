"""Group metas: child weights, the realised stream and the flattened physical book of each meta profile."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache

import dagster as dg
import numpy as np
import polars as pl

from assets.books import MAX_NAMED, books_in_force, certificates, children_in_force
from assets.freshness import EVERY_REBALANCE
from assets.gates import bars_gates, children_gates, deciding_gates, record_gates
from assets.grid import PREVIOUS, reaching_back
from assets.keys import UNIVERSE, key, stage
from assets.metadata import markdown_table
from assets.partitioned import Compute, Metadata, Partition, Stage, blocked, rules_of
from assets.pictures import equity_picture, flattened_picture
from assets.track_records import track_record_compute
from resources.lake import AssetPath, Lake, Status
from resources.receipts import Gate
from resources.store import Store
from sleevegraph import ledgers
from sleevegraph.calendar import STEP_DAYS, previous
from sleevegraph.child_figures import bounds, joins, lost_too_much
from sleevegraph.correlation_benefit import benefits
from sleevegraph.flattening import cancelled
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile, SleeveProfile
from sleevegraph.meta_book import FLAT_SCHEMA, WEIGHTS_SCHEMA, flattened, flattened_before, subtree, weights_rows
from sleevegraph.metas import meta_weights
from sleevegraph.track_record import ReturnsWindow
from sleevegraph.tree import compile_tree
from sleevegraph.turnover_saved import turnover_saved

WEIGHING = (
    "children",
    "weight_min",
    "weight_max",
    "covariance",
    "lookback_windows",
    "min_history_windows",
    "max_rows_lost",
)
"""Keys of a meta's profile that decide its weights."""


def meta_stages(meta: MetaProfile, manifest: Manifest) -> list[Stage]:
    """The three assets of a meta."""
    names = {m.name for m in manifest.metas}
    records = {child: _record(child, child in names) for child in meta.children}
    return [
        _meta_weights(meta, records, manifest),
        _meta_track_record(meta, records, manifest),
        _flattened_weights(meta, manifest),
    ]


def sleeves_below(meta: MetaProfile, manifest: Manifest) -> list[SleeveProfile]:
    """The sleeves in a meta's tree, each once, by name."""
    below = {child for node in subtree(meta, manifest.metas) for child in node.children}
    return sorted((s for s in manifest.sleeves if s.name in below), key=lambda sleeve: sleeve.name)


def _record(child: str, is_meta: bool) -> AssetPath:
    return stage(child, "meta_track_record" if is_meta else "track_record")


def _records_gates(meta: MetaProfile, manifest: Manifest) -> list[Gate]:
    names = {m.name for m in manifest.metas}
    return [gate for child in meta.children for gate in record_gates(child, meta=child in names)]


def _unvouched(store: Store, gates: Sequence[Gate], windows: int) -> Callable[[date], str]:
    """Why one of the records of so many windows before a rebalance is not certified; each is asked once."""
    by_path = {gate.path: gate for gate in gates}
    asked = cache(lambda path, key: store.receipts.refusal([by_path[path]], key))

    def refusal(at: date) -> str:
        oldest = str(at - timedelta(days=windows * STEP_DAYS))
        weighed = ((path, key) for path in by_path for key in store.lake.partitions(path) if oldest <= key < str(at))
        return next((text for path, key in weighed if (text := asked(path, key))), "")

    return refusal


def _meta_weights(meta: MetaProfile, records: dict[str, AssetPath], manifest: Manifest) -> Stage:
    lookback, sleeves = meta.lookback_windows - 1, sleeves_below(meta, manifest)
    gates = _records_gates(meta, manifest)

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        first = min(days) - timedelta(days=lookback * STEP_DAYS)
        unvouched = _unvouched(store, gates, lookback)
        streams = _by_profile({child: _returns(store.lake, path, first, max(days)) for child, path in records.items()})

        def compute(at: date) -> Partition:
            for path in records.values():
                store.lake.standing(path, str(at))  # a meta needs all of its children: an absent one is an error
            refusal = unvouched(at)
            if refusal:
                return blocked(refusal)
            solutions = {profile: meta_weights(profile, streams[profile], meta, at) for profile in RISK_PROFILES}
            rows = weights_rows(solutions)
            warnings = lost_too_much(rows, meta)
            figures = {
                "fallbacks": {p: s.reason for p, s in solutions.items() if s.status != "native"},
                "lost_share": max(s.lost_share for s in solutions.values()),
                "joins": markdown_table(joins(rows)),
                "bounds": markdown_table(bounds(rows, meta)),
                "correlation_benefit": markdown_table(benefits(rows)),
                **({"warnings": warnings} if warnings else {}),
                **certificates(store, sleeves, manifest.market, at),
            }
            return Partition(rows, figures)

        return compute

    return Stage(
        stage(meta.name, "meta_weights"),
        "metas",
        WEIGHTS_SCHEMA,
        [
            key(UNIVERSE),
            *(dg.AssetDep(key(path), partition_mapping=reaching_back(lookback)) for path in records.values()),
            *(key(stage(sleeve.name, "risk_weights")) for sleeve in sleeves),  # for their certificates
        ],
        prepare,
        # Streams earned on bars that nobody vouches for are no ground for a decision either.
        gates=[*bars_gates(manifest.market), *gates],
        description="Weights of the children by each risk profile, from what they realised before P.",
        rules=rules_of(meta, *WEIGHING),
        owner=meta.owner,
    )


def _meta_track_record(meta: MetaProfile, records: dict[str, AssetPath], manifest: Manifest) -> Stage:
    path, weights = stage(meta.name, "meta_track_record"), stage(meta.name, "meta_weights")
    below = _records_gates(meta, manifest)

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        lake = store.lake

        def window(at: date) -> Callable[[str], ReturnsWindow]:
            store.receipts.require(below, str(at))
            streams = _by_profile({child: _returns(lake, record, at, at) for child, record in records.items()})
            return lambda profile: _window(streams[profile], at)

        def decision(at: date) -> tuple[ledgers.Targets | None, str]:
            status, reason = lake.standing(weights, str(at))
            refusal = (
                reason if status is not Status.OK else store.receipts.refusal(children_gates(meta, manifest), str(at))
            )
            if refusal:
                return None, refusal
            rows = lake.read(weights, str(at))
            return {
                profile: dict(rows.filter(pl.col("profile") == profile).select("child", "weight").iter_rows())
                for profile in RISK_PROFILES
            }, ""

        return track_record_compute(store, record_gates(meta.name, meta=True), days, decision, window, meta.ledger)

    return Stage(
        path,
        "metas",
        ledgers.SCHEMA,
        [
            *(key(record) for record in records.values()),
            dg.AssetDep(key(weights), partition_mapping=PREVIOUS),
            dg.AssetDep(key(path), partition_mapping=PREVIOUS),
        ],
        prepare,
        description="Days the meta earned since the previous rebalance: its children's realised streams, after costs.",
        rules=rules_of(meta, "children", "ledger"),
        owner=meta.owner,
        picture=lambda lake, partition: equity_picture(lake, path, partition),
    )


def _flattened_weights(meta: MetaProfile, manifest: Manifest) -> Stage:
    path = stage(meta.name, "flattened_weights")
    nodes, sleeves = subtree(meta, manifest.metas), sleeves_below(meta, manifest)
    tree = compile_tree(meta.name, nodes)
    records = {sleeve.name: _record(sleeve.name, False) for sleeve in sleeves} | {
        node.name: _record(node.name, True) for node in nodes
    }

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        del days

        def compute(at: date) -> Partition:
            weights, held_metas = children_in_force(store, nodes, manifest, at)
            empty = [name for name, rows in weights.items() if rows.is_empty()]
            if empty:
                return blocked(f"{', '.join(empty)} was never certified: {'; '.join(held_metas)}")
            books, held_sleeves = books_in_force(store, sleeves, manifest.market, at)
            held = [*held_metas, *held_sleeves]
            frame = flattened(tree, weights, books)
            before = flattened_before(
                tree, {name: _held_before(store.lake, path, at) for name, path in records.items()}
            )
            figures = {
                **_flat_figures(frame),
                "turnover": markdown_table(turnover_saved(before, frame)),
                **certificates(store, sleeves, manifest.market, at),
            }
            return Partition(frame, figures | ({"held": held} if held else {}))

        return compute

    return Stage(
        path,
        "metas",
        FLAT_SCHEMA,
        [
            *(key(stage(node.name, asset)) for node in nodes for asset in ("meta_weights", "meta_track_record")),
            *(key(stage(sleeve.name, asset)) for sleeve in sleeves for asset in ("risk_weights", "track_record")),
        ],
        prepare,
        held_over=[
            *(gate for sleeve in sleeves for gate in deciding_gates(sleeve, manifest.market)),
            *(gate for node in nodes for gate in children_gates(node, manifest)),
        ],
        description="Physical net weight per symbol, gross before netting, and what every path contributes.",
        rules={node.name: rules_of(node, "children") for node in nodes},
        owner=meta.owner,
        picture=lambda lake, partition: flattened_picture(lake, path, partition),
        freshness=EVERY_REBALANCE,
    )


def _flat_figures(frame: pl.DataFrame) -> Metadata:
    """What a page says of a book; a pair of legs that cancels is no error, but worth a line."""
    gone = cancelled(frame.filter(~pl.col("dust")))
    pairs = [f"{symbol} ({profile})" for profile, symbol in gone.select("profile", "symbol").iter_rows()]
    return {
        "symbols": frame["symbol"].n_unique(),
        "dust": frame.filter("dust")["net"].abs().sum(),
        **({"cancelled": pairs[:MAX_NAMED], "cancelled_count": len(pairs)} if pairs else {}),
    }


def _held_before(lake: Lake, path: AssetPath, at: date) -> ledgers.Ledgers:
    return ledgers.ledgers_from_rows(lake.read(path, str(at)))


def _returns(lake: Lake, path: AssetPath, first: date, last: date) -> pl.DataFrame:
    """[profile, date, ret] of the stored record partitions in [first, last]; days without a return are left out."""
    wanted = [partition for partition in lake.partitions(path) if str(first) <= partition <= str(last)]
    rows = [lake.read(path, partition).select("profile", "date", "ret") for partition in wanted]
    return (
        pl.concat(rows).drop_nulls()
        if rows
        else pl.DataFrame(schema={n: ledgers.SCHEMA[n] for n in ("profile", "date", "ret")})
    )


def _by_profile(streams: dict[str, pl.DataFrame]) -> dict[str, dict[str, pl.DataFrame]]:
    """Streams of every child by risk profile; a child without rows of a profile has an empty one."""
    parts = {child: rows.partition_by("profile", as_dict=True) for child, rows in streams.items()}
    return {
        profile: {child: parts[child].get((profile,), rows.clear()) for child, rows in streams.items()}
        for profile in RISK_PROFILES
    }


def _window(streams: dict[str, pl.DataFrame], at: date) -> ReturnsWindow:
    days = np.arange(np.datetime64(previous(at), "D"), np.datetime64(at, "D"))
    returns = np.full((len(days), len(streams)), np.nan)
    for column, stream in enumerate(streams.values()):
        row = (stream["date"].to_numpy().astype("datetime64[D]") - days[0]).astype(np.intp)
        inside = (row >= 0) & (row < len(days))
        returns[row[inside], column] = stream["ret"].to_numpy()[inside]
    return ReturnsWindow(days, tuple(streams), returns)
