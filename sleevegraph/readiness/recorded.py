"""What the evidence said, as rows: so that a rebalance can be judged again by what was in hand then."""

import json
from datetime import date
from typing import Final, cast

import polars as pl

from sleevegraph.findings import Finding, Level
from sleevegraph.readiness.corroboration import Corroboration

SCHEMA: Final = pl.Schema(
    {"kind": pl.String(), "level": pl.String(), "code": pl.String(), "symbol": pl.String(), "text": pl.String()}
)
"""`kind` is finding, figure (`code` its name, `text` its JSON), outage_day (`text` the day) or none: there was no evidence."""


def to_rows(beside: Corroboration | None) -> pl.DataFrame:
    """SCHEMA rows, at least one."""
    if beside is None:
        return pl.DataFrame([("none", "", "", "", "")], schema=SCHEMA, orient="row")
    rows: list[tuple[str, str, str, str, str]] = [
        ("finding", f.level, f.code, f.symbol, f.message) for f in beside.findings
    ]
    rows += [("figure", "", name, "", json.dumps(value)) for name, value in beside.figures.items()]
    rows += [("outage_day", "", "", "", str(day)) for day in sorted(beside.outage_days)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def from_rows(rows: pl.DataFrame) -> Corroboration:
    """What `to_rows` was given; nothing at all where there was no evidence."""
    kinds = {str(kind): part for (kind,), part in rows.group_by("kind", maintain_order=True)}
    empty = SCHEMA.to_frame()
    found = kinds.get("finding", empty).select("level", "code", "symbol", "text").rows()
    return Corroboration(
        [Finding(cast("Level", level), code, symbol, text) for level, code, symbol, text in found],
        {name: json.loads(text) for name, text in kinds.get("figure", empty).select("code", "text").rows()},
        frozenset(date.fromisoformat(day) for day in kinds.get("outage_day", empty)["text"]),
    )
