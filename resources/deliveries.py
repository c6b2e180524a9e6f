"""Which channel has heard of which fact. A channel is one URL of SLEEVEGRAPH_ALERTS, by a name without secrets.

A message is stored before it is sent: one whose sending was not noted, because its channel did not take it or the process
died between, is sent again with the same id and the same facts.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from secrets import token_hex

from resources.outbox import Outbox, kept_of
from sleevegraph.alert_messages import QUIET, Sent, due
from sleevegraph.alerts import Group, Kept, Kind

MAX_READ = 20_000
"""Facts that a channel is told of at once; the others wait for the next time."""
LONGEST_PAUSE = timedelta(hours=1)
"""Between two attempts at a channel that does not work; the first ones follow after 1, 2, 4 … minutes."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is told at once."""

    number: str
    """Its id, by which a receiver drops a repeated one."""
    facts: tuple[Kept, ...]

    @property
    def groups(self) -> list[Group]:
        """The gates that it speaks of."""
        return sorted({kept.fact.group for kept in self.facts})


@dataclass(frozen=True, slots=True)
class Standing:
    """One fact, and who has heard of it: a line for each channel."""

    kept: Kept
    told: tuple[str, ...]
    waiting: bool


class Deliveries:
    """The side of an outbox that its sender uses."""

    def __init__(self, outbox: Outbox) -> None:
        """Use an outbox."""
        self._outbox = outbox

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else sends for this home while the block runs."""
        self._outbox.folder.mkdir(parents=True, exist_ok=True)
        with (self._outbox.folder / "sender.lock").open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def use(self, channels: Sequence[str]) -> None:
        """Note which channels there are. A new one hears of what nobody has heard of yet, and of all that follows."""
        with self._outbox.writing() as connection:
            known = {row["name"] for row in connection.execute("SELECT name FROM channels")}
            connection.execute("UPDATE channels SET in_use = 0")
            connection.executemany("UPDATE channels SET in_use = 1 WHERE name = ?", [(name,) for name in channels])
            for name in channels:
                if name not in known:
                    connection.execute(_NEW_CHANNEL, (name,))

    def waiting(self) -> int:
        """How many facts some channel has not heard of; without a channel, how many nobody has."""
        with self._outbox.reading() as connection:
            return int(connection.execute(f"SELECT count(*) FROM ({_WAITING})").fetchone()[0])  # noqa: S608 - no input

    def in_use(self) -> int:
        """How many channels facts were last sent to."""
        with self._outbox.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM channels WHERE in_use").fetchone()[0])

    def pause(self, channel: str, now: datetime) -> str:
        """Why nothing is sent to a channel now, or an empty string."""
        with self._outbox.reading() as connection:
            row = connection.execute("SELECT * FROM channels WHERE name = ?", (channel,)).fetchone()
        if row is None or row["not_before"] is None:
            return ""
        until = datetime.fromisoformat(row["not_before"])
        if not now < until <= now + LONGEST_PAUSE:  # later than that, the clock was set back
            return ""
        return f"{row['reason']}; the next attempt is at {until:%H:%M:%S} UTC"

    def messages(self, channel: str, now: datetime, *, limited: bool) -> list[Message]:
        """Store what is due for a channel, and return it with what it did not take before; all at once unless `limited`."""
        with self._outbox.writing() as connection:
            pending = _pending(connection, channel)
            facts = _untold(connection, channel)
            if limited:
                sent = [*_sent(connection, channel, now), *(Sent(now, frozenset(m.groups)) for m in pending)]
                batches = due(facts, sent, now)
            else:
                batches = [facts] if facts else []
            made = [Message(token_hex(8), tuple(batch)) for batch in batches]
            for message in made:
                _store(connection, channel, message)
            return [*pending, *made]

    def sent(self, channel: str, message: Message, now: datetime) -> None:
        """Note that a channel took a message."""
        with self._outbox.writing() as connection:
            connection.execute("UPDATE messages SET sent_at = ? WHERE id = ?", (now.isoformat(), message.number))
            connection.execute(
                "UPDATE channels SET failures = 0, not_before = NULL, reason = '' WHERE name = ?", (channel,)
            )

    def failed(self, channel: str, reason: str, now: datetime) -> None:
        """Note that a channel took none, and leave it alone for a while."""
        with self._outbox.writing() as connection:
            row = connection.execute("SELECT failures FROM channels WHERE name = ?", (channel,)).fetchone()
            failures = row["failures"] + 1
            until = now + min(timedelta(minutes=2 ** min(failures - 1, 10)), LONGEST_PAUSE)
            connection.execute(
                "UPDATE channels SET failures = ?, not_before = ?, reason = ? WHERE name = ?",
                (failures, until.isoformat(), reason, channel),
            )

    def standings(self, *, waiting: bool) -> list[Standing]:
        """Every fact, or those that wait, the newest last."""
        with self._outbox.reading() as connection:
            late = {row[0] for row in connection.execute(_WAITING)}
            told: dict[int, list[str]] = {}
            for row in connection.execute(_TOLD):
                told.setdefault(row["fact"], []).append(_said(row))
            rows = connection.execute("SELECT * FROM facts ORDER BY id").fetchall()
        return [
            Standing(kept_of(row), tuple(told.get(row["id"], ())), row["id"] in late)
            for row in rows
            if row["id"] in late or not waiting
        ]

    def trouble(self) -> list[tuple[str, str]]:
        """Channels in use that did not take the last message, and why."""
        with self._outbox.reading() as connection:
            rows = connection.execute("SELECT name, reason FROM channels WHERE in_use AND reason != '' ORDER BY name")
            return [(row["name"], row["reason"]) for row in rows]


_NEW_CHANNEL = """
INSERT INTO channels (name, in_use, next_fact) VALUES (?, 1, coalesce(
    (SELECT min(id) FROM facts WHERE id NOT IN
        (SELECT t.fact FROM told t JOIN messages m ON m.id = t.message WHERE m.sent_at IS NOT NULL)),
    (SELECT max(id) + 1 FROM facts), 1
))
"""
_WAITING = """
SELECT f.id FROM channels c JOIN facts f ON f.id >= c.next_fact
    WHERE c.in_use AND NOT EXISTS (SELECT 1 FROM told t WHERE t.channel = c.name AND t.fact = f.id)
