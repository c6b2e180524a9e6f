"""A bundle as one file: a zip archive without compression, the same bytes for the same files."""

import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from sleevegraph.audit.layout import LEDGER

SUFFIX = ".zip"
MAX_BYTES = 1 << 28
"""Of one file; a bundle's own take a thousandth of it."""


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """What a folder, or an archive, holds."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Bytes by path below the folder, with slashes."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """By path what stands where a file should be, or why it cannot be read; that of a whole archive stands by its ledger."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """An archive of files by their paths."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = ZipInfo(name)  # of 1980-01-01: when it was packed is not what it says
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def unpacked(content: bytes) -> BundleFiles:
    """Files of an archive that nobody vouches for: what cannot be read is named, not raised."""
    found = BundleFiles()
    try:
        with ZipFile(BytesIO(content)) as archive:
            for entry in archive.infolist():
                _unpack(archive, entry, found)
    except (BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        found.unreadable[LEDGER] = f"no whole archive: {error}"
    return found


def _unpack(archive: ZipFile, entry: ZipInfo, found: BundleFiles) -> None:
    name = entry.filename
    wrong = next(_wrong(entry, found), None)
    try:
        if wrong is None:
            found.files[name] = archive.read(entry)
    except (BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        wrong = str(error)
    if wrong is not None:
        found.files.pop(name, None)
        found.unreadable[name] = wrong


def _wrong(entry: ZipInfo, found: BundleFiles) -> Iterator[str]:
    """Why an entry is not read at all."""
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or str(path) != entry.filename or "\\" in entry.filename:
        yield "what is no file of a bundle"
    if entry.filename in found.files or entry.filename in found.unreadable:
        yield "two files of one name"
    if entry.file_size > MAX_BYTES:
        yield f"{entry.file_size} bytes, more than any file of a bundle has"
