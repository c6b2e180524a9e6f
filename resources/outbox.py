"""Facts for alerts: one SQLite file of a home, written by any number of processes at once.

A fact is on the disk before `record` returns, and is never deleted here. Who hears of it is resources/deliveries.py.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from fcntl import LOCK_EX, flock
from pathlib import Path

from resources.secrets import secrets_of_environment
from sleevegraph.alerts import Fact, Kept, Kind, fit_to_keep

BUSY_SECONDS = 60.0
"""How long a writer waits for the others."""

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, asset TEXT NOT NULL,
    partition TEXT NOT NULL, run_id TEXT NOT NULL, reason TEXT NOT NULL, figures TEXT NOT NULL, at TEXT NOT NULL,
    count INTEGER NOT NULL DEFAULT 1, UNIQUE (kind, name, asset, partition, run_id)
);
CREATE TABLE IF NOT EXISTS channels (
    name TEXT PRIMARY KEY, next_fact INTEGER NOT NULL, in_use INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    not_before TEXT, reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, channel TEXT NOT NULL, groups TEXT NOT NULL, sent_at TEXT
);
CREATE INDEX IF NOT EXISTS messages_of_channel ON messages (channel, sent_at);
CREATE TABLE IF NOT EXISTS told (
    channel TEXT NOT NULL, fact INTEGER NOT NULL, message TEXT NOT NULL, PRIMARY KEY (channel, fact)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_by_message ON told (message);
"""
_VERSION = 1
_KEEP = """
INSERT INTO facts (kind, name, asset, partition, run_id, reason, figures, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, name, asset, partition, run_id) DO UPDATE SET count = count + 1 RETURNING count
"""


class Outbox:
    """The outbox in `folder`, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        """Use the folder; nothing is made before it is asked for something."""
        self.folder = folder
        self.file = folder / "outbox.sqlite"

    def record(self, facts: Iterable[Fact]) -> int:
        """Keep facts, and return how many are new; a fact that is there is counted. Sends nothing.

        Raises
        ------
        OSError
            When the disk takes no more.
        """
        secrets = secrets_of_environment()
        rows = [_row(fit_to_keep(fact, secrets)) for fact in facts]
        if not rows:
            return 0
        with self.writing() as connection:
            return sum(connection.execute(_KEEP, row).fetchone()["count"] == 1 for row in rows)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own: threads and forked processes may not share one."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                self._prepare(connection)
                yield connection
        except sqlite3.Error as error:
            raise OSError(
                f"alerts: expected an outbox that can be read and written at {self.file}, found: {error}; make room on "
                "its disk, let it be written to, or move it away where it is damaged"
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=FULL")  # a fact survives a power cut, too
        if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
            return
        with (self.folder / "outbox.lock").open("w") as lock:  # one process makes the tables
            flock(lock, LOCK_EX)
            connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={_VERSION};COMMIT;")


def _row(fact: Fact) -> tuple[str, ...]:
    return (*fact.identity, fact.reason, json.dumps(fact.figures, sort_keys=True), fact.at.isoformat())


def kept_of(row: sqlite3.Row) -> Kept:
    """Read a row of the table of facts."""
    fact = Fact(
        kind=Kind(row["kind"]),
        name=row["name"],
        reason=row["reason"],
        at=datetime.fromisoformat(row["at"]),
        asset=row["asset"],
        partition=row["partition"],
        run_id=row["run_id"],
        figures=json.loads(row["figures"]),
    )
    return Kept(row["id"], fact, row["count"])
