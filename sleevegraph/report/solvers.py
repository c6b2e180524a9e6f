"""Solver integrity: how every cell was solved at P, and how solvers fared over the guardrail's windows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.report.blocks import (
    Block,
    Cell,
    Column,
    Section,
    Table,
    Text,
    Tone,
    figure,
    percent,
    share,
    short,
    text,
)
from sleevegraph.report.facts import SleeveReport
from sleevegraph.solver_guardrail import FAILURES

KEY, TITLE = "solvers", "Solver integrity"
SAYS = (
    "Every cell of the tournament at P, and what the guardrail counted over its windows. native: solved as asked; fallback: another "
    "recipe stood in, and which. Look for failed cells, for one reason that comes again, and for a share that nears its limit."
)
GUARDRAIL = "solver_failure_rate"
TONES: dict[str, Tone] = {"native": "good", "fallback": "warning", "failed": "attention", "unavailable": "attention"}
SHOWN = 3
NO_RECORD = "no record"
COUNTED: Mapping[str, tuple[str, ...]] = {"native": ("native",), "fallback": ("fallback",), "failed": FAILURES}
TONES_COUNTED: tuple[Tone, ...] = ("", "warning", "attention")
MARKS = (
    "Windows: \N{MIDDLE DOT} all native, a digit for how many cells a stand-in answered, F for any that failed, c in cash, "
    "? without a record, _ for nothing asked."
)


def solvers(sleeves: Sequence[SleeveReport]) -> Section:
    """Cells of one sleeve, or of all sleeves below a meta."""
    names = short([sleeve.name for sleeve in sleeves])
    cells = [row for sleeve in sleeves for row in _cells(sleeve, names[sleeve.name])]
    reasons = [row for sleeve in sleeves for row in _reasons(sleeve, names[sleeve.name])]
    blocks: list[Block] = [
        Text(f"{sleeve.name}: nothing was asked of the solvers: {'; '.join(sleeve.standing.reasons)}.", "warning")
        for sleeve in sleeves
        if sleeve.cells.is_empty()
    ]
    if cells:
        over = sleeves[0].sleeve.risk.failure_windows
        heads: tuple[Column, ...] = (
            Column("sleeve"),
            Column("engine"),
            *(Column(profile) for profile in RISK_PROFILES),
            *(Column(f"{name} in {over}", number=True) for name in COUNTED),
        )
        caption = "Status of every cell at P, and how many cells of the last windows were"
        blocks.append(Table(f"{caption} {', '.join(COUNTED)}", heads, tuple(cells), small=True))
    if reasons:
        heads = (
            Column("sleeve"),
            Column("status"),
            Column("answered by"),
            Column("cells"),
            Column("reason", wide=True),
        )
        blocks.append(Table("Cells that were not solved as asked, and why", heads, tuple(reasons)))
    blocks += [_history(sleeves, names), Text(MARKS, "muted")]
    attention = tuple(line for sleeve in sleeves for line in _attention(sleeve))
    return Section(KEY, TITLE, SAYS, tuple(blocks), attention)


def _cells(sleeve: SleeveReport, name: str) -> Iterator[tuple[Cell, ...]]:
    rows = sleeve.cells.select("engine", "profile", "status").iter_rows()
    found = {(engine, profile): status for engine, profile, status in rows}
    for engine in sleeve.sleeve.risk.engines if found else ():
        record = " (traded)" if engine == sleeve.sleeve.risk.engine_of_record else ""
        statuses = [found.get((engine, profile), NO_RECORD) for profile in RISK_PROFILES]
        tones: list[Tone] = [TONES.get(s, "attention" if s == NO_RECORD else "muted") for s in statuses]
        words = (text(status, tone) for status, tone in zip(statuses, tones, strict=True))
        yield (text(name), text(engine + record), *words, *_counted(sleeve, engine))


def _counted(sleeve: SleeveReport, engine: str) -> Iterator[Cell]:
    """Cells of one engine over the windows: solved as asked, by a stand-in, or not."""
    for statuses, tone in zip(COUNTED.values(), TONES_COUNTED, strict=True):
        windows = (counts for counts in sleeve.windows.values() if counts)
        total = sum(counts.get((engine, status), 0) for counts in windows for status in statuses)
        yield figure(total, "d", tone if total else "")


def _reasons(sleeve: SleeveReport, name: str) -> Iterator[tuple[Cell, ...]]:
    """Cells with the same answer and reason in one row."""
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    others = sleeve.cells.filter(pl.col("status") != "native")
    for status, rung, reason, engine, profile in others.select(
        "status", "rung", "reason", "engine", "profile"
    ).iter_rows():
        groups.setdefault((status, rung, reason), {}).setdefault(engine, []).append(profile)
    for (status, rung, reason), engines in groups.items():
        cells = (f"{engine}: {_profiles(profiles)}" for engine, profiles in engines.items())
        yield (text(name), text(status, TONES.get(status, "muted")), text(rung), text("; ".join(cells)), text(reason))


def _profiles(profiles: Sequence[str]) -> str:
    return "every profile" if len(profiles) == len(RISK_PROFILES) else ", ".join(profiles)


def _history(sleeves: Sequence[SleeveReport], names: Mapping[str, str]) -> Table:
    rows = []
    for sleeve in sleeves:
        found, limit = _guardrail(sleeve), sleeve.sleeve.risk.max_failure_share
        failures = found.get("failures", {})
        failed, why = sum(failures.values()), [f"{count} x {reason}" for reason, count in failures.items()]
        part = found.get("failure_share")
        over: Tone = "" if part is None or part <= limit / 2 else "warning" if part <= limit else "attention"
        rows.append(
            (
                text(names[sleeve.name]),
                figure(found.get("expected_cells"), "d"),
                figure(failed if found else None, "d"),
                share(part, over),
                share(limit),
                figure(found.get("stand_ins"), "d"),
                text(_strip(sleeve.windows)),
                text("; ".join(why[:SHOWN]) + (f" (and {len(why) - SHOWN} more)" if len(why) > SHOWN else "")),
            )
        )
    numbers = ("cells", "failed", "share", "limit", "stand-ins")
    columns = (
        Column("sleeve"),
        *(Column(name, number=True) for name in numbers),
        Column("by window, oldest first"),
        Column("failures", wide=True),
    )
    return Table(f"Over the last {sleeves[0].sleeve.risk.failure_windows} windows", columns, tuple(rows))


def _guardrail(sleeve: SleeveReport) -> Mapping[str, Any]:
    """What the guardrail's receipt counted; empty where nobody judged."""
    asset = f"{sleeve.name}/solver_cells"
    return next((gate.figures for gate in sleeve.gates if (gate.asset, gate.check) == (asset, GUARDRAIL)), {})


