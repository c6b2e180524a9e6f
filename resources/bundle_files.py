"""Bundles as they lie on a disk, read by somebody who trusts nothing there: what cannot be read is named, not raised."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sleevegraph.errors import ConfigurationError

LEDGER, RUNS = "audit.jsonl", "runs"
MANIFEST = Path("config", "resolved_manifest.json")
NAME = re.compile(r"(?P<portfolio>[a-z][a-z0-9_]{0,79})-(?P<day>[0-9]{8})")
MAX_BYTES = 1 << 28
"""Of one file; a bundle's own take a thousandth of it."""


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """What a folder holds."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Bytes by path below the folder, with slashes."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """By path what stands where a file should be, or why it cannot be read."""


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, or what is left of one."""
    named = NAME.fullmatch(folder.name) is not None
    return folder.is_dir() and (named or (folder / LEDGER).exists() or (folder / MANIFEST).exists())


def bundles_in(folder: Path) -> list[Path]:
    """Bundles directly in a folder by day, then by name."""
    found = [child for child in folder.iterdir() if NAME.fullmatch(child.name) and child.is_dir()]
    return sorted(found, key=lambda child: (child.name[-8:], child.name))


def bundles_at(path: Path) -> list[Path]:
    """The bundles that a path means: one, those of a folder, or those of a home; ConfigurationError without any."""
    if is_bundle(path):
        return [path]
    for folder in (path, path / RUNS):
        if folder.is_dir() and (found := bundles_in(folder)):
            return found
    found_instead = "a folder without any" if path.is_dir() else "a file" if path.exists() else "nothing"
    raise ConfigurationError(
        f"PATH: expected a bundle, a folder of bundles or a home, found {found_instead} at {path}; bundles are in "
        f"{RUNS}/ of a home, made by the asset audit_bundle"
    )


def read_bundle(folder: Path) -> BundleFiles:
    """Read every file in a folder and below, without following links to folders."""
    found = BundleFiles()
    for path in _walk(folder, folder, found.unreadable):
        name = path.relative_to(folder).as_posix()
        try:
            found.files[name] = _content(path)
        except OSError as error:
            found.unreadable[name] = error.strerror or str(error)
    return found


def _walk(folder: Path, root: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """Everything below a folder that is no folder; an empty one is noted, since it may stand where a file should."""
    name = folder.relative_to(root).as_posix()
    try:
        with os.scandir(folder) as entries:
            children = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        unreadable[name] = error.strerror or str(error)
        return
    if not children and folder != root:
        unreadable[name] = "an empty folder"
    for child, is_folder in children:
        if is_folder:
            yield from _walk(folder / child, root, unreadable)
        else:
            yield folder / child


def _content(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "what is no regular file")
    if status.st_size > MAX_BYTES:
        raise OSError(0, f"{status.st_size} bytes, more than any file of a bundle has")
    return path.read_bytes()


class Neighbourhood:
    """The ledgers beside a bundle: those that name its ledger, or that its ledger names."""

    def __init__(self, folder: Path) -> None:
        """Look once at which bundles lie in `folder`; in one that may not be looked into, none do."""
        self.folder = folder
        self.names: list[str] = []
        with suppress(OSError):
            self.names = [child.name for child in bundles_in(folder)]
        self._ledger = lru_cache(maxsize=64)(self._read)

    def of(self, name: str) -> dict[str, bytes]:
        """By run id the ledgers of the same portfolio just before and after, and of all portfolios on the same day."""
        found = NAME.fullmatch(name)
        if found is None:
            return {}
        own = [other for other in self.names if other[:-9] == found["portfolio"]]
        before, after = [other for other in own if other < name][-1:], [other for other in own if other > name][:1]
        same_day = [other for other in self.names if other[-8:] == found["day"] and other != name]
        ledgers = {other: self._ledger(other) for other in (*before, *after, *same_day)}
        return {other: ledger for other, ledger in ledgers.items() if ledger is not None}

    def _read(self, name: str) -> bytes | None:
        try:
            return _content(self.folder / name / LEDGER)
        except OSError:
            return None
