"""Places of files, on a disk or in object storage: the few operations that lake, verdicts and bundles need of either.

On a disk a place is a plain `pathlib.Path`, and everything here is what one would write without it; in object storage it
is a `UPath`, and resources/object_storage.py does the work.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from resources.atomic import write_atomically
from sleevegraph.errors import LakeError

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"

Version = tuple[str | int, ...]
"""What changes whenever a file is written; the last item is its size in bytes.

On a disk: inode, both times and size. Whoever writes a file again, atomically, makes a new inode; whoever writes into it
and sets its time back changes the other one, which only the system sets. In object storage: ETag and size.
"""

A = TypeVar("A")
B = TypeVar("B")


class ChangedError(LakeError):
    """A file that was written while it was read."""


class UnreachableLakeError(LakeError):
    """An object store that does not do what it is asked for: this says nothing about what it holds."""


def version(place: Place) -> Version | None:
    """Version of a file as it is now; None where there is none."""
    if isinstance(place, Path):
        try:
            return _of(place.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
    return _objects().version(place)


def content(place: Place, known: Version | None = None) -> tuple[Version, bytes]:
    """Bytes of a file, and the version that they are of; FileNotFoundError where there is none.

    With `known`, the version that was just asked for, an object that this process has at hand is not fetched again.
    """
    if isinstance(place, Path):
        with place.open("rb") as file:
            return _of(os.fstat(file.fileno())), file.read()
    return _objects().content(place, known)


def exactly(place: Place, known: Version) -> bytes:
    """Bytes of one version of a file; ChangedError where it is another one by now."""
    try:
        found, read = content(place, known)
    except FileNotFoundError:
        found = None
    if found is None or (found != known and not isinstance(place, Path)):  # on a disk no version ever comes back
        raise ChangedError(f"{place}: expected one version while it is read, found another writer; run this again")
    return read


def source(place: Place, known: Version) -> Path | BytesIO:
    """What Polars reads a file from."""
    return place if isinstance(place, Path) else BytesIO(exactly(place, known))


def names(folder: Place) -> list[str]:
    """Names of the files in a folder, ascending; hidden ones are writes under way."""
    if isinstance(folder, Path):
        found = [path.name for path in folder.glob("[!.]*")]
    else:
        found = [name for name in _objects().versions(folder) if not name.startswith(".")]
    return sorted(found)


def below(folder: Place) -> list[tuple[str, ...]]:
    """Every file below a folder by its parts, ascending, hidden ones left out."""
    if isinstance(folder, Path):
        every = (path.relative_to(folder).parts for path in folder.rglob("*") if not path.is_dir())
    else:
        every = _objects().below(folder)
    return sorted(parts for parts in every if not any(part.startswith(".") for part in parts))


def fill(place: Place, write: Callable[[Path | BytesIO], object]) -> None:
    """Let `write` make a file, which is there whole or not at all."""
    if isinstance(place, Path):
        write_atomically(place, write)
        return
    buffer = BytesIO()
    write(buffer)
    _objects().put(place, buffer.getvalue())


def put(place: Place, written: bytes) -> None:
    """Write a file, which is there whole or not at all."""
    if isinstance(place, Path):
        write_atomically(place, lambda temporary: temporary.write_bytes(written))
    else:
        _objects().put(place, written)


def remove(place: Place) -> None:
    """Delete a file that may be there."""
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
    else:
        _objects().remove(place)


def one_look(place: Place) -> AbstractContextManager[None]:
    """For as long as the block runs, look at each folder of an object store once; on a disk, every time.

    What this process writes meanwhile it sees. What another one replaces meanwhile it may not: a decision is made of one
    look, and says by digests what it was made of.
    """
    return nullcontext() if isinstance(place, Path) else _objects().one_look()


def for_each(place: Place, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in order: on a disk one after the other, of an object store many at a time."""
    return map(function, items) if isinstance(place, Path) else _objects().for_each(function, items)


def _of(stat: os.stat_result) -> Version:
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def _objects() -> ModuleType:
    from resources import object_storage  # noqa: PLC0415 - needs the extra s3, and half a second

    return object_storage
