"""The board: every sleeve and meta at every rebalance, CERTIFIED, DEGRADED or BLOCKED, as its audit says."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from assets.audit_facts import AUDIT
from assets.bundle_listing import changed_files
from assets.freshness import EVERY_REBALANCE
from assets.gates import audit_gates
from assets.keys import key, stage
from assets.metadata import markdown_table
from assets.partitioned import Compute, Metadata, Partition, Stage
from assets.pictures import picture
from resources.lake import AssetPath, Lake
from resources.store import Store
from sleevegraph.audit.ledger import current, newest_hash, read_ledger
from sleevegraph.certification import BLOCKED
from sleevegraph.errors import LakeError
from sleevegraph.manifest import Manifest
from sleevegraph.refused import Refused
from sleevegraph.weight_sanity import CERTIFIED, DEGRADED

BOARD: AssetPath = ("certification_board",)
SCHEMA = pl.Schema(
    {
        "portfolio": pl.String(),
        "kind": pl.String(),
        "standing": pl.String(),
        "reasons": pl.List(pl.String()),
        "checks": pl.Int64(),
        "not_passed": pl.Int64(),
        "warnings": pl.Int64(),
        "accepted": pl.Int64(),
        "ledger_head": pl.String(),
    }
)
COLOURS = {CERTIFIED: "#2b7a4b", DEGRADED: "#e8b339", BLOCKED: "#b3261e"}
SHOWN_DATES, SHOWN_ROWS = 75, 60
"""What a picture and a table of the page have room for; the partition has all."""


def certification_board_stage(manifest: Manifest, refused: Sequence[Refused] = ()) -> Stage:
    """One row per sleeve and meta; those of profiles that are refused come last, blocked."""
    kinds = {sleeve.name: "sleeve" for sleeve in manifest.sleeves} | {meta.name: "meta" for meta in manifest.metas}

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        del days

        def compute(at: date) -> Partition:
            rows = [_row(store, name, kind, at) for name, kind in kinds.items()]
            rows += [_refused_row(one) for one in refused]
            frame = pl.DataFrame(rows, schema=SCHEMA)
            return Partition(frame, _figures(frame))

        return compute

    return Stage(
        BOARD,
        "certification",
        SCHEMA,
        [key(stage(name, AUDIT)) for name in kinds],
        prepare,
        description="Every sleeve and meta: CERTIFIED, DEGRADED or BLOCKED, and why.",
        rules={"portfolios": sorted(kinds)} | ({"refused": {r.name: r.reason for r in refused}} if refused else {}),
        owner="portfolio",
        picture=board_picture,
        freshness=EVERY_REBALANCE,
    )


def _row(store: Store, name: str, kind: str, at: date) -> dict[str, object]:
    text = store.runs.ledger(name, at)
    records = current(read_ledger(text))
    if not records:
        raise LakeError(
            f"{name}/{AUDIT} {at}: expected its bundle, found none; materialise {name}/{AUDIT} for {at} first"
        )
    checks = [record for record in records if record["event"] == "check"]
    end = next(record for record in records if record["event"] == "end")
    changed = changed_files(store, stage(name, AUDIT), at)
    unproven = store.receipts.refusal(audit_gates(name), str(at)) or "; ".join(f"{file}: changed" for file in changed)
    return {
        "portfolio": name,
        "kind": kind,
        "standing": BLOCKED if unproven else end["standing"],
        "reasons": [unproven] if unproven else end["reasons"],
        "checks": len(checks),
        "not_passed": sum(check["state"] != "PASSED" for check in checks),
        "warnings": sum(check["state"] == "PASSED" and bool(check["findings"]) for check in checks),
        "accepted": sum(record["event"] == "acceptance" for record in records),
        "ledger_head": newest_hash(text),
    }


def _refused_row(one: Refused) -> dict[str, object]:
    """Of a profile that has no bundle, since nothing of it can run."""
    return {
        "portfolio": one.name,
        "kind": one.kind,
        "standing": BLOCKED,
        "reasons": [f"profile refused: {one.reason}"],
        "checks": 0,
        "not_passed": 0,
        "warnings": 0,
        "accepted": 0,
        "ledger_head": "",
    }


def _figures(frame: pl.DataFrame) -> Metadata:
    counts = Counter(frame["standing"].to_list())
    reasons = pl.col("reasons").list.join("; ").str.slice(0, 200)
    return {
        **{standing: counts[standing] for standing in COLOURS},
        "board": markdown_table(_shown(frame).with_columns(reasons).drop("ledger_head")),
    }


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """All rows, or where there are too many those that fall short of CERTIFIED before the others, metas before sleeves."""
    order = [pl.col("standing") == CERTIFIED, pl.col("kind") != "meta"]
    return frame if frame.height <= SHOWN_ROWS else frame.sort(order, maintain_order=True).head(SHOWN_ROWS)


def board_picture(lake: Lake, partition: str) -> Metadata:
    """Sleeves and metas by rebalance date, coloured by how they stand, up to one rebalance."""
    keys = [stored for stored in lake.partitions(BOARD) if stored <= partition][-SHOWN_DATES:]
    frames = [lake.read(BOARD, stored) for stored in keys]
    names = _shown(frames[-1])["portfolio"].to_list()
    standings = [dict(frame.select("portfolio", "standing").iter_rows()) for frame in frames]

    def draw(figure: Any) -> None:
        from matplotlib.colors import to_rgb  # noqa: PLC0415 - slow to import, needed once per run
        from matplotlib.patches import Patch  # noqa: PLC0415 - as above

        nothing = (0.92, 0.92, 0.92)
        cells = [[to_rgb(COLOURS[column[n]]) if n in column else nothing for column in standings] for n in names]
        axes = figure.add_subplot()
        axes.imshow(cells, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(names)), names, fontsize=7)
        step = max(len(keys) // 8, 1)
        axes.set_xticks(range(0, len(keys), step), keys[::step], fontsize=6, rotation=45, ha="right")
        axes.set_xticks([i - 0.5 for i in range(1, len(keys))], minor=True)
        axes.set_yticks([i - 0.5 for i in range(1, len(names))], minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="minor", length=0)
        handles = [Patch(color=colour, label=standing) for standing, colour in COLOURS.items()]
        figure.legend(handles=handles, fontsize=6, ncols=3, loc="outside lower center", frameon=False)

    of_all = f", {len(names)} of {frames[-1].height}" if len(names) < frames[-1].height else ""
    return picture(f"certificates to {partition}{of_all}", draw, size=(8.0, 0.9 + 0.28 * len(names)))
