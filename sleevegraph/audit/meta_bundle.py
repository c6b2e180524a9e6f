"""The bundle of a meta: its files, and the records of its ledger."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from sleevegraph.audit import documents, layout
from sleevegraph.audit.documents import rows_of
from sleevegraph.audit.facts import MetaFacts, run_id
from sleevegraph.audit.ledger import Record
from sleevegraph.audit.records import generation, manifest_file, parquet
from sleevegraph.certification import BLOCKED
from sleevegraph.manifest import RISK_PROFILES

_CELL = ("profile", "status", "reason", "rows_used", "rows_lost", "lost_share")


def meta_files(facts: MetaFacts) -> dict[str, bytes]:
    """Everything but the ledger and the report, by path.

    A meta that is BLOCKED has no weights in its documents: what was refused must not be taken for a decision.
    """
    blocked = facts.standing == BLOCKED
    own = facts.meta_weights[facts.name]
    book = facts.flattened.clear() if blocked else facts.flattened
    if blocked:
        tree = documents.empty_tree(facts.name)
    else:
        tree = documents.cluster_tree(facts.name, facts.manifest, facts.meta_weights, facts.books)
    findings = {run_id(sleeve, facts.at): found for sleeve, found in facts.sign_findings.items()}
    return {
        layout.MANIFEST: manifest_file(facts),
        layout.META_RETURNS: parquet(_returns(facts)),
        layout.META_OPTIMISED: documents.as_json(documents.meta_optimised(own.clear() if blocked else own)),
        layout.TREE: documents.as_json(tree),
        layout.FLATTENED: documents.as_json(documents.flattened(book)),
        layout.SIGN_TEST: documents.as_json(documents.sign_test(findings)),
    }


def meta_records(facts: MetaFacts, files: Mapping[str, bytes]) -> list[Record]:
    """One generation of the ledger; `files` has the report, too."""
    cells = {row[0]: dict(zip(_CELL, row, strict=True)) for row in rows_of(facts.meta_weights[facts.name], *_CELL)}
    decided = [
        *({"event": "cell", **cell} for cell in cells.values()),
        *({"event": "child", **asdict(child)} for child in facts.children),
    ]
    return generation(facts, decided, files)


def _returns(facts: MetaFacts) -> pl.DataFrame:
    """[date, profile, a column per child] over every day that any child has; null where one has none."""
    meta = next(meta for meta in facts.manifest.metas if meta.name == facts.name)
    children = sorted(meta.children)
    columns: dict[str, list[Any]] = {name: [] for name in ("date", "profile", *children)}
    for profile in RISK_PROFILES:
        streams = [dict(rows_of(facts.streams[profile][child], "date", "ret")) for child in children]
        days = sorted({day for stream in streams for day in stream})
        columns["date"] += days
        columns["profile"] += [profile] * len(days)
        for child, stream in zip(children, streams, strict=True):
            columns[child] += [stream.get(day) for day in days]
    kinds = {"date": pl.Date(), "profile": pl.String(), **dict.fromkeys(children, pl.Float64())}
    return pl.DataFrame(columns, schema=kinds)
