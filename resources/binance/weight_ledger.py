"""The account of request weights, which all processes of a home share and which outlives each of them."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sleevegraph.errors import LakeError
from sleevegraph.market_data.request_weight import Entry, RateLimit, wait

FILE: Final = "request_weight.sqlite"
UNTIL_IT_SAYS: Final = RateLimit(1200, 60.0)
"""Of a host whose exchangeInfo was never read: the smallest limit that any of Binance's hosts ever had."""

_BUSY_SECONDS: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, a late end must not be that of another request
  host TEXT NOT NULL, sent REAL NOT NULL, ended REAL NOT NULL, weight INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_end ON requests (host, ended, weight);
CREATE TABLE IF NOT EXISTS limits (host TEXT PRIMARY KEY, weight INTEGER NOT NULL, seconds REAL NOT NULL);
"""


class WeightLedger:
    """Entries of requests by host, and the limit that each host named last.

    Whatever is asked or changed is one transaction that shuts out all others, and is with the system when it returns:
    a SIGKILL loses none of it. Times are those of the monotonic clock, which all processes have in common until the
    machine starts anew. An entry that was sent later than now is of an earlier start, and counts as sent now. One of an
    earlier start that does not look so is freed when the clock has come to the moment that is written: by then at least
    as much time has passed, because it was sent before the clock began. So none is ever freed too soon.
    """

    def __init__(self, database: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the file, in a folder that exists, or make it; None is an account that ends with this process."""
        self._database = database
        self._clock = clock
        with self._one_line():
            self._connection = sqlite3.connect(database or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            with self._one_line():
                self._log_ahead()
            with self._transaction() as now:
                for statement in _SCHEMA.split(";"):  # `executescript` would commit
                    self._connection.execute(statement)
                earlier = "UPDATE requests SET ended = ended - sent + ?, sent = ? WHERE sent > ?"
                self._connection.execute(earlier, (now, now, now))
        except LakeError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def begin(self, host: str, weight: int, longest: float) -> tuple[int, float]:
        """Enter a request that is sent now and given up after `longest` seconds: its ticket, and 0.

        Where it may not be sent yet, nothing is entered: 0, and the seconds after which to ask again.
        """
        with self._transaction() as now:
            limit = self._limit(host)
            occupied = self._occupied(host, limit, now)
            delay = wait(weight, occupied, self._account(host), limit, now)
            return (0, delay) if delay else (self._enter(host, now, now + longest, weight), 0.0)

    def end(self, host: str, ticket: int, used: Mapping[float, int]) -> None:
        """The answer came, or the request failed. `used` is what the host counted, by the seconds of its windows.

        What it counted beyond the account is entered as well: somebody else uses the same address.
        """
        with self._transaction() as now:
            self._connection.execute("UPDATE requests SET ended = ? WHERE id = ?", (now, ticket))
            limit = self._limit(host)
            foreign = used.get(limit.seconds, 0) - self._occupied(host, limit, now)
            if foreign > 0:
                self._enter(host, now, now, foreign)

    def limit(self, host: str) -> RateLimit:
        """What the host named last, to whichever process."""
        with self._transaction():
            return self._limit(host)

    def set_limit(self, host: str, limit: RateLimit) -> None:
        """Keep the limit for all who ask this host, now and later; what is occupied stays so."""
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", (host, *limit))

    def _limit(self, host: str) -> RateLimit:
        row = self._connection.execute("SELECT weight, seconds FROM limits WHERE host = ?", (host,)).fetchone()
        return RateLimit(*row) if row else UNTIL_IT_SAYS

    def _occupied(self, host: str, limit: RateLimit, now: float) -> int:
        """Weight of the host's entries, once those that occupy none any more are deleted."""
        oldest = now - limit.seconds
        self._connection.execute("DELETE FROM requests WHERE host = ? AND ended <= ?", (host, oldest))
        (total,) = self._connection.execute("SELECT SUM(weight) FROM requests WHERE host = ?", (host,)).fetchone()
        return int(total or 0)

    def _account(self, host: str) -> Iterator[Entry]:
        """Not read unless somebody takes from it, and no further than they do."""
        held = "SELECT ended, weight FROM requests WHERE host = ? ORDER BY ended"
        yield from map(Entry._make, self._connection.execute(held, (host,)))

    def _enter(self, host: str, sent: float, ended: float, weight: int) -> int:
        row = (host, sent, ended, weight)
        done = self._connection.execute("INSERT INTO requests (host, sent, ended, weight) VALUES (?, ?, ?, ?)", row)
        return int(done.lastrowid or 0)

    def _log_ahead(self) -> None:
        """SQLite does not wait where two processes do this to a new file at the same time."""
        patience = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise
            time.sleep(0.01)
        self._connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """Shut out all others, and give the time, which is read then: no entry of this start is later than that."""
        with self._one_line(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._clock()

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            passing = isinstance(error, sqlite3.OperationalError)  # full, locked, read-only: the file is as it was
            advice = "see to that" if passing else "wait until no request is five minutes old, delete it"
            raise LakeError(
                f"{self._database}: expected the account of requests to the exchange, found: {error}; "
                f"{advice} and run this again"
            ) from error


@contextmanager
def weight_ledger(folder: Path, *, keep: bool) -> Iterator[WeightLedger]:
    """The ledger of a market lake's folder; where it has to be made first and `keep` is not set, one in memory."""
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
    ledger = WeightLedger(folder / FILE if folder.is_dir() else None)
    try:
        yield ledger
    finally:
        ledger.close()
