"""Where a home has its runs, events and schedules: those in PostgreSQL are not to be begun anew in SQLite unseen."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from resources.atomic import write_atomically
from resources.home import Home
from resources.postgres import POSTGRES_VARIABLE
from sleevegraph.errors import ConfigurationError

RECORD = Path("data", "records.json")
"""Under a home whose records are in PostgreSQL; which database that is stays in the environment."""
_BEGUN = {Path("history", "runs.db"): "runs", Path("schedules", "schedules.db"): "jobs"}
"""Of Dagster's SQLite files under DAGSTER_HOME, the tables of runs and of sensors that were switched."""


def in_postgres(home: Home) -> bool:
    """Whether a home is known to have its records in PostgreSQL."""
    return (home.root / RECORD).exists()


def record_postgres(home: Home) -> None:
    """Remember that a home has its records in PostgreSQL; LakeError where that cannot be written."""
    if not in_postgres(home):
        text = json.dumps({"records": "postgresql"}) + "\n"
        write_atomically(home.root / RECORD, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def require_sqlite(home: Home) -> None:
    """Raise ConfigurationError where a home has its records in PostgreSQL, and SQLite is about to be opened."""
    if in_postgres(home):
        raise ConfigurationError(
            f"{POSTGRES_VARIABLE}: expected the database in which {home.root} has its runs, events and schedules, found it "
            f"unset; set it, or, to go on with SQLite for good, delete {home.root / RECORD}"
        )


def begun_in_sqlite(home: Home) -> bool:
    """Whether a home has runs or switched sensors in SQLite, or files there that cannot be read."""
    return any(_has_rows(home.dagster / name, table) for name, table in _BEGUN.items())


def _has_rows(database: Path, table: str) -> bool:
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()  # noqa: S608 - of _BEGUN
    except sqlite3.Error:
        return True
    return bool(found[0])
