"""What the bundles of sleeves and metas have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from io import BytesIO

import polars as pl

from sleevegraph.audit.documents import as_json
from sleevegraph.audit.facts import AcceptanceRecord, Facts, run_id
from sleevegraph.audit.layout import LEDGER
from sleevegraph.audit.ledger import SCHEMA_VERSION, Record


def manifest_file(facts: Facts) -> bytes:
    """`resolved_manifest.json`."""
    return as_json({**_identity(facts), "manifest": facts.manifest.model_dump(mode="json")})


def parquet(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet."""
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def generation(facts: Facts, decided: Sequence[Record], files: Mapping[str, bytes]) -> list[Record]:
    """One generation of a ledger, from `begin` to `end`, around the records of what was decided.

    `files` has every file of the bundle but the ledger.
    """
    previous, children = facts.anchors.previous, dict(facts.anchors.children)
    anchor = {"run_id": previous[0], "hash": previous[1]} if previous else None
    bars = facts.bars
    outputs = {file: content for file, content in sorted(files.items()) if file != LEDGER}
    records: list[Record] = [
        {"event": "begin", **_identity(facts), "generation": 1, "previous": anchor, "children": children},
        {"event": "environment", **facts.environment},
        {"event": "bars", "digest": bars.digest, "first": str(bars.first), "days": bars.days},
        *({"event": "stage", **asdict(stage)} for stage in facts.stages),
        *decided,
        *({"event": "check", **asdict(check)} for check in facts.checks),
        *(acceptance_record(accepted) for accepted in facts.acceptances),
        *(
            {"event": "output", "file": file, "sha256": sha256(content).hexdigest(), "bytes": len(content)}
            for file, content in outputs.items()
        ),
    ]
    end = {"event": "end", "standing": facts.standing, "reasons": list(facts.reasons), "records": len(records) + 1}
    return [*records, end]


def acceptance_record(accepted: AcceptanceRecord) -> Record:
    """The record of an accepted warning."""
    return {"event": "acceptance", **asdict(accepted)}


def _identity(facts: Facts) -> Record:
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id(facts.name, facts.at),
        "portfolio": facts.name,
        "kind": facts.kind,
        "partition": str(facts.at),
    }
