"""When facts become messages, and what a message says.

The first fact of a gate is told at once. What follows is summed up after pauses that grow while it goes on, and whatever
happens, a channel gets no more messages than a person can read: when more gates want to speak than may, one message
speaks for all that are left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import shorten
from typing import Any

from sleevegraph.alerts import Group, Kept, Kind

LIMITS = ((6, timedelta(minutes=1)), (10, timedelta(minutes=10)))
"""At most so many messages in so long, for each channel; by the second, at most 60 an hour."""
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15))
"""Between the messages of one gate: after the first, the second and every later one."""
QUIET = timedelta(hours=1)
"""After so long without a message a gate is new again."""
SHOWN = 5
"""Facts that a message names; of several gates, one each."""
GATES_SHOWN = 20
"""Gates that a message of several names."""
FIGURES_SHOWN = 6
REASON_WIDTH = 240
"""Characters of a reason in a message."""

WORDS: Mapping[Kind, str] = {
    Kind.REBALANCE_GAVE_UP: "rebalance gave up",
    Kind.RUN_FAILED: "run failed",
    Kind.CHECK_FAILED: "gate failed",
    Kind.BARS_LATE: "bars are late",
    Kind.CHECK_BLOCKED: "blocked by an earlier gate",
    Kind.TEST: "test of alerts, nothing happened",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that a channel got."""

    at: datetime
    groups: frozenset[Group]


@dataclass(frozen=True, slots=True)
class Text:
    """A message in words."""

    title: str
    body: str


def due(waiting: Sequence[Kept], sent: Sequence[Sent], now: datetime) -> list[list[Kept]]:
    """Return the facts to tell a channel of now, one list a message, the urgent ones first.

    `sent` is what it got in the last QUIET at least. Messages of the future, which a clock that was set back leaves, do
    not count.
    """
    past = [message for message in sent if message.at <= now]
    groups: dict[Group, list[Kept]] = {}
    for kept in waiting:
        groups.setdefault(kept.fact.group, []).append(kept)
    ready = sorted((g for g in groups if _may_speak(g, past, now)), key=lambda g: (list(Kind).index(g[0]), g[1]))
    room = min(most - sum(now - message.at < span for message in past) for most, span in LIMITS)
    if room <= 0:
        return []
    if len(ready) <= room:
        return [groups[group] for group in ready]
    alone, together = ready[: room - 1], ready[room - 1 :]
    return [*(groups[group] for group in alone), [kept for group in together for kept in groups[group]]]


def _may_speak(group: Group, past: Sequence[Sent], now: datetime) -> bool:
    times = sorted(message.at for message in past if group in message.groups)
    told = 0
    for before, at in zip([None, *times], times, strict=False):
        told = told + 1 if before is not None and at - before < QUIET else 1
    if not times or now - times[-1] >= QUIET:
        return True
    return now - times[-1] >= PAUSES[min(told, len(PAUSES)) - 1]


def worded(message: Sequence[Kept], *, number: str, base: str, note: str = "") -> Text:
    """Word a message with the id `number`, with links to Dagster's page at `base`, and with `note` as its last line."""
    groups: dict[Group, list[Kept]] = {}
    for kept in message:
        groups.setdefault(kept.fact.group, []).append(kept)
    count = f"{len(message)} fact{'s' if len(message) != 1 else ''}"
    if len(groups) == 1:
        title, lines = _of_one_gate(*next(iter(groups)), count), [f"- {_line(kept, base)}" for kept in message[:SHOWN]]
        left = len(message) - len(lines)
    else:
        title = f"{len(groups)} gates and jobs: {count}"
        lines = [f"- {_of_one_gate(*group, str(len(of)))}; {_line(of[0], base)}" for group, of in groups.items()]
        lines = lines[:GATES_SHOWN]
        left = len(message) - len(lines)
    more = [f"and {left} more: sleevegraph alerts list"] if left else []
    end = [f"message {number}, {count}", *([note] if note else [])]
    return Text(f"Sleevegraph: {title}", "\n".join([*lines, *more, *end]))


def _of_one_gate(kind: Kind, name: str, count: str) -> str:
    return f"{WORDS[kind]}{f', {name}' if name else ''}: {count}"


def _line(kept: Kept, base: str) -> str:
    fact = kept.fact
    what = " ".join(part for part in (fact.partition, fact.asset or fact.name) if part)
    if fact.asset and fact.name:
        what = f"{what} {fact.name}"
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in list(fact.figures.items())[:FIGURES_SHOWN])
    again = f" (reported {kept.count} times)" if kept.count > 1 else ""
    said = shorten(fact.reason, REASON_WIDTH, placeholder=" …")
    return f"{what}: {said}{again}{f' [{figures}]' if figures else ''} {fact.link(base)}"


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shorten(str(value), 40, placeholder=" …")


def record_of(kept: Kept, *, number: str, base: str) -> dict[str, Any]:
    """A fact as a program reads it, told in message `number`."""
    fact = kept.fact
    return {
        "message": number,
        "fact": kept.number,
        "kind": fact.kind.value,
        "name": fact.name,
        "asset": fact.asset,
        "partition": fact.partition,
        "reason": fact.reason,
        "figures": dict(fact.figures),
        "run_id": fact.run_id,
        "at": fact.at.isoformat(),
        "count": kept.count,
        "link": fact.link(base),
    }
