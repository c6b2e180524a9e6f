"""New numbers for the events of a history, and what they change in the rows that name an event by its number.

Private to Dagster: columns of its tables, the numbers in the texts of events, and the table of what is in the index.
"""

import json
import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from textwrap import shorten
from typing import Any

from dagster import DagsterEventType
from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import deserialize_value, serialize_value
from sqlalchemy import Connection, select

from sleevegraph.errors import ConfigurationError

Row = dict[str, Any]
Key = tuple[str, int]
"""Name of a run's file, and the number of an event there."""

_JUDGED = re.compile(r'("AssetCheckEvaluationTargetMaterializationData", "run_id": "[^"]*", "storage_id": )(\d+)')
_READ = re.compile(r'("dagster/input_event_pointer/[^"]*": ")(\d+)(?=")')
_LAST = re.compile(r'(, "storage_id": )(\d+)(?=\}$)')
_KINDS = {kind.value for kind in DagsterEventType}
_NAMED = {
    "event_logs": ("id",),
    "asset_event_tags": ("event_id",),
    "asset_check_executions": ("evaluation_event_storage_id", "materialization_event_storage_id"),
}
"""Columns with the number of an event of the index."""
_TEXTS = {
    "event_logs": ("event", (_JUDGED, _READ)),
    "asset_check_executions": ("evaluation_event", (_JUDGED, _READ)),
    "asset_keys": ("last_materialization", (_READ, _LAST)),
}
"""Columns with such numbers in their text."""
_STATES = {"jobs": "job_body", "instigators": "instigator_body"}


@dataclass(frozen=True)
class Numbers:
    """The new number of each event."""

    index: Mapping[int, int]
    """By the number in the index, in the order of both."""
    between: Mapping[Key, int]
    """Of the events that only a run's file has."""

    @classmethod
    def of(cls, index: Connection, shards: Sequence[tuple[str, Callable[[], Iterator[Row]]]]) -> "Numbers":
        """Number the index in its order, and every other event behind the one of the index that its run has before it."""
        in_index: defaultdict[str, dict[bytes, deque[int]]] = defaultdict(lambda: defaultdict(deque))
        table, last = SqlEventLogStorageTable.c, 0
        places: list[tuple[float, int, int | Key]] = []
        for last, run_id, event in index.execute(select(table.id, table.run_id, table.event).order_by(table.id)):
            in_index[run_id][_digest(event)].append(last)
            places.append((last, 0, last))
        for name, rows in shards:
            before: float | None = None
            for row in rows():
                known = in_index[row["run_id"]]
                same = known.get(_digest(row["event"]))
                if before is None:
                    before = min((numbers[0] for numbers in known.values() if numbers), default=last + 1) - 0.5
                if same:
                    before = max(before, same.popleft())
                else:
                    places.append((before, row["id"], (name, row["id"])))
        numbered = {event: number for number, (*_, event) in enumerate(sorted(places, key=lambda place: place[:2]), 1)}
        return cls(
            {event: number for event, number in numbered.items() if isinstance(event, int)},
            {event: number for event, number in numbered.items() if not isinstance(event, int)},
        )

    def renumbered(self, table: str, row: Row) -> Row:
        """A row of a table with the new numbers wherever it names events."""
        changed = {name: row[name] and self._new(row[name]) for name in _NAMED.get(table, ())}
        if table in _TEXTS:
            column, patterns = _TEXTS[table]
            changed[column] = row[column] and self._in_text(row[column], patterns)
        if table == "asset_keys":
            changed["cached_status_data"] = None  # made again from the events, which it names by number
        if table in _STATES:
            changed[_STATES[table]] = self._in_state(table, row[_STATES[table]])
        return {**row, **changed}

    def _new(self, number: int) -> int:
        """The new number; 0, which no event has, for an event that is gone."""
        return self.index.get(number, 0)

    def _in_text(self, said: str, patterns: Sequence[re.Pattern[str]]) -> str:
        for pattern in patterns:
            said = pattern.sub(lambda found: f"{found[1]}{self._new(int(found[2]))}", said)
        return said

    def _in_state(self, table: str, body: str) -> str:
        """A sensor that has read the events of some types so far goes on behind the same ones."""
        try:
            state = deserialize_value(body, InstigatorState)
        except ValueError as error:
            found = shorten(repr(body), 80)
            raise ConfigurationError(
                f"{table}: expected the state of a sensor or a schedule, found {found}; delete that row"
            ) from error
        data = state.instigator_data
        if not isinstance(data, SensorInstigatorData) or not _names_events(data.cursor):
            return body
        read = json.loads(str(data.cursor)).items()
        cursor = {kind: (self._upto(number) if number >= 0 else number, at) for kind, (number, at) in read}
        return serialize_value(state.with_data(data._replace(cursor=json.dumps(cursor, sort_keys=True))))

    def _upto(self, number: int) -> int:
        """The new number of the last event up to a number."""
        known = self._in_order
        found = bisect_right(known, number)
        return self.index[known[found - 1]] if found else 0

    @cached_property
    def _in_order(self) -> list[int]:
        return sorted(self.index)


def _digest(event: str) -> bytes:
    return blake2b(event.encode(), digest_size=16).digest()


def _names_events(cursor: str | None) -> bool:
    """Whether a cursor is that of sensors/alerts.py: number and time of an event by its type."""
    try:
        read = json.loads(cursor or "")
    except ValueError:
        return False
    if not isinstance(read, dict) or not read or not set(read) <= _KINDS:
        return False
    return all(isinstance(last, list) and [type(part) for part in last] == [int, float] for last in read.values())
