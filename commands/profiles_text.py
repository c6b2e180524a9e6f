"""What `sleevegraph profiles list` prints."""

from collections.abc import Iterator, Sequence
from typing import Any

from profiles.load import Profiles
from sleevegraph.manifest import Family, SleeveProfile

COLUMNS = ("name", "kind", "logic", "direction", "members")
MAX_SHOWN = 4
"""Children of a meta, or logics of a family, that a line of the table names."""

Row = dict[str, Any]


def rows(found: Profiles, *, every: bool) -> list[Row]:
    """Sleeves, then families, each with its sleeves where `every` is asked for, then metas with children as written."""
    manifest = found.manifest
    by_name = {sleeve.name: sleeve for sleeve in manifest.sleeves}
    members = {name for family in manifest.families for name in family.sleeves}
    listed = [_sleeve(sleeve) for sleeve in manifest.sleeves if sleeve.name not in members]
    for family in manifest.families:
        sleeves = [by_name[name] for name in family.sleeves]
        listed.append(_family(family, sleeves))
        listed += [{**_sleeve(sleeve), "family": family.name} for sleeve in sleeves if every]
    metas = (
        {"name": meta.name, "kind": "meta", "children": found.files[meta.name].data["children"]}
        for meta in manifest.metas
    )
    return [*listed, *metas]


def as_table(listed: Sequence[Row]) -> str:
    """Columns of COLUMNS, aligned."""
    cells = [COLUMNS, *(tuple(_cells(row)) for row in listed)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _sleeve(sleeve: SleeveProfile) -> Row:
    return {"name": sleeve.name, "kind": "sleeve", "logic": sleeve.logic, "direction": sleeve.direction}


def _family(family: Family, sleeves: Sequence[SleeveProfile]) -> Row:
    logics, directions = (
        list(dict.fromkeys(getattr(sleeve, key) for sleeve in sleeves)) for key in ("logic", "direction")
    )
    return {"name": family.name, "kind": "family", "logic": logics, "direction": directions, "sleeves": len(sleeves)}


def _cells(row: Row) -> Iterator[str]:
    yield ("  " if "family" in row else "") + row["name"]
    yield row["kind"]
    yield _joined(row.get("logic", ""))
    yield _joined(row.get("direction", ""))
    yield f"{row['sleeves']:,} sleeves" if "sleeves" in row else _joined(row.get("children", ""))


def _joined(value: str | list[str]) -> str:
    if isinstance(value, str):
        return value
    more = f" and {len(value) - MAX_SHOWN:,} more" if len(value) > MAX_SHOWN else ""
    return ", ".join(value[:MAX_SHOWN]) + more
