"""Backups of a home: a copy that is taken while it is in use, with a hash of every file, there whole or not at all.

A copy is taken from what rests on other things to what others rest on: events, bundles, verdicts, partitions, what was
fetched. So it has no verdict on a partition that it lacks, and is at worst the home of a run that was killed, which the next
run repairs.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from fcntl import LOCK_SH, flock
from hashlib import sha256
from pathlib import Path
from typing import Any

from sleevegraph.errors import ConfigurationError

MANIFEST, FORMAT = "backup.json", 1
RUNS = "runs"
ORDER = ("dagster_home", RUNS, "data/receipts", "data/acceptances", "data/lake", "data")
"""Folders of a home; a file is copied with the first of them that it is in."""
_LEFT_OUT = ("dagster_home/alive", "dagster_home/up.lock", "dagster_home/.logs_queue", "data/warehouse.duckdb")
"""Locks, and views by absolute paths, which every ingest writes anew."""
_SQLITE = b"SQLite format 3\x00"
_BESIDE = ("-wal", "-shm", "-journal")
CHUNK = 1 << 20


def take(home: Path, target: Path, without: list[str]) -> dict[str, Any]:
    """Copy a home into a new folder and return its manifest; `without` names what the home has elsewhere.

    Raises
    ------
    ConfigurationError
        When there is something at `target` already.
    """
    if target.exists():
        raise ConfigurationError(f"DEST: expected nothing there, found {target}; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _staged(target) as staging:
        files: dict[str, dict[str, Any]] = {}
        for folder in ORDER:
            with _bundles_at_rest(home / folder) if folder == RUNS else nullcontext():
                files |= _copied_folder(home, folder, staging, files)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = {"format": FORMAT, "made_at": made, "without": without, "files": files}
        (staging / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n", encoding="utf-8")
        _flush(staging / MANIFEST)
    return manifest


def _copied_folder(home: Path, folder: str, staging: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for path in _files(home, home / folder):
        name = path.relative_to(home).as_posix()
        if name not in known and (copied := _copied(path, staging / name, home)) is not None:
            found[name] = copied
    return found


def checked(source: Path) -> dict[str, Any]:
    """The manifest of a backup, whose every file is as it was copied; ConfigurationError says which one is not."""
    try:
        manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): str(file["sha256"]) for name, file in manifest["files"].items()}
        known = manifest["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"SOURCE: expected a backup with {MANIFEST} in {source}, found: {error!r}; name a folder that backup made"
        ) from error
    if not known:
        raise ConfigurationError(
            f"SOURCE: expected format {FORMAT} in {source / MANIFEST}, found {manifest['format']!r}; restore it by the "
            "version of sleevegraph that made it"
        )
    there = {path.relative_to(source).as_posix() for path in source.rglob("*") if not path.is_dir()} - {MANIFEST}
    for name in sorted(there ^ set(listed)):
        found = "none" if name in listed else "one that is not listed"
        raise ConfigurationError(
            f"{source / name}: expected the files of {MANIFEST}, found {found}; use another backup"
        )
    for name, digest in sorted(listed.items()):
        if (source / name).is_symlink() or _digest(source / name) != digest:
            raise ConfigurationError(
                f"{source / name}: expected the file that was copied, found another; use another backup"
            )
    return dict(manifest)


@contextmanager
def restored(source: Path, home: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Check a backup and copy it beside a home's place; where the block ends well, it is moved there.

    The block gets where the copy is, and the manifest.

    Raises
    ------
    ConfigurationError
        When there is something in the home's place, or a file changed since it was checked.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise ConfigurationError(
            f"--home: expected nothing at {home} or an empty folder, found something; name a new folder"
        )
    if home.is_relative_to(source):
        raise ConfigurationError(f"--home: expected a folder outside the backup, found {home}; name another one")
    manifest = checked(source)
    home.parent.mkdir(parents=True, exist_ok=True)
    with _staged(home) as staging:
        for name, file in manifest["files"].items():
            copied = _copied(source / name, staging / name, None)
            if copied is None or copied["sha256"] != file["sha256"]:
                raise ConfigurationError(
                    f"{source / name}: expected it unchanged while it is restored, found another; try again"
                )
        yield staging, manifest


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that becomes it where the block ends well, and else is removed."""
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _files(home: Path, folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        here = Path(where)
        folders[:] = sorted(name for name in folders if not _is_left_out(home, here / name))
        yield from (here / name for name in sorted(names) if not _is_left_out(home, here / name))


def _is_left_out(home: Path, path: Path) -> bool:
    name = path.name
    temporary = name.startswith(".") and name.endswith(".tmp")
    return temporary or name.endswith(_BESIDE) or path.relative_to(home).as_posix() in _LEFT_OUT


def _copied(path: Path, target: Path, home: Path | None) -> dict[str, Any] | None:
    """Copy a file and return its hash and size; None where it is gone meanwhile, or is no file.

    Of a `home` in use, SQLite copies its own files.
    """
    try:
        if path.is_symlink() or not path.is_file():
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        if home is not None and _is_sqlite(path):
            _copy_database(path, target)
        else:
            shutil.copyfile(path, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return None
    _flush(target)
    return {"sha256": _digest(target), "bytes": target.stat().st_size}


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copy_database(path: Path, target: Path) -> None:
    """Copy what is committed, while others write."""
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if not path.exists():
            raise FileNotFoundError(path) from error
        raise ConfigurationError(
            f"{path}: expected an SQLite file to copy, found: {error}; see that it can be read"
        ) from error


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _bundles_at_rest(runs: Path) -> Iterator[None]:
    """Let nobody replace a bundle while the block runs: the lock of `resources/runs.py`, shared with readers."""
    if not runs.is_dir():
        yield
        return
    folder = os.open(runs, os.O_RDONLY)
    try:
        flock(folder, LOCK_SH)
        yield
    finally:
        os.close(folder)