UNION SELECT t.fact FROM channels c JOIN messages m ON m.channel = c.name AND m.sent_at IS NULL
    JOIN told t ON t.message = m.id WHERE c.in_use
UNION SELECT f.id FROM facts f WHERE NOT EXISTS (SELECT 1 FROM channels WHERE in_use)
    AND NOT EXISTS (SELECT 1 FROM told t WHERE t.fact = f.id)
"""
_TOLD = """
SELECT t.fact, t.channel, t.message, m.sent_at, c.reason FROM told t JOIN messages m ON m.id = t.message
JOIN channels c ON c.name = t.channel ORDER BY t.fact, t.channel
"""


def _said(row: sqlite3.Row) -> str:
    if row["sent_at"]:
        at = datetime.fromisoformat(row["sent_at"])
        return f"sent to {row['channel']} in message {row['message']} at {at:%Y-%m-%d %H:%M:%S} UTC"
    return f"waiting for {row['channel']}: {row['reason'] or 'being sent'}"


def _pending(connection: sqlite3.Connection, channel: str) -> list[Message]:
    """Messages that were made and not taken, the oldest first."""
    rows = connection.execute(
        "SELECT m.id AS message, f.* FROM messages m JOIN told t ON t.message = m.id JOIN facts f ON f.id = t.fact "
        "WHERE m.channel = ? AND m.sent_at IS NULL ORDER BY m.rowid, f.id",
        (channel,),
    )
    found: dict[str, list[Kept]] = {}
    for row in rows:
        found.setdefault(row["message"], []).append(kept_of(row))
    return [Message(number, tuple(facts)) for number, facts in found.items()]


def _untold(connection: sqlite3.Connection, channel: str) -> list[Kept]:
    """Facts that are in no message to the channel; what lies before the first of them is not looked at again."""
    rows = connection.execute(
        "SELECT * FROM facts f WHERE id >= (SELECT next_fact FROM channels WHERE name = :channel) AND NOT EXISTS "
        "(SELECT 1 FROM told t WHERE t.channel = :channel AND t.fact = f.id) ORDER BY id LIMIT :limit",
        {"channel": channel, "limit": MAX_READ},
    ).fetchall()
    first = rows[0]["id"] if rows else connection.execute("SELECT coalesce(max(id) + 1, 1) FROM facts").fetchone()[0]
    connection.execute("UPDATE channels SET next_fact = ? WHERE name = ?", (first, channel))
    return [kept_of(row) for row in rows]


def _sent(connection: sqlite3.Connection, channel: str, now: datetime) -> list[Sent]:
    rows = connection.execute(
        "SELECT sent_at, groups FROM messages WHERE channel = ? AND sent_at >= ?",
        (channel, (now - 2 * QUIET).isoformat()),
    )
    return [
        Sent(datetime.fromisoformat(row["sent_at"]), frozenset((Kind(k), n) for k, n in json.loads(row["groups"])))
        for row in rows
    ]


def _store(connection: sqlite3.Connection, channel: str, message: Message) -> None:
    groups = json.dumps(message.groups)
    connection.execute("INSERT INTO messages (id, channel, groups) VALUES (?, ?, ?)", (message.number, channel, groups))
    connection.executemany(
        "INSERT INTO told (channel, fact, message) VALUES (?, ?, ?)",
        [(channel, kept.number, message.number) for kept in message.facts],
    )
