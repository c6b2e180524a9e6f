"""Bundles as they lie on a disk or in object storage, as folders or as archives, read by somebody who trusts nothing there: what cannot be read is named, not raised."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from resources import places
from resources.home import home_at
from resources.packing import MAX_BYTES, SUFFIX, BundleFiles, unpacked
from resources.places import Place
from sleevegraph.errors import ConfigurationError

LEDGER, RUNS = "audit.jsonl", "runs"
MANIFEST = Path("config", "resolved_manifest.json")
NAME = re.compile(r"(?P<portfolio>[a-z][a-z0-9_]{0,79})-(?P<day>[0-9]{8})")


def run_of(bundle: Place) -> str:
    """Run id of a bundle, by the name of its folder or archive."""
    return bundle.name.removesuffix(SUFFIX)


def is_bundle(folder: Place) -> bool:
    """Whether a folder or an archive is a bundle, or what is left of one."""
    named = NAME.fullmatch(run_of(folder)) is not None
    if folder.name.endswith(SUFFIX) or not isinstance(folder, Path):
        return named and places.version(folder) is not None
    return folder.is_dir() and (named or (folder / LEDGER).exists() or (folder / MANIFEST).exists())


def bundles_in(folder: Place) -> list[Place]:
    """Bundles directly in a folder by day, then by name."""
    if isinstance(folder, Path):
        found = [child for child in folder.iterdir() if NAME.fullmatch(run_of(child)) and _is_whole(child)]
    else:
        named = [name for name in places.names(folder) if name.endswith(SUFFIX)]
        found = [folder / name for name in named if NAME.fullmatch(name.removesuffix(SUFFIX))]
    return sorted(found, key=lambda child: (run_of(child)[-8:], child.name))


def _is_whole(child: Path) -> bool:
    return child.is_file() if child.name.endswith(SUFFIX) else child.is_dir()


def bundles_at(path: Place) -> list[Place]:
    """The bundles that a path means: one, those of a folder, or those of a home; ConfigurationError without any."""
    if is_bundle(path):
        return [path]
    for folder in (path, path / RUNS):
        if (not isinstance(folder, Path) or folder.is_dir()) and (found := bundles_in(folder)):
            return found
    if not isinstance(path, Path):
        found_instead = "none"
    elif home_at(path).objects:
        return bundles_at(home_at(path).runs)
    else:
        found_instead = "a folder without any" if path.is_dir() else "a file" if path.exists() else "nothing"
    raise ConfigurationError(
        f"PATH: expected a bundle, a folder of bundles or a home, found {found_instead} at {path}; bundles are in "
        f"{RUNS}/ of a home, made by the asset audit_bundle"
    )


def read_bundle(folder: Place) -> BundleFiles:
    """Read every file in a folder and below, without following links to folders, or in an archive."""
    if folder.name.endswith(SUFFIX) or not isinstance(folder, Path):
        return _read_archive(folder)
    found = BundleFiles()
    for path in _walk(folder, folder, found.unreadable):
        name = path.relative_to(folder).as_posix()
        try:
            found.files[name] = _content(path)
        except OSError as error:
            found.unreadable[name] = error.strerror or str(error)
    return found


def _read_archive(place: Place) -> BundleFiles:
    version = places.version(place)
    if version is None:
        return BundleFiles()
    if int(version[-1]) > MAX_BYTES:
        return BundleFiles(unreadable={LEDGER: f"{version[-1]} bytes, more than any bundle has"})
    try:
        return unpacked(places.content(place, version)[1])
    except OSError as error:
        return BundleFiles(unreadable={LEDGER: error.strerror or str(error)})


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

    def __init__(self, folder: Place) -> None:
        """Look once at which bundles lie in `folder`; in one that may not be looked into, none do."""
        self._bundles: dict[str, Place] = {}
        with suppress(OSError):
            self._bundles = {run_of(child): child for child in bundles_in(folder)}
        self._ledger = lru_cache(maxsize=64)(self._read)

    def of(self, name: str) -> dict[str, bytes]:
        """By run id the ledgers of the same portfolio just before and after, and of all portfolios on the same day."""
        found = NAME.fullmatch(name)
        if found is None:
            return {}
        own = [other for other in self._bundles if other[:-9] == found["portfolio"]]
        before, after = [other for other in own if other < name][-1:], [other for other in own if other > name][:1]
        same_day = [other for other in self._bundles if other[-8:] == found["day"] and other != name]
        ledgers = {other: self._ledger(other) for other in (*before, *after, *same_day)}
        return {other: ledger for other, ledger in ledgers.items() if ledger is not None}

    def _read(self, name: str) -> bytes | None:
        bundle = self._bundles[name]
        if bundle.name.endswith(SUFFIX):
            return _read_archive(bundle).files.get(LEDGER)
        try:
            return _content(bundle / LEDGER)
        except OSError:
            return None