def _strip(windows: Mapping[date, Mapping[tuple[str, str], int] | None]) -> str:
    marks = []
    for _, counts in sorted(windows.items()):
        if not counts:
            marks.append("?" if counts is None else "_")
            continue
        found = {status for _, status in counts}
        stand_ins = sum(count for (_, status), count in counts.items() if status == "fallback")
        quiet = "c" if "rejected" in found else "\N{MIDDLE DOT}"
        marks.append("F" if found & set(FAILURES) else str(min(stand_ins, 9)) if stand_ins else quiet)
    return "".join(marks)


def _attention(sleeve: SleeveReport) -> Iterator[str]:
    rows = sleeve.cells.filter(pl.col("status").is_in(FAILURES))
    for engine, profile, status, reason in rows.select("engine", "profile", "status", "reason").iter_rows():
        yield f"{sleeve.name}: {engine}/{profile} {status}: {reason}"
    found = set(sleeve.cells.select("engine", "profile").iter_rows())
    expected = [(engine, profile) for engine in sleeve.sleeve.risk.engines for profile in RISK_PROFILES]
    silent = ["/".join(cell) for cell in expected if cell not in found] if found else []
    if silent:
        yield f"{sleeve.name}: no record of {', '.join(silent)}"
    part, limit = _guardrail(sleeve).get("failure_share"), sleeve.sleeve.risk.max_failure_share
    if part is None and found:
        yield f"{sleeve.name}: the guardrail on failures has no verdict"
    elif part is not None and part > limit:
        yield f"{sleeve.name}: {percent(part)} of the cells of the last windows failed, above the limit of {percent(limit)}"
